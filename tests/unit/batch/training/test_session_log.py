"""Sessions from a file into arrays: the same whatever the order of the file's rows."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch.training.session_log import ORDER, DatedSessions
from domain.recommenders.vocabulary import Vocabulary
from schemas.events import KINDS

ITEMS = tuple(f"item-{number}" for number in range(7))


def sessions(count: int) -> list[dict[str, Any]]:
    """Sessions of which many ended at the same instant."""
    chosen = random.Random(3)
    return [
        {
            "visitor_id": f"visitor-{chosen.randrange(9)}",
            "session": number,
            "started_at_ms": 5,
            "ended_at_ms": 10 + chosen.randrange(6),
            "items": chosen.choices(ITEMS, k=chosen.randrange(2, 6)),
        }
        for number in range(count)
    ]


def test_sessions_are_read_by_time_and_then_by_name_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    rows = sessions(60)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "sessions.parquet", row_group_size=25)
    read = DatedSessions.read(tmp_path / "sessions.parquet", Vocabulary(ITEMS))
    expected = sorted(rows, key=lambda row: [row[name] for name, _ in ORDER])
    found = [
        read.log.items[start:end].tolist() for start, end in zip(read.log.offsets, read.log.offsets[1:], strict=False)
    ]
    assert found == [[ITEMS.index(item) for item in row["items"]] for row in expected]
    assert read.log.ended_at_ms.tolist() == [row["ended_at_ms"] for row in expected]
    assert read.visitors is None


def test_visitors_are_numbered_in_the_order_of_their_sessions(tmp_path: Path) -> None:
    rows = sessions(60)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "sessions.parquet", row_group_size=25)
    read = DatedSessions.read(tmp_path / "sessions.parquet", Vocabulary(ITEMS), with_visitors=True)
    in_order = [row["visitor_id"] for row in sorted(rows, key=lambda row: [row[name] for name, _ in ORDER])]
    numbers = {visitor: number for number, visitor in enumerate(dict.fromkeys(in_order))}
    some = np.arange(len(rows)) % 3 == 1
    for found, names in ((read.visitors, in_order), (read.where(some).visitors, in_order[1::3])):
        assert found is not None
        assert found.tolist() == [numbers[name] for name in names]


def test_acts_stand_at_the_places_of_their_items_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    chosen, rows = random.Random(4), sessions(60)
    for row in rows:
        done = [
            [(chosen.choice(KINDS), chosen.randrange(9)) for _ in range(chosen.randrange(1, 4))] for _ in row["items"]
        ]
        row["kinds"] = [kind for acts in done for kind, _ in acts]
        row["values_micros"] = [value * 1_000_000 for acts in done for _, value in acts]
        row["moves"] = [at == 0 for acts in done for at in range(len(acts))]
        row["done"] = done
    written = [{name: value for name, value in row.items() if name != "done"} for row in rows]
    pq.write_table(pa.Table.from_pylist(written), tmp_path / "sessions.parquet", row_group_size=25)
    read = DatedSessions.read(tmp_path / "sessions.parquet", Vocabulary(ITEMS), with_acts=True)
    in_order = [row["done"] for row in sorted(rows, key=lambda row: [row[name] for name, _ in ORDER])]
    some = np.arange(len(rows)) % 3 == 1
    for found, expected in ((read.acts, in_order), (read.where(some).acts, in_order[1::3])):
        assert found is not None
        told = [(KINDS[kind], value) for kind, value in zip(found.kinds, found.values, strict=True)]
        at_places = [told[start:end] for start, end in pairwise(found.offsets.tolist())]
        assert at_places == [acts for done in expected for acts in done]


def test_a_file_without_sessions_is_read_too(tmp_path: Path) -> None:
    schema = pa.Table.from_pylist(sessions(1)).schema
    pq.write_table(schema.empty_table(), tmp_path / "sessions.parquet")
    read = DatedSessions.read(tmp_path / "sessions.parquet", Vocabulary(ITEMS), with_visitors=True)
    assert len(read) == 0
