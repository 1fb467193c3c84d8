"""The parts of `bench_quality`: splits by time, judging of files, and the two protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.benchmark.quality_judging import K, Sheet, mark
from tests.benchmark.quality_splits import (
    QUERY_COLUMNS,
    Split,
    invoices_split,
    made_up_log,
    ratings_split,
    sessions_split,
    splits_of,
)
from tests.benchmark.quality_table import tables_of
from tests.benchmark.sampled_protocol import both_protocols

DAY_S = 86_400


def log_of(*rows: tuple[int, int, float], **columns: Any) -> pd.DataFrame:
    """From (user, item, instant)."""
    log = pd.DataFrame(rows, columns=["user_or_session_id", "item_id", "timestamp"])
    return log.assign(event_type="purchase", **columns)


def rows_of(queries: pd.DataFrame) -> list[tuple[object, ...]]:
    names = [name for name in QUERY_COLUMNS if name != "timestamp"]
    return [tuple(row) for row in queries[names].itertuples(index=False)]


def test_each_place_of_a_test_session_but_the_first_is_asked() -> None:
    log = log_of((1, 10, 0), (2, 22, 6), (2, 20, 4), (2, 21, 5), split=["train", "test", "test", "test"])
    train, queries = sessions_split(log)
    assert train["item_id"].tolist() == [10]
    assert rows_of(queries) == [(2, [20], 21, [21, 22]), (2, [20, 21], 22, [22])]


def test_later_ratings_of_known_users_are_asked_with_all_that_came_before() -> None:
    early = [(1, item, float(item)) for item in range(18)]
    log = log_of(*early, (9, 50, 20.0), (1, 60, 21.0), (1, 61, 22.0))
    train, queries = ratings_split(log)
    assert len(train) == 18
    known = list(range(18))
    assert rows_of(queries) == [(1, known, 60, [60, 61]), (1, [*known, 60], 61, [61])]


def test_an_invoice_of_a_known_customer_is_asked_as_one_basket() -> None:
    log = log_of((1, 10, 0.0), (1, 11, 50.0 * DAY_S), (1, 12, 50.0 * DAY_S), (2, 13, 50.0 * DAY_S))
    train, queries = invoices_split(log)
    assert train["item_id"].tolist() == [10]
    assert rows_of(queries) == [(1, [10], 11, [11, 12])]


def split_of(folder: Path, train: pd.DataFrame, queries: list[tuple[object, ...]]) -> Split:
    folder.mkdir()
    train.to_parquet(folder / "train.parquet")
    table = pd.DataFrame(queries, columns=["user_or_session_id", "prefix", "target", "rest"])
    table.insert(0, "query_id", range(len(table)))
    table.to_parquet(folder / "queries.parquet")
    return Split(folder)


def predictions(path: Path, *rows: tuple[int, int, int]) -> Path:
    pd.DataFrame(rows, columns=["query_id", "rank", "item_id"]).to_parquet(path)
    return path


def test_predictions_are_judged_by_rank_whatever_their_order_and_absent_ones_are_misses(tmp_path: Path) -> None:
    train = log_of((1, 10, 0), (1, 11, 1), (1, 12, 2))
    split = split_of(tmp_path / "some", train, [(7, [10], 12, [12, 11]), (8, [11], 99, [99])])
    marked = mark(Sheet.of(split), predictions(tmp_path / "p.parquet", (0, 2, 12), (0, 1, 11)))
    mean = marked.judged.mean()
    assert (mean.hit_rate, mean.reciprocal_rank, mean.recall) == (1 / 2, 1 / 4, 1 / 2)
    figures = marked.figures()
    assert figures[f"MRR@{K}"][0] == 0.25
    assert figures["lists"]["coverage"] == pytest.approx(2 / 3, abs=1e-5)
    assert figures["lists"]["answered"] == 0.5


def test_without_repeats_the_current_item_is_struck_and_a_repeat_is_no_query(tmp_path: Path) -> None:
    train = log_of((1, 10, 0), (1, 11, 1))
    split = split_of(tmp_path / "serenade_toy", train, [(7, [10], 11, [11]), (7, [10, 11], 11, [11])])
    marked = mark(Sheet.of(split), predictions(tmp_path / "p.parquet", (0, 1, 10), (0, 2, 11), (1, 1, 11)))
    assert len(marked.asked) == 1
    assert marked.judged.mean().reciprocal_rank == 1.0


def test_an_item_that_nobody_knew_can_be_found_by_who_saw_it_in_the_session(tmp_path: Path) -> None:
    train = log_of((1, 10, 0), (1, 11, 1))
    split = split_of(tmp_path / "some", train, [(7, [99], 99, [99])])
    marked = mark(Sheet.of(split), predictions(tmp_path / "p.parquet", (0, 1, 99)))
    assert marked.judged.mean().hit_rate == 1.0
    assert marked.figures()["lists"]["coverage"] == 0


def test_the_same_model_looks_far_better_against_a_few_random_items(tmp_path: Path) -> None:
    splits = splits_of(None, tmp_path)
    assert [split.name for split in splits] == ["made_up"]
    sheet = Sheet.of(splits[0])
    del sheet.queries[300:]
    found = both_protocols(sheet)
    assert found["sampled_HR@10_by_chance"] == 0.5
    assert found["full_HR@10"] < found["sampled_HR@10"]


def test_the_made_up_log_is_always_the_same() -> None:
    assert made_up_log(50).equals(made_up_log(50))


def test_the_figures_become_tables_in_which_a_sure_gain_is_bold() -> None:
    interval = [0.5, 0.4, 0.6]
    measures = dict.fromkeys(("HR@20", "MRR@20", "NDCG@20", "R@20", "MAP@20"), interval)
    model = {**measures, "lists": {"coverage": 0.5, "gini": 0.25, "novelty": 9.0}, "total_s": 3.2, "told": {}}
    gains = {"HR@20": [0.1, 0.05, 0.15], "MRR@20": [0.1, -0.05, 0.15], "NDCG@20": [-0.1, -0.2, 0.0]}
    models = {"vstan": model, "auto": model, "sasrec": {"failed": ["no time"], "total_s": 1.0}}
    of = {"judged": "next", "queries": 1_000, "items": 9, "models": models, "paired": {"auto - vstan": gains}}
    lines = list(tables_of({"sets": {"some": of, "empty": {}}}))
    assert "| vstan | .500 (.400–.600) |" in lines[3]
    assert any(line.startswith("| sasrec | failed") for line in lines)
    assert "| auto - vstan | **+0.100 (+0.050 to +0.150)** | +0.100 (-0.050 to +0.150) |" in "\n".join(lines)
