"""The gauge: a sample compared now and then, for ever, and what was found as metrics. 0 is the only good number."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from batch.parity_findings import Parity
from infra.metrics import (
    PARITY_BEHIND,
    PARITY_HISTORY_GAPS,
    PARITY_INCOMPLETE,
    PARITY_LAST_RUN,
    PARITY_MISMATCHES,
    PARITY_ROWS,
    PARITY_RUN_SECONDS,
    PARITY_UNSETTLED,
)
from schemas.errors import DependencyError

PULSE_S: Final = 5.0
"""So often the heartbeat is touched while nothing is compared."""

log = logging.getLogger(__name__)


def gauge_forever(compare_once: Callable[[], Parity], every_s: float, heartbeat: Path) -> None:
    """Compare, tell, wait, again; with `every_s` 0 only be there. It keeps nothing, so any signal may end it."""
    while True:
        started = time.monotonic()
        _touch(heartbeat)
        if every_s:
            gauge(compare_once)
        wait(heartbeat, until=started + (every_s or PULSE_S))


def gauge(compare_once: Callable[[], Parity]) -> None:
    """Compare once and tell. What cannot be compared now leaves the last findings as they are, with their age."""
    started = time.monotonic()
    try:
        found = compare_once()
    except DependencyError as error:
        log.warning("parity.missed", extra={"problem": str(error)})
        return
    PARITY_ROWS.inc(found.rows)
    PARITY_MISMATCHES.set(found.mismatches)
    PARITY_BEHIND.set(found.behind)
    PARITY_UNSETTLED.set(found.unsettled)
    PARITY_HISTORY_GAPS.set(found.history_gaps)
    PARITY_INCOMPLETE.set(found.incomplete)
    PARITY_RUN_SECONDS.set(time.monotonic() - started)
    PARITY_LAST_RUN.set_to_current_time()


def wait(heartbeat: Path, *, until: float) -> None:
    """Sleep to an instant of the monotonic clock, with a pulse."""
    while (left_s := until - time.monotonic()) > 0:
        time.sleep(min(PULSE_S, left_s))
        _touch(heartbeat)


def _touch(heartbeat: Path) -> None:
    heartbeat.parent.mkdir(parents=True, exist_ok=True)
    heartbeat.touch()
