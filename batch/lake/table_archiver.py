"""One topic into its table of the lake, every screened record exactly once.

Exactly once. Positions are kept by no consumer group: the next offset of each partition is committed to the Delta
table together with the rows below it. After a crash (kill -9 included) reading goes on from the committed positions,
and the files of an unfinished commit are invisible. Two archivers may run: Delta refuses the commit of the second
one, which drops its rows, reads the positions again and goes on behind the first.

Positions are what the consumer would fetch next, not only the record after the last one: the markers that end a
transaction take offsets too, and no poll returns them.

Closing a bucket. Now and then the archiver takes a *mark*: first the wall time, then the end offset of every
partition. Once the positions have passed those offsets, everything that Kafka took before that time is archived, and
the next commit says so (`through_mark`). A bucket that ended `closing_grace_ms` before the committed time is closed:
LogAppendTime never decreases within a partition, and the grace covers the difference between the broker's clock and
ours. So `closed_cutoff` needs no other bookkeeping; an idle topic costs one empty commit for each bucket.

What the layout's `screen` refuses is only counted here; of the interactions the stream sends it to the dead letters.
Memory is bounded by `archive_rows_max` rows or `BUFFER_BYTES_MAX` bytes of Arrow, plus one fetch.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final, Protocol

import pyarrow as pa

from batch.lake.layout import Layout, Stamped
from batch.lake.positions import Mark, refuse_a_gap
from batch.lake.table import Lake, Overtaken, offset_mark, through_mark
from domain.facts import Stamp
from domain.policies import BucketPolicy, Policies
from infra.metrics import ARCHIVER_COMMIT_SECONDS, ARCHIVER_DEAD_LETTERS, ARCHIVER_LAG, ARCHIVER_ROWS
from infra.settings import BatchSettings
from schemas.errors import ConsistencyError, DependencyError, RejectedEvent

BUFFER_BYTES_MAX: Final = 128 * 1024 * 1024
POLL_RECORDS_MAX: Final = 5_000
POLL_TIMEOUT_MS: Final = 200
RETRY_S: Final = 1.0

log = logging.getLogger(__name__)

Beat = Callable[[], None]
"""Called again and again while the archiver is alive."""


class Source(Protocol):
    """The topic, as `batch.lake.source.TopicLog` reads it. DependencyError: it does not answer."""

    topic: str

    def bounds(self) -> dict[int, tuple[int, int]]:
        """For each partition the oldest offset that is still there, and the offset that the next record will get."""

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read every partition from its position on."""

    def poll(self, timeout_ms: int, records_max: int) -> list[Any]:
        """The next records, of each partition in offset order."""

    def positions(self) -> dict[int, int]:
        """The next offset to poll of each partition, above all that was polled."""


@dataclass(slots=True)
class Archived:
    """What an archiver has done since it was made."""

    rows: int = 0
    commits: int = 0
    overtaken: int = 0
    after_closing: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def no_beat() -> None:
    """Nobody listens."""


