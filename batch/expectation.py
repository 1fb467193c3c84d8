"""What the log says that a store must say of one key: the naive reference, cut to what a stored row claims to cover.

A batch row claims `cutoff_ms`: all that was received before it, imported or live. A stream row claims, per partition,
the newest live offset. A merged row claims both. History that no batch row covers is in no store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.facts import Fact, Stamp, to_fact
from domain.features import GENERATION, SESSION, Entity, batch_only_of, features_of
from domain.impressions import ImpressionCounts, ImpressionRecord, impression_counts
from domain.merge import incomplete_features
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord, admitted, merged_values, timeline, totals
from domain.sessions import Session

Offsets = Mapping[int, int]
Key = tuple[Entity, str]


@dataclass(slots=True)
class KeyLog:
    """What the log holds of one key: the facts that are folded, and the stamps of all that was observed for it.

    Of an item also the slates that showed it, and the interactions that name a slate.
    """

    facts: list[tuple[Fact, Stamp]] = field(default_factory=list)
    observed: list[Stamp] = field(default_factory=list)
    shown: list[ImpressionRecord] = field(default_factory=list)
    responses: list[LogRecord] = field(default_factory=list)

    def add(self, fact: Fact, record: LogRecord) -> None:
        """One more admitted interaction with the item."""
        self.facts.append((fact, record.stamp))
        self.observed.append(record.stamp)
        if record.event.slate_id is not None:
            self.responses.append(record)

    def newest_offsets(self, since_ms: int, within: Offsets | None = None) -> dict[int, int]:
        """Per partition the newest live fact of those received since an instant, and of those within offsets."""
        newest: dict[int, int] = {}
        for _, stamp in self.facts:
            if (
                stamp.partition >= 0
                and stamp.received_at_ms >= since_ms
                and (within is None or is_within(stamp, within))
            ):
                newest[stamp.partition] = max(stamp.offset, newest.get(stamp.partition, -1))
        return newest

    def is_known_below(self, key: str, cutoff_ms: int) -> bool:
        """Whether batch has a row of this key at a cutoff: for a fact, or for a slate that counts as showing it."""
        if any(stamp.received_at_ms < cutoff_ms for _, stamp in self.facts):
            return True
        return key in impression_counts(self.shown, (), cutoff_ms)

    def received_at_ms(self, offsets: Offsets) -> int:
        """When the newest record was received that these offsets include; 0 without one."""
        return max((stamp.received_at_ms for stamp in self.observed if is_within(stamp, offsets)), default=0)

    def batch_counts(self, key: Key, cutoff_ms: int) -> dict[str, int]:
        """The counts that only batch can tell, below its cutoff."""
        entity, name = key
        counts = impression_counts(self.shown, self.responses, cutoff_ms).get(name, ImpressionCounts())
        found = counts._asdict()
        return {count: found[count] for feature in batch_only_of(entity) for count in feature.counts}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a merged row says that it covers.

    Live buckets below `dropped_through_ms` the stream has let go, one by one; those below `forgotten_ms` it has let go
    with a whole state (`forgotten_before_ms`). `generation` is the oldest catalogue's of all that is merged.
    """

    cutoff_ms: int
    dropped_through_ms: int
    offsets: Offsets
    forgotten_ms: int = 0
    history_generation: int = GENERATION
    recent_generation: int = GENERATION

    @property
    def has_gap(self) -> bool:
        """Whether the stream has let go of what batch does not cover."""
        return max(self.dropped_through_ms, self.forgotten_ms) > self.cutoff_ms

    @property
    def recent_from_ms(self) -> int:
        """The start of the oldest bucket that the merged row takes from the stream."""
        return max(self.cutoff_ms, self.dropped_through_ms, self.forgotten_ms)

    @property
    def generation(self) -> int:
        """The oldest generation of what is merged."""
        return min(self.history_generation, self.recent_generation)

    def includes(self, stamp: Stamp) -> bool:
        """Whether a record must be in the row."""
        return stamp.received_at_ms < self.cutoff_ms or self.has_recent(stamp)

    def has_recent(self, stamp: Stamp) -> bool:
        """Whether a record must be in the part that comes from the stream."""
        return stamp.received_at_ms >= self.recent_from_ms and is_within(stamp, self.offsets)


def is_within(stamp: Stamp, offsets: Offsets) -> bool:
    """Whether a record is live and not above the offsets."""
    return stamp.partition >= 0 and stamp.offset <= offsets.get(stamp.partition, -1)


def reaches(offsets: Offsets, needed: Offsets) -> bool:
    """Whether offsets are at or above those needed."""
    return all(offsets.get(partition, -1) >= offset for partition, offset in needed.items())


def key_logs(
    log: Iterable[LogRecord], keys: Iterable[Key], policies: Policies, impressions: Iterable[ImpressionRecord] = ()
) -> dict[Key, KeyLog]:
    """The logs of these keys.

    Of every visitor in the log, it must be whole: admission is decided visitor by visitor. Of every slate too.
    """
    records, logs = list(log), {key: KeyLog() for key in keys}
    for record in records:
        if visitor := logs.get(("visitor", record.event.visitor_id)):
            visitor.observed.append(record.stamp)
    for record in admitted(records, policies):
        visitor, item = logs.get(("visitor", record.event.visitor_id)), logs.get(("item", record.event.item_id))
        if visitor or item:
            fact = to_fact(record.event, record.stamp.received_at_ms)
            if item:
                item.add(fact, record)
            if visitor and record.event.personalise:
                visitor.facts.append((fact, record.stamp))
    for slate in _by_slate(impressions).values():
        for item_id in {item_id for shown in slate for item_id in shown.event.items}:
            if item := logs.get(("item", item_id)):
                item.shown += slate
    return logs


