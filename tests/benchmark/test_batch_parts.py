"""The parts of the batch benchmark: its lake is what the archiver would have written, and its fit finds a power."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch.lake.impressions import IMPRESSIONS
from batch.lake.impressions import to_records as to_slates
from batch.lake.interactions import INTERACTIONS, to_records
from batch.lake.table import open_table
from domain.impressions import impression_counts
from domain.policies import Policies
from domain.reference import admitted
from infra.settings import Settings
from tests.benchmark.bench_batch import growth
from tests.benchmark.lake_maker import CUTOFF_MS, DAYS, FIRST_DAY_MS, Shop, make_lake


def test_the_made_lake_has_events_of_the_contract_duplicates_and_slates_that_were_followed(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    cut = make_lake(settings, Shop(3_000, 50))
    records = to_records(open_table(settings, INTERACTIONS).read())
    slates = to_slates(open_table(settings, IMPRESSIONS).read())
    assert (len(records), len(slates)) == (cut.records, cut.impressions)
    assert 2_500 < len(records) < 3_500
    counted = admitted(records, Policies())
    assert 0 < len(records) - len(counted) < 100
    assert {one.stamp.received_at_ms // 86_400_000 for one in records} == {
        FIRST_DAY_MS // 86_400_000 + n for n in range(DAYS)
    }
    assert sum(counts.clicked for counts in impression_counts(slates, counted, CUTOFF_MS).values()) > 0


def test_the_same_seed_makes_the_same_lake_and_offsets_rise_with_time(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "other"):
        settings = Settings(state_dir=tmp_path / name)
        make_lake(settings, Shop(3_000, 50))
        tables.append(open_table(settings, INTERACTIONS).read().sort_by("offset"))
    assert tables[0] == tables[1]
    received = tables[0]["received_at_ms"].to_pylist()
    assert received == sorted(received)


def test_the_growth_is_the_power_that_the_times_follow() -> None:
    runs: list[dict[str, Any]] = [
        {"events": events, "total_s": 2e-6 * events**0.9, "steps": {}}
        for events in (1, 3_000_000, 10_000_000, 30_000_000)
    ]
    assert growth(runs, "total") == {"exponent": 0.9, "runs": 3, "interval": [pytest.approx(0.9), pytest.approx(0.9)]}
    assert growth(runs[:2], "total") is None
