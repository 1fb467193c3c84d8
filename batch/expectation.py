"""What the log says that a store must say of one key: the naive reference, cut to what a stored row claims to cover.

A merged row claims `covered_to_ms` (all that was received before it, imported or live) and, per partition, the newest
live offset. A session row claims offsets alone. History that no batch row covers is in no store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.facts import Fact, Stamp, to_fact
from domain.features import SESSION, Entity
from domain.policies import Policies
from domain.reference import LogRecord, admitted, merged_values, timeline

Offsets = Mapping[int, int]
Key = tuple[Entity, str]


@dataclass(slots=True)
class KeyLog:
    """What the log holds of one key: the facts that are folded, and the stamps of all that was observed for it."""

    facts: list[tuple[Fact, Stamp]] = field(default_factory=list)
    observed: list[Stamp] = field(default_factory=list)

    def newest_offsets(self, since_ms: int = 0) -> dict[int, int]:
        """Per partition the newest live fact that was received since an instant: what a row must have reached."""
        newest: dict[int, int] = {}
        for _, stamp in self.facts:
            if stamp.partition >= 0 and stamp.received_at_ms >= since_ms:
                newest[stamp.partition] = max(stamp.offset, newest.get(stamp.partition, -1))
        return newest

    def first_received_at_ms(self) -> int | None:
        """When the oldest fact was received; None without facts."""
        return min((fact.received_at_ms for fact, _ in self.facts), default=None)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a merged row says that it covers; live buckets below `dropped_through_ms` the stream has let go."""

    cutoff_ms: int
    dropped_through_ms: int
    offsets: Offsets

    @property
    def has_gap(self) -> bool:
        """Whether the stream has let go of what batch does not cover."""
        return self.dropped_through_ms > self.cutoff_ms

    def includes(self, stamp: Stamp) -> bool:
        """Whether a record must be in the row."""
        if stamp.received_at_ms < self.cutoff_ms:
            return True
        return stamp.received_at_ms >= self.dropped_through_ms and is_within(stamp, self.offsets)


def is_within(stamp: Stamp, offsets: Offsets) -> bool:
    """Whether a record is live and not above the offsets."""
    return stamp.partition >= 0 and stamp.offset <= offsets.get(stamp.partition, -1)


def reaches(offsets: Offsets, needed: Offsets) -> bool:
    """Whether offsets are at or above those needed."""
    return all(offsets.get(partition, -1) >= offset for partition, offset in needed.items())


def key_logs(log: Iterable[LogRecord], policies: Policies) -> dict[Key, KeyLog]:
    """The log by key. Of every visitor in it, the log must be whole: admission is decided visitor by visitor."""
    records = list(log)
    logs: dict[Key, KeyLog] = defaultdict(KeyLog)
    for record in records:
        logs["visitor", record.event.visitor_id].observed.append(record.stamp)
    for record in admitted(records, policies):
        event, fact = record.event, to_fact(record.event, record.stamp.received_at_ms)
        item = logs["item", event.item_id]
        item.facts.append((fact, record.stamp))
        item.observed.append(record.stamp)
        if event.personalise:
            logs["visitor", event.visitor_id].facts.append((fact, record.stamp))
    return dict(logs)


def expected_profile(entity: Entity, log: KeyLog, claim: Claim, as_of_ms: int, policies: Policies) -> dict[str, Any]:
    """The cells of `visitor_profile` or `item_stats`, finished at the row's own instant, which is checked too."""
    newest_ms = max((s.received_at_ms for s in log.observed if is_within(s, claim.offsets)), default=0)
    facts = [fact for fact, stamp in log.facts if claim.includes(stamp)]
    values = merged_values(entity, facts, as_of_ms, policies)
    return {"as_of_ms": max(claim.cutoff_ms, newest_ms), "history_gap": int(claim.has_gap), **values}


def expected_session(log: KeyLog, offsets: Offsets, policies: Policies) -> dict[str, Any] | None:
    """The cells of `visitor_session`; None when there is no visit."""
    facts = [fact for fact, stamp in log.facts if is_within(stamp, offsets)]
    session = timeline(facts, policies).current_session(policies.session)
    if not session:
        return None
    return {value.name: value.derive(session) for feature in SESSION for value in feature.values}
