from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet

from infra.demo.baselines import Popularity
from infra.demo.live import AT_ONCE_MAX, distinct_visitors
from infra.demo.measures import HitRate, Measures, percentile
from infra.demo.movielens import FOLDER, SESSION_GAP_MS, Rating, read, write_history

RATINGS = [
    ("1", "10", 5, 100),
    ("2", "11", 3, 50),
    ("1", "11", 4, 200),
    ("1", "12", 4, 200 + SESSION_GAP_MS // 1000 + 1),
]
FILMS = [("10", "Godfather, The", "1972", "Crime Drama"), ("11", "Fargo", "1996", "Crime"), ("12", "Alien", "1979", "")]


def wheel(folder: Path) -> Path:
    """A wheel with a data set of three films."""
    inter = [
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        *("\t".join(map(str, row)) for row in RATINGS),
    ]
    item = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq", *map("\t".join, FILMS)]
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(f"{FOLDER}.inter", "\n".join(inter) + "\n")
        archive.writestr(f"{FOLDER}.item", "\n".join(item) + "\n")
    path = folder / "recbole-0-py3-none-any.whl"
    path.write_bytes(raw.getvalue())
    return path


def test_the_data_set_is_cut_by_time_and_its_titles_are_as_people_say_them(tmp_path: Path) -> None:
    data = read(wheel(tmp_path))
    assert [rating.at_ms for rating in [*data.history, *data.live]] == sorted(row[3] * 1000 for row in RATINGS)
    assert len(data.history) == 3
    assert data.items["10"].title == "The Godfather (1972)"
    assert data.items["12"].categories == ("unknown",)


def test_sittings_are_numbered_by_their_gaps(tmp_path: Path) -> None:
    data = read(wheel(tmp_path))
    assert [rating.session for rating in [*data.history, *data.live] if rating.visitor == "1"] == [0, 0, 1]


def test_the_history_ends_just_before_the_instant_and_keeps_its_distances(tmp_path: Path) -> None:
    data = read(wheel(tmp_path))
    write_history(data, 10**12, tmp_path / "history.parquet")
    written = pyarrow.parquet.read_table(tmp_path / "history.parquet")["occurred_at_ms"].to_pylist()
    assert written[-1] == 10**12 - 1
    assert [b - a for a, b in pairwise(written)] == [b.at_ms - a.at_ms for a, b in pairwise(data.history)]


def test_no_visitor_stands_twice_in_one_step_and_nothing_is_lost() -> None:
    ratings = [Rating(str(number % 3), str(number), 1.0, number) for number in range(50)]
    steps = list(distinct_visitors(ratings))
    assert [rating for step in steps for rating in step] == ratings
    assert all(len({rating.visitor for rating in step}) == len(step) <= AT_ONCE_MAX for step in steps)


def test_popularity_leaves_out_what_the_visitor_has_seen() -> None:
    popularity = Popularity([Rating("u", "a", 1, 0), Rating("v", "a", 1, 1), Rating("v", "b", 1, 2)])
    assert popularity.slate("new") == ["a", "b"]
    assert popularity.slate("u") == ["b"]
    popularity.observe(Rating("u", "b", 1, 3))
    assert popularity.slate("u") == []


def test_hits_count_within_twenty_and_ranks_count_reciprocally() -> None:
    rate = HitRate()
    rate.observe(["a", "b"], "b")
    rate.observe([str(number) for number in range(21)], "20")
    assert (rate.hr, rate.mrr) == (0.5, 0.25)


def test_latencies_are_nearest_rank_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert Measures().latency() == {"p50": None, "p99": None, "n": 0}
