"""From files to files: answers for anyone's log, the same ones each time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.__main__ import main
from batch.ranking.rank_sessions import Request, rank_sessions

GROUPS, PER_GROUP = 12, 8


def log_written(path: Path, *, sessions: int = 1_200, dated: bool = True, repeats: float = 0.0) -> Path:
    """Sessions that stay within a group of items and mostly go on to the next one."""
    generator = np.random.default_rng(4)
    rows: list[tuple[int, int, float]] = []
    for session in range(sessions):
        group, at = int(generator.integers(GROUPS)), int(generator.integers(PER_GROUP))
        for place in range(int(generator.integers(2, 7))):
            rows.append((session, 1000 + group * PER_GROUP + at, session * 60.0 + place))
            if generator.random() >= repeats:
                at = (at + int(generator.choice([1, 1, 1, 3, -1]))) % PER_GROUP
    columns = list(zip(*rows, strict=True))
    table = {"user_or_session_id": columns[0], "item_id": columns[1], "event_type": ["view"] * len(rows)}
    pq.write_table(pa.table({**table, "timestamp": columns[2] if dated else [float("nan")] * len(rows)}), path)
    return path


def queries_written(path: Path) -> Path:
    prefixes = [[1000], [1001, 1002], [], [5, 1003], [5], [1000, 1008, 1016]]
    pq.write_table(pa.table({"query_id": range(10, 16), "prefix": prefixes, "target": [0] * 6}), path)
    return path


def ranked(tmp_path: Path, name: str = "out", **asked: object) -> tuple[dict[int, list[int]], dict[str, object], bytes]:
    out = tmp_path / f"{name}.parquet"
    request = Request(tmp_path / "log.parquet", tmp_path / "q.parquet", out, minutes=0.3, **asked)  # type: ignore[arg-type]
    told = rank_sessions(request, lambda _: None)
    lists: dict[int, list[int]] = {}
    for row in pq.read_table(out).sort_by([("query_id", "ascending"), ("rank", "ascending")]).to_pylist():
        lists.setdefault(row["query_id"], []).append(row["item_id"])
    return lists, told, out.read_bytes()


@pytest.mark.parametrize("model", ["popularity", "rules", "covisitation", "vstan"])
def test_each_model_answers_every_query_in_full(tmp_path: Path, model: str) -> None:
    log_written(tmp_path / "log.parquet", sessions=300)
    queries_written(tmp_path / "q.parquet")
    lists, told, _ = ranked(tmp_path, model=model, k=10)
    assert list(lists) == list(range(10, 16))
    assert all(len(answer) == len(set(answer)) == 10 for answer in lists.values())
    assert told["model"] == model
    assert lists[12] == lists[14]
    if model != "popularity":
        assert lists[11][0] in range(1000, 1008)
        assert 1002 not in lists[11]


def test_the_line_up_answers_and_its_manifest_answers_alike(tmp_path: Path) -> None:
    log_written(tmp_path / "log.parquet")
    queries_written(tmp_path / "q.parquet")
    lists, told, _ = ranked(tmp_path)
    assert list(lists) == list(range(10, 16))
    assert all(len(answer) == len(set(answer)) == 21 for answer in lists.values())
    assert lists[11][0] == 1003
    assert told["struck"] == "current"
    assert 1002 not in lists[11]
    again, told_again, _ = ranked(tmp_path, "again", manifest=told["manifest"])
    assert again == lists
    assert told_again["manifest"] == told["manifest"]


def test_with_immediate_repeats_the_current_item_is_recommended_unless_forbidden(tmp_path: Path) -> None:
    log_written(tmp_path / "log.parquet", repeats=0.5)
    queries_written(tmp_path / "q.parquet")
    lists, told, _ = ranked(tmp_path, model="covisitation", allow_current="no")
    assert told["struck"] == "current"
    assert 1002 not in lists[11]
    _, told, _ = ranked(tmp_path, model="covisitation")
    assert told["struck"] == "nothing"


def test_a_log_without_timestamps_is_answered(tmp_path: Path) -> None:
    log_written(tmp_path / "log.parquet", sessions=400, dated=False)
    queries_written(tmp_path / "q.parquet")
    lists, told, _ = ranked(tmp_path, model="vstan")
    assert told["dated"] is False
    assert lists[11][0] in range(1000, 1008)


def test_a_log_of_one_interaction_is_answered(tmp_path: Path) -> None:
    table = {"user_or_session_id": [1], "item_id": [5], "event_type": ["view"], "timestamp": [1.0]}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    queries_written(tmp_path / "q.parquet")
    lists, _, _ = ranked(tmp_path)
    assert lists[10] == [5]


def test_the_command_writes_answers_and_tells_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, queries, out = (
        log_written(tmp_path / "log.parquet", sessions=300),
        tmp_path / "q.parquet",
        tmp_path / "out.parquet",
    )
    queries_written(queries)
    asked = ["--train", str(log), "--queries", str(queries), "--out", str(out), "--k", "5", "--model", "rules"]
    assert main(["rank-sessions", *asked, "--minutes", "0.2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "rules"
    assert told["seconds"]["answer"] >= 0
    assert pq.read_table(out).column_names == ["query_id", "rank", "item_id", "latency_us"]
    assert set(pq.read_table(out)["rank"].to_pylist()) == {1, 2, 3, 4, 5}
