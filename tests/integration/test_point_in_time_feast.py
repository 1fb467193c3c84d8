"""Feast's join of snapshots against what the naive reference says was known, without Spark and without servers."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from batch.training.point_in_time import KNOWN_TO, POSITION, VIEWS, known_columns, newest_cutoffs
from batch.training.point_in_time_feast import historical_rows
from batch.training.point_in_time_leaks import known_cells, plain
from domain import reference
from domain.features import GENERATION, JOIN_KEYS, batch_only_of, column_names
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema, offline_path
from tests.builders import START_MS
from tests.integration.generated_log import PERIOD_MS, POLICIES, generated_log

LOG = generated_log(6, records=400)
CUTOFFS = newest_cutoffs(START_MS + 45 * PERIOD_MS, 3, POLICIES.bucket)
FACTS = {entity: reference.facts_by_key(entity, LOG, POLICIES) for entity in JOIN_KEYS}


def asked_rows() -> pd.DataFrame:
    """The interactions of the cutoffs' buckets."""
    rows = [
        {
            "visitor_id": one.event.visitor_id,
            "item_id": one.event.item_id,
            "received_at_ms": one.stamp.received_at_ms,
            "partition": one.stamp.partition,
            "offset": one.stamp.offset,
            KNOWN_TO: POLICIES.bucket.start_of(one.stamp.received_at_ms),
        }
        for one in reference.admitted(LOG, POLICIES)
        if one.event.personalise and POLICIES.bucket.start_of(one.stamp.received_at_ms) in CUTOFFS
    ]
    return pd.DataFrame(rows).sort_values(list(POSITION), ignore_index=True)


def write_snapshots(folder: Path) -> None:
    """A row of every entity of which something was known, at every cutoff."""
    for entity, view in VIEWS.items():
        rows = []
        for cutoff_ms in CUTOFFS:
            at = datetime.fromtimestamp(cutoff_ms / 1_000, UTC)
            counts = {name: 0 for one in batch_only_of(entity) for name in column_names(one.total_columns())}
            for key, facts in FACTS[entity].items():
                if any(fact.received_at_ms < cutoff_ms for fact in facts):
                    head = {view.join_key: key, TIMESTAMP_COLUMN: at, "cutoff_ms": cutoff_ms}
                    head |= {"history_generation": GENERATION, **counts}
                    rows.append(head | known_cells(entity, facts, cutoff_ms, POLICIES))
        pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(view)), offline_path(folder, view.name))


def known(cell: Any) -> Any:
    """A cell as plain values; pandas says NaN for null, and then reads whole numbers as floats."""
    if isinstance(cell, float):
        return None if math.isnan(cell) else int(cell)
    return plain(cell)


def test_feast_gives_every_interaction_what_was_known_before_its_bucket(tmp_path: Path) -> None:
    write_snapshots(tmp_path)
    asked = asked_rows()
    assert len(asked) > 40
    found = historical_rows(tmp_path, asked)
    assert found[list(POSITION)].to_numpy().tolist() == asked[list(POSITION)].to_numpy().tolist()
    nulls = 0
    for (_, row), (_, ours) in zip(found.iterrows(), asked.iterrows(), strict=True):
        for entity, key in JOIN_KEYS.items():
            expected = known_cells(entity, FACTS[entity][ours[key]], ours[KNOWN_TO], POLICIES)
            nulls += expected[known_columns(entity)[0]] is None
            assert {name: known(row[name]) for name in expected} == {
                name: plain(cell) for name, cell in expected.items()
            }, (ours[key], ours[KNOWN_TO])
    assert nulls  # somebody's first bucket
