"""The naive reference: what every store must say, recomputed from the raw log by the most obvious code there is.

It keeps everything, forgets nothing and has no shortcuts. Tests and parity compare the clever versions with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from domain.facts import Fact, Stamp, to_fact
from domain.features import Entity, batch_only_of, derived_of, features_of
from domain.policies import Policies
from domain.timeline import Timeline, to_visit
from schemas.events import InteractionEvent


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One screened record of the log."""

    event: InteractionEvent
    stamp: Stamp


def admitted(log: Iterable[LogRecord], policies: Policies) -> list[LogRecord]:
    """The records that count, by rule 1: no event that was seen within `dedup` buckets, no flood, in offset order.

    Each partition by itself, for there is no order across them; imported history is a partition too, so that it and
    live records do not know of each other. At most `admitted_max` events are remembered of a visitor and bucket.
    """
    period_ms, remembered = policies.bucket.period_ms, policies.bucket.dedup
    buckets_of: dict[tuple[int, str, str], set[int]] = defaultdict(set)
    count_of: dict[tuple[int, str, int], int] = defaultdict(int)
    kept = []
    for record in sorted(log, key=lambda one: (one.stamp.partition, one.stamp.offset)):
        event, bucket = record.event, record.stamp.received_at_ms // period_ms
        place = (record.stamp.partition, event.visitor_id)
        buckets = buckets_of[*place, event.event_id]
        was_seen = any(bucket - remembered <= before <= bucket for before in buckets)
        if bucket not in buckets and count_of[*place, bucket] < policies.admission.admitted_max:
            buckets.add(bucket)
            count_of[*place, bucket] += 1
            if not was_seen:
                kept.append(record)
    return kept


def facts_by_key(entity: Entity, log: Iterable[LogRecord], policies: Policies) -> dict[str, list[Fact]]:
    """Admitted facts per visitor (without those that must not personalise) or per item."""
    facts: dict[str, list[Fact]] = defaultdict(list)
    for record in admitted(log, policies):
        fact = to_fact(record.event, record.stamp.received_at_ms)
        if entity == "item":
            facts[fact.item_id].append(fact)
        elif record.event.personalise:
            facts[fact.visitor_id].append(fact)
    return dict(facts)


def totals(entity: Entity, facts: Iterable[Fact], policies: Policies) -> dict[str, Any]:
    """The total of every feature over all buckets, by feature name."""
    by_bucket: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_bucket[policies.bucket.start_of(fact.received_at_ms)].append(fact)
    found = {}
    for feature in features_of(entity):
        total = feature.aggregate.nothing()
        for start_ms in sorted(by_bucket):
            state = feature.aggregate.zero()
            for fact in by_bucket[start_ms]:
                state = feature.aggregate.add(state, fact, policies.bucket)
            total = feature.aggregate.extend(total, state, start_ms)
        found[feature.name] = total
    return found


def merged_values(
    entity: Entity,
    facts: Iterable[Fact],
    as_of_ms: int,
    policies: Policies,
    batch_counts: Mapping[str, int] | None = None,
) -> Mapping[str, Any]:
    """The finished values of every feature at an instant: what the merged view must say, without its provenance.

    `batch_counts` are those of the features that only batch can tell, 0 where it says nothing.
    """
    found = totals(entity, facts, policies)
    values: dict[str, Any] = {"as_of_ms": as_of_ms}
    for feature in features_of(entity):
        finished = feature.aggregate.finish(found[feature.name], as_of_ms)
        values.update(zip(feature.value_names, finished, strict=True))
    for counted in batch_only_of(entity):
        values.update({count: (batch_counts or {}).get(count, 0) for count in counted.counts})
    for derived in derived_of(entity):
        values[derived.name] = derived.derive(values)
    del values["as_of_ms"]
    return values


def timeline(facts: Iterable[Fact], policies: Policies) -> Timeline:
    """The visitor's timeline: all visits at once, cut to the policy's bounds."""
    visits = tuple(to_visit(fact) for fact in facts)
    return Timeline(visits).merge(Timeline(), policies.timeline)
