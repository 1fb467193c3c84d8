"""Compare keys: read their rows, fold the log up to what each row claims, and try again what is not ready.

It works under live traffic, because every row tells the offsets that it includes: the log is folded up to exactly
those. So a row is compared as soon as it has reached what the log held when the comparison began. Item rows draw
from all partitions and are compared only when the item is quiet: when none of its records is above the row's offsets.
A row that is not ready is read again until the deadline. After that, one that is absent or behind is a mismatch, and
one that live traffic kept in motion is `unsettled`; at rest that is a mismatch too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from batch.expectation import (
    Claim,
    Key,
    KeyLog,
    Offsets,
    dropped_at_most_ms,
    expected_history,
    expected_profile,
    expected_recent,
    expected_session,
    forgotten_before_ms,
    reaches,
)
from batch.parity_findings import Comparison, Mismatch, Parity, Unready
from domain.features import GENERATION, Entity, column_names, stream_view_columns
from domain.merge import Cells
from domain.policies import Policies

RETRY_S: Final = 1.0
ENTITIES: Final[tuple[Entity, ...]] = ("visitor", "item")
FOREVER_MS: Final = 1 << 62


class Rows(Protocol):
    """The online stores."""

    def read(self, entity: Entity, keys: Sequence[str]) -> Mapping[str, Cells]:
        """All columns of the entity's views by key; None in the columns of a view that has no row."""


class Log(Protocol):
    """The lake, kept behind the stream by an archiver or by us."""

    def keys(self) -> dict[Entity, list[str]]:
        """Every visitor and item."""

    def held(self) -> Offsets:
        """Per partition the newest live offset that it holds."""

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        """The logs of these keys at least; an empty one for a key that the log does not know."""

    def catch_up(self, offsets: Offsets) -> None:
        """Hold everything up to these offsets."""


@dataclass(frozen=True, slots=True)
class Owed:
    """What the layers owe us at the beginning of a comparison.

    `published_ms`: the cutoff of the run that is published whole, so that every row of it must be in the store.
    `cutoff_max_ms`: no batch row can have a later cutoff.
    `stream_since_ms`: a stream row must include what was received from here on.
    `rebuilt_ms`: a rebuilt stream has read the log from here on at least.
    """

    published_ms: int = 0
    cutoff_max_ms: int = FOREVER_MS
    stream_since_ms: int = 0
    rebuilt_ms: int = 0

    @classmethod
    def at(cls, now_ms: int, published_ms: int, policies: Policies, row_ttl_ms: int) -> Owed:
        """What is owed until `now_ms`, which is the instant at which the last row is read.

        A key's state is let go `kept + dedup + 2` buckets after its newest one, and its row with it. A rebuild reads
        what any state that was not let go may hold, and before that all that its timeline reaches back to.
        """
        bucket = policies.bucket
        rebuilt_ms = now_ms - (bucket.kept + bucket.dedup) * bucket.period_ms - policies.timeline.horizon_ms
        return cls(
            published_ms=published_ms,
            cutoff_max_ms=now_ms,
            stream_since_ms=now_ms - min(row_ttl_ms, (bucket.kept + bucket.dedup + 2) * bucket.period_ms),
            rebuilt_ms=bucket.start_of(max(0, rebuilt_ms)),
        )


