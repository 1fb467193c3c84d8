"""The figures of one run of the job, taken from its rows, its checkpoints and what its processes used."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from schemas.topics import ITEM_STATES, VISITOR_STATES
from tests.benchmark.exactness import Exactness
from tests.benchmark.job_run import JobRun
from tests.benchmark.load import Load, count
from tests.benchmark.process_tree import ProcessTree
from tests.benchmark.row_log import RowLog, percentiles, read_rows
from tests.benchmark.sending import SentLog

FROM_SHARE, TO_SHARE = 0.2, 0.9
"""The part of the backlog that is measured: behind the start, before the end."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some time of a run (epoch ms), the events that belong to it, and how many a second were sent."""

    from_ms: float
    to_ms: float
    events: int
    rate: float = 0.0


@dataclass
class RunFigures:
    """Collects while the run goes on; `read` and then `report` when it is over."""

    run: JobRun
    load: Load
    load_average: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))
    tree: ProcessTree | None = None
    checkpoint: dict[str, Any] = field(default_factory=dict)
    launched_ms: int = 0
    relaunched_ms: int = 0
    resumed: bool = False
    live: Window | None = None
    visitors: RowLog = field(default_factory=RowLog)
    items: RowLog = field(default_factory=RowLog)

    def read(self, log: SentLog) -> Exactness:
        """Read what the job wrote, and compare the watched part of it with the reference."""
        bootstrap, keys, items = self.run.settings.kafka.bootstrap, self.load.watched_visitors, self.load.watched_items
        self.visitors = read_rows(bootstrap, self.run.topic(VISITOR_STATES), keys)
        self.items = read_rows(bootstrap, self.run.topic(ITEM_STATES), items)
        exactness, records = Exactness(self.run.settings.policies), log.records()
        exactness.compare_visitors(self.visitors.rows, records, keys)
        exactness.compare_items(self.items.rows, records, items)
        return exactness

    def report(self) -> dict[str, Any]:
        """Of the catch-up, the state, the restart and the sustained part."""
        shape, flink = self.run.shape, self.run.settings.flink
        found: dict[str, Any] = {
            "visitors": shape.visitors,
            "state_backend": shape.state_backend,
            "taskmanagers": shape.taskmanagers,
            "parallelism": shape.parallelism,
            "heap_mb": flink.heap_mb,
            "load": self.load_average,
            "warm_up": count(self.load.warm_up),
            "backlog": count(self.load.backlog),
        }
        found |= self._catch_up() | self._state()
        if self.relaunched_ms:
            first_ms = self.visitors.first_after(self.relaunched_ms)
            found["restart_first_row_s"] = None if first_ms is None else round((first_ms - self.relaunched_ms) / 1e3, 1)
            found["resumed_from_checkpoint"] = self.resumed
        if self.live is not None:
            found["sustained"] = self._sustained(self.live)
        return found

    def _catch_up(self) -> dict[str, Any]:
        """Between two shares of the backlog, told by the offsets that the rows include."""
        before, backlog = count(self.load.warm_up), count(self.load.backlog)
        from_ms, to_ms = self.visitors.reached(before + FROM_SHARE * backlog, before + TO_SHARE * backlog)
        window = Window(from_ms, to_ms, round((TO_SHARE - FROM_SHARE) * backlog))
        visitor_rows, item_rows = self.visitors.between(from_ms, to_ms), self.items.between(from_ms, to_ms)
        first_ms = self.visitors.first_after(self.launched_ms) or self.launched_ms
        return {
            "events_per_s": round(window.events / (to_ms - from_ms) * 1_000),
            **self._cpu(window),
            "rows_per_event": round((len(visitor_rows) + len(item_rows)) / window.events, 3),
            "visitor_rows_per_event": round(len(visitor_rows) / window.events, 3),
            "visitor_row_bytes": round(fmean([row.size for row in visitor_rows] or [0])),
            "item_row_bytes": round(fmean([row.size for row in item_rows] or [0])),
            "first_row_s": round((first_ms - self.launched_ms) / 1_000, 1),
            "rss_mb": self._tree.rss_mb_max(to_ms=to_ms),
        }

    def _state(self) -> dict[str, Any]:
        """Of the first checkpoint that includes the whole backlog."""
        told = self.checkpoint
        return {
            "state_bytes_per_visitor": round(told["visitor_bytes"] / self.run.shape.visitors),
            "checkpoint_ms": round(median(told["all_ms"])),
            "checkpoint_ms_max": max(told["all_ms"]),
            "checkpoint_mb": round(told["bytes"] / 1e6, 1),
            "checkpoint_written_mb": round(told["written_bytes"] / 1e6, 1),
            "item_state_mb": round(told["item_bytes"] / 1e6, 1),
        }

    def _sustained(self, live: Window) -> dict[str, Any]:
        """Rows are fresh when each event has its own, and soon. A job that lags takes in less than is sent."""
        before = count(self.load.warm_up) + count(self.load.backlog)
        from_ms, to_ms = self.visitors.reached(before + FROM_SHARE * live.events, before + TO_SHARE * live.events)
        window = Window(from_ms, to_ms, round((TO_SHARE - FROM_SHARE) * live.events))
        visitor_rows, item_rows = self.visitors.between(from_ms, to_ms), self.items.between(from_ms, to_ms)
        return {
            "sent_per_s": round(live.rate),
            "events_per_s": round(window.events / (to_ms - from_ms) * 1_000),
            **self._cpu(window),
            "visitor_rows_per_event": round(len(visitor_rows) / window.events, 3),
            "item_rows_per_event": round(len(item_rows) / window.events, 3),
            "visitor_row_age": percentiles([row.age_ms for row in visitor_rows]),
            "item_row_age": percentiles([row.age_ms for row in item_rows]),
            "rss_mb": self._tree.rss_mb_max(from_ms, to_ms),
        }

    def _cpu(self, window: Window) -> dict[str, Any]:
        used_s = self._tree.cpu_s_between(window.from_ms, window.to_ms)
        by_process = {name: round(used / window.events * 1e6, 1) for name, used in used_s.items()}
        return {
            "cpu_us_per_event": round(sum(used_s.values()) / window.events * 1e6, 1),
            "cpu_us_by_process": by_process,
        }

    @property
    def _tree(self) -> ProcessTree:
        assert self.tree is not None, "the run has not begun"
        return self.tree
