"""Reading anyone's log and questions, and refusing what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.ranking.files import UnusableFile, answers_of, read_queries, read_training, write_answers


def written(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_sessions_are_ordered_by_their_end_and_interactions_by_time(tmp_path: Path) -> None:
    path = written(
        tmp_path / "log.parquet",
        user_or_session_id=[7, 3, 7, 3, 7],
        item_id=[-5, 900, 10**12, 900, 4],
        event_type=["view"] * 5,
        timestamp=[30.0, 1.0, 10.0, 2.0, 20.0],
    )
    training = read_training(path)
    assert training.item_ids.tolist() == [-5, 4, 900, 10**12]
    assert training.history.offsets.tolist() == [0, 2, 5]
    assert training.history.items.tolist() == [2, 2, 3, 1, 0]
    assert training.history.at_ms.tolist() == [1000, 2000, 10_000, 20_000, 30_000]


@pytest.mark.parametrize("times", [None, [np.nan] * 4, [1.0, np.nan, 1.0, 1.0]])
def test_without_a_timestamp_in_every_row_the_order_of_the_file_counts(
    tmp_path: Path, times: list[float] | None
) -> None:
    columns: dict[str, object] = {"user_or_session_id": [5, 2, 5, 2], "item_id": [1, 2, 3, 4]}
    history = read_training(
        written(tmp_path / "log.parquet", **columns, **({"timestamp": times} if times else {}))
    ).history
    assert not history.is_dated
    assert history.items.tolist() == [0, 2, 1, 3]


def test_times_may_be_seconds_milliseconds_or_timestamps(tmp_path: Path) -> None:
    seconds = np.array([1_600_000_000, 1_600_000_060])
    for times in (seconds, seconds.astype(float), seconds * 1000, pa.array(seconds * 1000, pa.timestamp("ms"))):
        path = written(tmp_path / "log.parquet", user_or_session_id=["a", "a"], item_id=[1, 2], timestamp=times)
        assert read_training(path).history.at_ms.tolist() == (seconds * 1000).tolist()


def test_unknown_items_are_dropped_and_an_unknown_newest_one_is_no_current_item(tmp_path: Path) -> None:
    path = written(tmp_path / "q.parquet", query_id=[10, 11, 12, 13], prefix=[[4, 99, 8], [], [8, 77], None])
    asked = read_queries(path, np.array([4, 8]))
    assert asked.queries.offsets.tolist() == [0, 2, 2, 3, 3]
    assert asked.queries.items.tolist() == [0, 1, 1]
    assert asked.queries.current.tolist() == [1, -1, -1, -1]


def test_of_a_long_prefix_the_newest_items_count(tmp_path: Path) -> None:
    path = written(tmp_path / "q.parquet", query_id=[0], prefix=[list(range(500))])
    assert read_queries(path, np.arange(500)).queries.items.tolist() == list(range(300, 500))


def test_answers_are_written_in_long_form(tmp_path: Path) -> None:
    path = written(tmp_path / "q.parquet", query_id=[10, 11], prefix=[[4], []])
    asked = read_queries(path, np.array([4, 8]))
    out = tmp_path / "deep" / "out.parquet"
    write_answers(out, asked, *answers_of(np.array([[1, 0], [0, -1]], np.int32), np.array([4, 8])), 12.5)
    assert pq.read_table(out).to_pylist() == [
        {"query_id": 10, "rank": 1, "item_id": 8, "latency_us": 12.5},
        {"query_id": 10, "rank": 2, "item_id": 4, "latency_us": 12.5},
        {"query_id": 11, "rank": 1, "item_id": 4, "latency_us": 12.5},
    ]


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    log = written(tmp_path / "log.parquet", user_or_session_id=[1], thing=[1])
    with pytest.raises(UnusableFile, match="item_id"):
        read_training(log)
    with pytest.raises(UnusableFile, match="no interactions"):
        read_training(written(log, user_or_session_id=pa.array([], pa.int64()), item_id=pa.array([], pa.int64())))
    with pytest.raises(UnusableFile, match="cannot be read"):
        read_training(tmp_path / "nothing.parquet")
    with pytest.raises(UnusableFile, match="integers"):
        read_training(written(log, user_or_session_id=[1], item_id=["kettle"]))
    with pytest.raises(UnusableFile, match="no questions"):
        read_queries(
            written(log, query_id=pa.array([], pa.int64()), prefix=pa.array([], pa.list_(pa.int64()))), np.array([1])
        )
    with pytest.raises(UnusableFile, match="list"):
        read_queries(written(log, query_id=[1], prefix=["1,2"]), np.array([1]))