class TableArchiver:
    """Reads, screens and appends. One of them is used by one thread."""

    def __init__(
        self,
        lake: Lake,
        layout: Layout[Any],
        source: Source,
        policies: Policies,
        batch: BatchSettings,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.archived = Archived()
        self._lake = lake
        self._layout = layout
        self._source = source
        self._policies = policies
        self._batch = batch
        self._clock = clock
        self._resume()

    def run(self, stop: Event, beat: Beat = no_beat) -> None:
        """Archive until `stop` is set; what was read by then is committed. A broker that is away is waited for."""
        while not stop.is_set():
            try:
                self._recover()
                self._gather(stop, beat)
                self._commit()
            except DependencyError as error:
                log.warning("broker.lost", extra={"problem": str(error)})
                stop.wait(RETRY_S)

    def run_to_end(self) -> None:
        """Archive at least all that the topic holds now, and return."""
        self._recover()
        self._take_mark()
        goal, never = self._mark, Event()
        while not goal.is_passed_by(self._committed):
            self._recover()
            self._gather(never, until_passed=goal)
            self._commit()
        self._recover()
        self._commit()  # nothing may have been there to archive, and yet a bucket have come to its end

    def _recover(self) -> None:
        """After another archiver was first: go on behind it. Nothing may be committed before this has succeeded."""
        if self._is_overtaken:
            self._resume()

    def _resume(self) -> None:
        """Forget what was read and go on from what is committed."""
        self._lake.refresh()
        topic, bounds = self._source.topic, self._source.bounds()
        found = {partition: self._lake.progress(offset_mark(topic, partition)) for partition in bounds}
        self._committed = {partition: offset for partition, offset in found.items() if offset is not None}
        self._starts = {partition: start for partition, (start, _) in bounds.items()}
        self._positions = self._starts | self._committed
        for partition, (start, end) in bounds.items():
            refuse_a_gap(topic, partition, self._positions[partition], start, end)
        self._through_ms = self._lake.progress(through_mark(topic)) or 0
        self._source.seek(self._positions)
        self._buffer: list[pa.RecordBatch] = []
        self._take_mark()
        self._is_overtaken = False

    def _take_mark(self) -> None:
        at_ms = self._clock()  # before the offsets are read, never after
        self._mark = Mark(at_ms, {partition: end for partition, (_, end) in self._source.bounds().items()})
        self._report_lag()

    def _report_lag(self) -> None:
        """What of the mark is not in the lake; less than all that is waiting, until the next mark is taken."""
        committed = self._starts | self._committed
        lag = sum(max(0, end - committed.get(partition, 0)) for partition, end in self._mark.ends.items())
        ARCHIVER_LAG.labels(self._layout.name).set(lag)

    def _gather(self, stop: Event, beat: Beat = no_beat, *, until_passed: Mark | None = None) -> None:
        """Read until the interval is over, the buffer is full or a mark is passed."""
        deadline = time.monotonic() + self._batch.archive_interval_ms / 1000
        while time.monotonic() < deadline and not stop.is_set():
            beat()
            if until_passed is not None and until_passed.is_passed_by(self._positions):
                return
            room = min(POLL_RECORDS_MAX, self._batch.archive_rows_max - sum(batch.num_rows for batch in self._buffer))
            if room <= 0 or sum(batch.nbytes for batch in self._buffer) >= BUFFER_BYTES_MAX:
                return
            self._take(self._source.poll(POLL_TIMEOUT_MS, room))
            self._positions |= self._source.positions()  # only after the records are ours: this too may fail

    def _take(self, records: list[Any]) -> None:
        """Screen records, buffer those that pass, and advance past all of them."""
        screened, admission = [], self._policies.admission
        for record in records:
            stamp = Stamp(record.timestamp, record.partition, record.offset)
            try:
                screened.append(self._layout.screen(_text(record.key), record.value or b"", stamp, admission))
            except RejectedEvent as error:
                self.archived.refused[error.reason] += 1
                ARCHIVER_DEAD_LETTERS.labels(self._layout.name, error.reason).inc()
            self._positions[record.partition] = record.offset + 1
        if screened:
            self._buffer.append(self._layout.to_rows(screened, self._policies.bucket))
            self._report_after_closing(screened)

    def _commit(self) -> None:
        """Append the buffer with the positions; after the mark is passed, say so and take the next one."""
        topic, started = self._source.topic, time.monotonic()
        is_passed = self._mark.is_passed_by(self._positions)
        progress = {
            offset_mark(topic, partition): offset
            for partition, offset in self._positions.items()
            if self._committed.get(partition) != offset
        }
        closes = is_passed and self._closed_end(self._mark.at_ms) > self._closed_end(self._through_ms)
        if progress or closes:
            if is_passed:
                progress[through_mark(topic)] = max(self._mark.at_ms, self._through_ms)
            known = {offset_mark(topic, partition): self._committed.get(partition) for partition in self._positions}
            try:
                self._lake.append(self._buffer, progress, known=known | {through_mark(topic): self._through_ms or None})
            except Overtaken as error:
                self.archived.overtaken += 1
                log.warning("archiver.overtaken", extra={"problem": str(error)})
                self._is_overtaken = True
                return
            self._note_commit(progress.get(through_mark(topic)), started)
        if closes:
            self._tidy()
        if is_passed:
            self._take_mark()

    def _note_commit(self, through_ms: int | None, started: float) -> None:
        rows = sum(batch.num_rows for batch in self._buffer)
        self.archived.rows += rows
        self.archived.commits += 1
        self._committed = dict(self._positions)
        self._through_ms = through_ms or self._through_ms
        self._buffer = []
        took_s = time.monotonic() - started
        ARCHIVER_ROWS.labels(self._layout.name).inc(rows)
        ARCHIVER_COMMIT_SECONDS.labels(self._layout.name).observe(took_s)
        self._report_lag()
        facts = {
            "table": self._layout.name,
            "rows": rows,
            "lake_version": self._lake.version,
            "through_ms": self._through_ms,
        }
        facts["took_ms"] = round(took_s * 1000)
        log.info("rows.archived", extra=facts | {"refused_total": self.archived.refused.total()})

    def _tidy(self) -> None:
        try:
            self._lake.compact(self._closed_end(self._through_ms))
        except Overtaken as error:
            log.info("lake.left_uncompacted", extra={"problem": str(error)})
            self._lake.refresh()

    def _closed_end(self, through_ms: int) -> int:
        return self._policies.bucket.last_closed_end(through_ms, self._batch.closing_grace_ms)

    def _report_after_closing(self, screened: list[Stamped]) -> None:
        """A record below a committed cutoff is kept, but what batch has published lacks it: a person must look."""
        closed_end_ms = self._closed_end(self._through_ms)
        lost = [record.stamp for record in screened if record.stamp.received_at_ms < closed_end_ms]
        if lost:
            self.archived.after_closing += len(lost)
            error = ConsistencyError(
                f"{len(lost)} records of {self._source.topic}, the first {lost[0]}, were taken before {closed_end_ms}, "
                "where the buckets are closed: set the broker's clock right and run `python -m batch daily` again"
            )
            log.error("bucket.reopened", extra={"records": len(lost), "problem": str(error)})


def closed_cutoff(lake: Lake, topic: str, policy: BucketPolicy, grace_ms: int) -> int | None:
    """The end of the newest bucket that is closed in this table; None when no archiver has yet passed a mark."""
    through_ms = lake.progress(through_mark(topic))
    return None if through_ms is None else policy.last_closed_end(through_ms, grace_ms)


def _text(key: bytes | None) -> str:
    """The key as text, or empty, which is nobody's key."""
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""
