"""The totals of a partition's entities against the folds of the aggregates, on a generated log: no engine runs."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from batch.features.admission import screened
from batch.features.parts import parts_of
from batch.features.plan import partition_totals
from domain import reference
from domain.facts import to_fact
from domain.features import JOIN_KEYS, Entity, Feature, features_of
from domain.reference import LogRecord
from tests.integration.generated_log import POLICIES, generated_log
from tests.integration.unusual_features import UNUSUAL, folded


def table_of(log: list[LogRecord]) -> pa.Table:
    """The records as facts, in no order."""
    rows = []
    for one in log[::2] + log[1::2]:
        fact = to_fact(one.event, one.stamp.received_at_ms)
        rows.append(
            {name: getattr(fact, name) for name in fact.__struct_fields__}
            | {"partition": one.stamp.partition, "offset": one.stamp.offset}
            | {"bucket_ms": POLICIES.bucket.start_of(fact.received_at_ms), "personalise": one.event.personalise}
        )
    return pa.Table.from_pylist(rows)


def totals_of(key: str, features: list[Feature], facts: pa.Table) -> dict[str, dict[str, Any]]:
    rows = partition_totals(key, parts_of(features), POLICIES.bucket, facts).to_pylist()
    return {row.pop(key): row for row in rows}


@pytest.mark.parametrize("entity", list(JOIN_KEYS))
@pytest.mark.parametrize("features", ["catalogue", "unusual"])
def test_every_total_equals_the_fold_of_its_aggregate(entity: Entity, features: str) -> None:
    catalogue = list(features_of(entity)) if features == "catalogue" else UNUSUAL
    log = generated_log(3)
    by_key = reference.facts_by_key(entity, log, POLICIES)
    admitted = screened(POLICIES, table_of(log))
    counted = admitted if entity == "item" else admitted.filter(admitted["personalise"])
    found = totals_of(JOIN_KEYS[entity], catalogue, counted)
    assert found.keys() == by_key.keys()
    for feature in catalogue:
        for key, facts in by_key.items():
            assert {name: found[key][name] for name in feature.total_names} == folded(feature, facts, POLICIES.bucket)
