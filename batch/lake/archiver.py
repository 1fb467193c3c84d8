"""The archiver: one process that copies each archived topic into its own table of the lake.

`batch.lake.table_archiver` says how one of them is copied. Each table has a thread, a consumer and commits of its own,
so that a burst on one topic does not hold up the other, and its marks close its own buckets: batch may cut only where
both tables are closed (`batch.cutoff`). An idle or empty topic passes its marks as well, so it holds up nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final

from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.layout import Layout
from batch.lake.source import TopicLog
from batch.lake.table import open_table
from batch.lake.table_archiver import Archived, Beat, TableArchiver
from batch.lake.table_archiver import now_ms as now_ms
from infra.settings import Settings

TABLES: Final[tuple[Layout[Any], ...]] = (INTERACTIONS, IMPRESSIONS)


class Heartbeat:
    """The file that says that every table's thread is alive: touched when each has called since the last time."""

    def __init__(self, path: Path, names: frozenset[str]) -> None:
        self._path = path
        self._names = names
        self._missing = set(names)
        self._lock = Lock()

    def of(self, name: str) -> Beat:
        """The beat of one thread."""

        def beat() -> None:
            with self._lock:
                self._missing.discard(name)
                if not self._missing:
                    self._path.touch()
                    self._missing = set(self._names)

        return beat


def archive_to_end(settings: Settings) -> Mapping[str, Archived]:
    """Archive all that the topics hold now. Safe beside a running archiver: one of the two wins each commit."""
    done = {}
    for layout in TABLES:
        with _archiver(settings, layout) as archiver:
            archiver.run_to_end()
        done[layout.name] = archiver.archived
    return done


def archive_until(stop: Event, settings: Settings, heartbeat: Path) -> Mapping[str, Archived]:
    """Archive until `stop` is set; when one table's archiver fails, the others end too."""
    heartbeat.parent.mkdir(parents=True, exist_ok=True)
    alive = Heartbeat(heartbeat, frozenset(layout.name for layout in TABLES))

    def run(layout: Layout[Any]) -> Archived:
        try:
            with _archiver(settings, layout) as archiver:
                archiver.run(stop, alive.of(layout.name))
            return archiver.archived
        finally:
            stop.set()

    with ThreadPoolExecutor(len(TABLES), "archiver") as threads:
        running = {layout.name: threads.submit(run, layout) for layout in TABLES}
    return {name: one.result() for name, one in running.items()}


@contextmanager
def _archiver(settings: Settings, layout: Layout[Any]) -> Iterator[TableArchiver]:
    lake = open_table(settings, layout)
    with TopicLog(settings.kafka, layout.topic) as source:
        yield TableArchiver(lake, layout, source, settings.policies, settings.batch)