class Comparer:
    """Compares the stores with the log."""

    def __init__(self, rows: Rows, archived: Log, policies: Policies, owed: Owed) -> None:
        self._rows = rows
        self._log = archived
        self._policies = policies
        self._owed = owed
        self._seen_ms: dict[Entity, int] = dict.fromkeys(ENTITIES, owed.published_ms)

    def run(self, keys: Sequence[Key], *, is_at_rest: bool, limit_s: float) -> Parity:
        """Compare these keys."""
        held = self._log.held()
        found, pending, deadline = Parity(), list(keys), time.monotonic() + limit_s
        while pending:
            is_last = time.monotonic() >= deadline
            judged = self._judge_all(self._read_rows(pending), held)
            pending = []
            for key, judgement in judged.items():
                if is_last or _is_final(key, judgement):
                    found.add(judgement, is_at_rest=is_at_rest)
                else:
                    pending.append(key)
            if pending:
                time.sleep(min(RETRY_S, max(0.0, deadline - time.monotonic())))
        return found

    def _read_rows(self, keys: Sequence[Key]) -> dict[Key, Cells]:
        rows: dict[Key, Cells] = {}
        for entity in ENTITIES:
            found = self._rows.read(entity, [key for of, key in keys if of == entity])
            rows.update({(entity, key): row for key, row in found.items()})
        return rows

    def _judge_all(self, rows: Mapping[Key, Cells], held: Offsets) -> dict[Key, Comparison | Unready]:
        self._log.catch_up(_newest_offsets(rows.values()))
        logs = self._log.read(list(rows))
        for (entity, _), row in rows.items():  # over all passes: the rows that tell it are pending in the first alone
            self._seen_ms[entity] = max(self._seen_ms[entity], row["cutoff_ms"] or 0)
        return {
            key: self._unpublished(key, row, logs[key])
            or self._behind(key, row, logs[key], held)
            or self._compared(key, row, logs[key])
            for key, row in rows.items()
        }

    def _unpublished(self, key: Key, row: Cells, one: KeyLog) -> Unready | None:
        """Whether the key's batch row is absent, of an older run than the published one, or of none that can be."""
        cutoff_ms, period_ms = row["cutoff_ms"], self._policies.bucket.period_ms
        if cutoff_ms is None:
            published_ms = self._seen_ms[key[0]]
            if not one.is_known_below(key[1], published_ms):
                return None
            # A publish that is on its way may bring the row yet.
            is_in_motion = not one.is_known_below(key[1], self._owed.published_ms)
            return Unready(Mismatch("cutoff_ms", key[1], published_ms, None), is_in_motion)
        if cutoff_ms % period_ms or not self._owed.published_ms <= cutoff_ms <= self._owed.cutoff_max_ms:
            right_ms = self._owed.published_ms or self._policies.bucket.start_of(cutoff_ms)
            return Unready(Mismatch("cutoff_ms", key[1], right_ms, cutoff_ms), is_in_motion=False)
        return None

    def _behind(self, key: Key, row: Cells, one: KeyLog, held: Offsets) -> Unready | None:
        """Whether a stream row is absent, or below what the log held when the comparison began."""
        since_ms = max(self._owed.stream_since_ms, row["cutoff_ms"] or 0)  # what is older, batch covers
        offsets = offsets_of("recent", row)
        if not reaches(offsets, needed := one.newest_offsets(since_ms, held)):
            return Unready(Mismatch("recent_offsets", key[1], needed, offsets), is_in_motion=False)
        if key[0] == "item":
            if not reaches(offsets, needed := one.newest_offsets(since_ms)):
                return Unready(Mismatch("recent_offsets", key[1], needed, offsets), is_in_motion=True)
            return None
        offsets = offsets_of("session", row)
        if not reaches(offsets, needed := one.newest_offsets(self._owed.stream_since_ms, held)):
            return Unready(Mismatch("session_offsets", key[1], needed, offsets), is_in_motion=False)
        return None

    def _compared(self, key: Key, row: Cells, one: KeyLog) -> Comparison:
        (entity, name), policies, claim = key, self._policies, self._claim(row, one)
        comparison = Comparison(name, has_gap=claim.has_gap or self._is_let_go(claim, one))
        if claim.cutoff_ms:
            comparison.compare(expected_history(key, one, claim, policies), row)
        if claim.offsets:
            comparison.compare(expected_recent(key, one, claim, policies), _uncovered(entity, row, claim))
            dropped_max_ms = dropped_at_most_ms(one, claim.offsets, policies.bucket)
            if claim.dropped_through_ms > dropped_max_ms:
                comparison.compare({"recent_dropped_through_ms": dropped_max_ms}, row)
        if claim.cutoff_ms or claim.offsets:
            profile = expected_profile(key, one, claim, row["as_of_ms"], policies)
            comparison.compare(profile, row)
            comparison.is_incomplete = bool(profile["incomplete"])
        if entity == "visitor":
            session = expected_session(one, offsets_of("session", row), claim.forgotten_ms, policies)
            if any(row[column] is not None for column in session):
                comparison.compare(session, row)
        return comparison

    def _claim(self, row: Cells, one: KeyLog) -> Claim:
        bucket, starts = self._policies.bucket, row["recent_buckets_ms"] or []
        cutoff_ms, dropped_ms = row["cutoff_ms"] or 0, row["recent_dropped_through_ms"] or 0
        said = Claim(cutoff_ms, dropped_ms, offsets_of("recent", row))
        forgotten_ms = forgotten_before_ms(one, said, min(starts, default=0), self._owed.rebuilt_ms, bucket)
        generations = zip(starts, row["recent_generations"] or [1] * len(starts), strict=True)
        return replace(
            said,
            forgotten_ms=forgotten_ms,
            history_generation=(row["history_generation"] or 1) if cutoff_ms else GENERATION,
            recent_generation=min((one for start, one in generations if start >= cutoff_ms), default=GENERATION),
        )

    def _is_let_go(self, claim: Claim, one: KeyLog) -> bool:
        """Whether the key's whole state was let go before batch had covered it."""
        return not claim.offsets and any(
            stamp.partition >= 0 and stamp.received_at_ms >= claim.cutoff_ms for _, stamp in one.facts
        )


def offsets_of(prefix: str, row: Cells) -> Offsets:
    """The offsets that a stream row includes; none when it is absent."""
    partitions, offsets = row[f"{prefix}_offset_partitions"] or (), row[f"{prefix}_offsets"] or ()
    return dict(zip(partitions, offsets, strict=True))


def _is_final(key: Key, judged: Comparison | Unready) -> bool:
    """Whether to look no more. Records reach an item on several ways, so that one which differs may yet settle."""
    return isinstance(judged, Comparison) and (key[0] == "visitor" or not judged.mismatches)


def _uncovered(entity: Entity, row: Cells, claim: Claim) -> dict[str, Any]:
    """A stream row without the buckets that batch covers."""
    starts = row["recent_buckets_ms"] or []
    kept = [at for at, start_ms in enumerate(starts) if start_ms >= claim.recent_from_ms]
    cells = dict(row)
    for name in column_names(stream_view_columns(entity)):
        if isinstance(row[name], list) and not name.startswith("recent_offset"):
            cells[name] = [row[name][at] for at in kept if at < len(row[name])]
        elif not kept and row[name] is None:
            cells[name] = []  # a row from before the feature, of which no bucket is left
    return cells


def _newest_offsets(rows: Iterable[Cells]) -> Offsets:
    """Per partition the newest offset that any row includes."""
    newest: dict[int, int] = {}
    for row in rows:
        for prefix in ("recent", "session"):
            if f"{prefix}_offsets" in row:
                for partition, offset in offsets_of(prefix, row).items():
                    newest[partition] = max(offset, newest.get(partition, -1))
    return newest
