"""Where the job starts: from a state, or from the log at the instant from which on its rows are exact."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.manifests import BrokenArtifact, published_cutoff_ms
from domain.policies import BucketPolicy, Policies
from speed.job.checkpoints import METADATA, StateFolders, choose, forget_others
from speed.job.forgetting import set_aside
from speed.job.identity import (
    StateIdentity,
    read_identity,
    refuse_another,
    refuse_another_backend,
    write_identity,
)
from speed.job.lifetime import Lifetime

if TYPE_CHECKING:
    from speed.job.settings import JobSettings

LOG = logging.getLogger("speed.job")

SWITCH_MAX_MS: Final = 60 * 60 * 1_000
"""So much older than the last checkpoint may be the savepoint with which the state backend is changed."""


@dataclass(frozen=True, slots=True)
class Start:
    """`state` is the folder to resume from; without one the log is read from `at_ms`, None: all of it."""

    state: Path | None
    at_ms: int | None
    is_savepoint: bool = False


def rebuild_from_ms(policies: Policies, cutoff_ms: int | None, now_ms: int) -> int | None:
    """From where the log must be read without a state, in epoch milliseconds; None: from its beginning.

    Readers pass over buckets below the published cutoff; what is above it needs the ids of `dedup` earlier buckets.
    A timeline knows no cutoff: it needs all visits within its horizon. So it must begin before the newest record of any
    state that still lives, by that horizon; a visit may happen `future_max_ms` later than it is received.
    """
    if cutoff_ms is None:
        return None
    lives_since_ms = Lifetime(policies.bucket).begins_at_ms(now_ms)
    visits_since_ms = lives_since_ms - policies.timeline.horizon_ms - policies.admission.future_max_ms
    return policies.bucket.start_of(max(0, min(needed_from_ms(policies.bucket, cutoff_ms), visits_since_ms)))


def needed_from_ms(policy: BucketPolicy, cutoff_ms: int | None) -> int:
    """Records received from here on must be in the log, or a rebuilt row above the published cutoff lacks them."""
    return 0 if cutoff_ms is None else max(0, policy.start_of(cutoff_ms) - policy.dedup * policy.period_ms)


def decide(settings: JobSettings, is_readable: Callable[[Path], bool], now_ms: int) -> Start:
    """Choose the state, or the instant in the log, and note for which rules the state from now on is made.

    A state older than any key lives is passed over: the log may have let go what came after it.

    Raises:
        ConfigurationError: the newest state was made for another bucket policy, by another release or state backend.
    """
    folders, policy = StateFolders.of(settings), settings.policies.bucket
    identity, cutoff_ms = StateIdentity.of(policy, settings.state_backend), _published_cutoff_ms(settings)
    oldest_ms = 0 if cutoff_ms is None else Lifetime(policy).begins_at_ms(now_ms)
    state = _choose(folders, identity, lambda found: _made_at_ms(found) >= oldest_ms and is_readable(found))
    is_savepoint = state is not None and state.parent == folders.savepoints
    if state is not None:
        refuse_another(state, read_identity(folders.savepoints if is_savepoint else folders.checkpoints), identity)
        forget_others(folders, state)
    if _backend_before(folders, identity) is not None and any(folders.checkpoints.glob(f"*/chk-*/{METADATA}")):
        set_aside(folders, now_ms, with_savepoints=False)
    for folder in folders:
        write_identity(folder, identity)
    return Start(state, rebuild_from_ms(settings.policies, cutoff_ms, now_ms), is_savepoint)


def _choose(folders: StateFolders, wanted: StateIdentity, is_usable: Callable[[Path], bool]) -> Path | None:
    """The newest usable state; once the state backend was changed a savepoint, the only kind that any of them reads.

    The savepoint may be a little older than the last checkpoint: the log has what came since.
    """
    newest, before = choose(folders, is_usable), _backend_before(folders, wanted)
    if newest is None or before is None:
        return newest
    savepoint = choose(folders, lambda found: found.parent == folders.savepoints and is_usable(found))
    if savepoint is None or _made_at_ms(newest) - _made_at_ms(savepoint) > SWITCH_MAX_MS:
        refuse_another_backend(newest, before, wanted.state_backend)
    return savepoint


def _backend_before(folders: StateFolders, wanted: StateIdentity) -> str | None:
    """The state backend of the checkpoints that are there, if it is another than is wanted."""
    found = read_identity(folders.checkpoints)
    return None if found is None or found.state_backend == wanted.state_backend else found.state_backend


def _made_at_ms(state: Path) -> int:
    return (state / METADATA).stat().st_mtime_ns // 1_000_000


def _published_cutoff_ms(settings: JobSettings) -> int | None:
    """None when nothing readable is published: the whole log is always right."""
    if settings.artifacts_dir is None:
        return None
    try:
        return published_cutoff_ms(Path(settings.artifacts_dir))
    except BrokenArtifact as error:
        LOG.warning("cutoff.missed", extra={"problem": str(error)})
        return None