def _by_slate(impressions: Iterable[ImpressionRecord]) -> dict[str, list[ImpressionRecord]]:
    slates: dict[str, list[ImpressionRecord]] = defaultdict(list)
    for shown in impressions:
        slates[shown.event.slate_id].append(shown)
    return slates


def expected_history(key: Key, log: KeyLog, claim: Claim, policies: Policies) -> dict[str, Any]:
    """The cells of `visitor_history` or `item_profile`: the totals of all that was received before the cutoff.

    Without those of features that are newer than the row.
    """
    covered = [fact for fact, _ in log.facts if fact.received_at_ms < claim.cutoff_ms]
    found = totals(key[0], covered, policies)
    cells: dict[str, Any] = {}
    for feature in features_of(key[0]):
        if feature.since <= claim.history_generation:
            packed = feature.aggregate.pack_total(found[feature.name])
            cells.update(zip(feature.total_names, packed, strict=True))
    counts = log.batch_counts(key, claim.cutoff_ms)
    return cells | {f"history_{name}": count for name, count in counts.items()}


def expected_recent(key: Key, log: KeyLog, claim: Claim, policies: Policies) -> dict[str, Any]:
    """The cells of `visitor_recent` or `item_trend`, of the buckets that batch does not cover.

    The other buckets nobody reads any more, and after a rebuild they need not be whole. Of a feature that is newer
    than one of the buckets, that bucket has a part at most, so that such features are left out.
    """
    by_bucket: dict[int, list[Fact]] = defaultdict(list)
    for fact, stamp in log.facts:
        if claim.has_recent(stamp):
            by_bucket[policies.bucket.start_of(fact.received_at_ms)].append(fact)
    starts = sorted(by_bucket)
    cells: dict[str, Any] = {
        "recent_received_at_ms": log.received_at_ms(claim.offsets),
        "recent_buckets_ms": starts,
    }
    for feature in features_of(key[0]):
        if feature.since > claim.recent_generation:
            continue
        packed = []
        for start_ms in starts:
            state = feature.aggregate.zero()
            for fact in by_bucket[start_ms]:
                state = feature.aggregate.add(state, fact, policies.bucket)
            packed.append(feature.aggregate.pack_state(state))
        for index, name in enumerate(feature.state_names):
            cells[name] = [one[index] for one in packed]
    return cells


def dropped_at_most_ms(log: KeyLog, offsets: Offsets, policy: BucketPolicy) -> int:
    """The end of the newest bucket that the stream may have let go: it keeps the newest `policy.kept` of a key."""
    let_go = _bucket_starts(log, offsets, policy)[: -policy.kept]
    return let_go[-1] + policy.period_ms if let_go else 0


def forgotten_before_ms(log: KeyLog, row: Claim, oldest_ms: int, rebuilt_ms: int, policy: BucketPolicy) -> int:
    """The end of the newest bucket that the stream let go with a whole state, 0 when it let go none.

    A row whose oldest bucket starts at `oldest_ms` may lack older ones in two cases. The key was silent for so long
    that its state went (`kept + dedup + 2` whole buckets). Or batch covers them, and the stream was rebuilt from the
    log, of which it reads what was received from `rebuilt_ms` on at least.
    """
    missing = [
        start for start in _bucket_starts(log, row.offsets, policy) if row.dropped_through_ms <= start < oldest_ms
    ]
    if not missing:
        return 0
    ends_ms = missing[-1] + policy.period_ms
    is_silent = oldest_ms - ends_ms >= (policy.kept + policy.dedup + 2) * policy.period_ms
    return ends_ms if is_silent or ends_ms <= min(row.cutoff_ms, rebuilt_ms) else 0


def _bucket_starts(log: KeyLog, offsets: Offsets, policy: BucketPolicy) -> list[int]:
    return sorted({policy.start_of(fact.received_at_ms) for fact, stamp in log.facts if is_within(stamp, offsets)})


def expected_profile(key: Key, log: KeyLog, claim: Claim, as_of_ms: int, policies: Policies) -> dict[str, Any]:
    """The cells of `visitor_profile` or `item_stats`, finished at the row's own instant, which is checked too.

    Without the values of features of which the row says that it has a part at most.
    """
    entity, _ = key
    facts = [fact for fact, stamp in log.facts if claim.includes(stamp)]
    incomplete = incomplete_features(entity, claim.generation)
    provenance = {
        "as_of_ms": max(claim.cutoff_ms, log.received_at_ms(claim.offsets)),
        "covered_to_ms": claim.cutoff_ms,
        "history_gap": int(claim.dropped_through_ms > claim.cutoff_ms),
        "incomplete": incomplete,
    }
    values = dict(merged_values(entity, facts, as_of_ms, policies, log.batch_counts(key, claim.cutoff_ms)))
    partial = {name for feature in features_of(entity) if feature.name in incomplete for name in feature.value_names}
    return provenance | {name: value for name, value in values.items() if name not in {*incomplete, *partial}}


def expected_session(log: KeyLog, offsets: Offsets, forgotten_ms: int, policies: Policies) -> dict[str, Any]:
    """The cells of `visitor_session`; all None when there is no visit, because then there is no row."""
    facts = [fact for fact, stamp in log.facts if is_within(stamp, offsets) and stamp.received_at_ms >= forgotten_ms]
    visits = timeline(facts, policies).current_session(policies.session)
    values = [value for feature in SESSION for value in feature.values]
    if not visits:
        return {"session_received_at_ms": None} | {value.name: None for value in values}
    session = Session(visits)
    found = {value.name: value.derive(session) for value in values}
    return {"session_received_at_ms": log.received_at_ms(offsets)} | found
