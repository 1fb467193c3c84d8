"""The parts of the serving benchmark: its model is a whole one, its requests keep the schedule, its sums are right."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import pytest

from domain.artifacts import Artifact, current_version
from domain.recommenders.protocol import Session
from domain.recommenders.tree_ensemble import TreeEnsemble
from feature_repo.views import VISITOR_HISTORY, VISITOR_RECENT, VISITOR_SESSION
from tests.benchmark.bench_serving import best_of, bodies, is_kept
from tests.benchmark.request_load import Answers, Client, Schedule, figures, whole_answer
from tests.benchmark.serving_artifact import Size, ensure_artifact
from tests.benchmark.serving_rows import Profiles
from tests.benchmark.serving_run import OTHER, parse_metrics, stage_ms
from tests.builders import START_MS

SMALL = Size(items=300, sessions=500, width=8, trees=5, leaves=4)


def test_the_artifact_has_all_sources_and_trees_and_is_taken_again_when_it_is_there(tmp_path: Path) -> None:
    made = ensure_artifact(tmp_path, SMALL, START_MS)
    assert current_version(tmp_path) == SMALL.version
    assert [source.name for source in made.model.lineup.sources] == ["vstan", "covisitation", "gru4rec"]
    assert isinstance(made.model.fusion.ensemble, TreeEnsemble)
    assert len(made.model.fusion.ensemble.leaf_values) == SMALL.trees * SMALL.leaves
    assert len(set(made.model.rank(Session((1, 2)), 30).scores.tolist())) > 5
    stamp = (tmp_path / SMALL.version / "manifest.json").stat().st_mtime_ns
    assert isinstance(ensure_artifact(tmp_path, SMALL, START_MS + 1), Artifact)
    assert (tmp_path / SMALL.version / "manifest.json").stat().st_mtime_ns == stamp


def test_the_rows_of_a_known_visitor_are_read_back_as_a_running_session_with_a_history() -> None:
    [profile] = islice(Profiles(300, START_MS), 1)
    stored = dict(zip(profile.speed[::2], profile.speed[1::2], strict=True))
    session = VISITOR_SESSION.layout().decode([stored[field] for field in VISITOR_SESSION.layout().fields])
    recent = VISITOR_RECENT.layout().decode([stored[field] for field in VISITOR_RECENT.layout().fields])
    history = VISITOR_HISTORY.layout().decode_blob(profile.history)
    assert session is not None
    assert recent is not None
    assert session["session_items"]
    assert recent["recent_buckets_ms"]
    assert history["cutoff_ms"] == START_MS - START_MS % 86_400_000


def test_nine_of_ten_requests_are_of_known_visitors_and_the_first_of_them_come_most() -> None:
    names = [json.loads(body)["visitor_id"] for body in bodies(2_000, 500, seed=1)]
    known = [name for name in names if name.startswith("known-")]
    assert 1_700 < len(known) < 1_900
    assert known.count("known-0000000000") > known.count("known-0000000100")
    fresh = [name for name in names if name.startswith("fresh-")]
    assert len(set(fresh)) == len(fresh)


@pytest.mark.parametrize("cut", [9, 40, 60])
def test_an_answer_is_whole_when_its_length_is_there(cut: int) -> None:
    raw = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nserver: x\r\n\r\n{"degraded":[]}'
    assert whole_answer(raw[:cut]) is None
    assert whole_answer(raw) == (200, b'{"degraded":[]}')


async def test_requests_are_sent_by_the_schedule_and_wait_for_a_connection_with_their_time_running() -> None:
    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                await asyncio.sleep(0.04)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    server = await asyncio.start_server(answer_late, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = await Client(Schedule("127.0.0.1", port, "/", [b"{}"] * 10, 500.0, connections=1)).post_all()
    server.close()
    await asyncio.sleep(0.02)
    assert answers.statuses == [200] * 10
    assert answers.ms[0] >= 40
    assert answers.ms[-1] >= 10 * 40 - 9 * 2, "one after the other, and all were due within 18 ms"
    assert figures(answers)["errors"] == 0


def test_what_failed_counts_as_an_error_and_its_time_is_among_the_others() -> None:
    answers = Answers(statuses=[200, 503, 0, 200], ms=[1.0, 2.0, 9.0, 3.0], within_schedule=2, seconds=2.0)
    found = figures(answers)
    assert (found["errors"], found["max_ms"], found["served_per_s"]) == (2, 9.0, 1.0)
    assert not is_kept({"rate": 2.0, **found})


def test_the_most_is_what_any_run_has_served_once_a_rate_was_not_kept() -> None:
    kept = [{"tier": "full", "rate": rate, "served_per_s": rate, "errors": 0} for rate in (100.0, 150.0)]
    too_much = {"tier": "full", "rate": 225.0, "served_per_s": 170.0, "errors": 0}
    assert best_of(kept, "full") is None
    assert best_of([*kept, too_much], "full") == 170.0
    assert best_of([*kept, too_much], "instant") is None


def test_stages_are_summed_over_the_workers_that_were_reached_twice() -> None:
    def told(worker: str, requests: int, hydrate_s: float, all_s: float) -> str:
        stages = "".join(
            f'firth_serving_stage_seconds_sum{{stage="{stage}"}} {hydrate_s if stage == "hydrate" else 0.0}\n'
            f'firth_serving_stage_seconds_count{{stage="{stage}"}} {requests}\n'
            for stage in ("hydrate", "retrieve", "filter", "score", "compose")
        )
        whole = "".join(
            f'firth_serving_request_seconds_{which}{{route="recommendations"}} {value}\n'
            for which, value in (("sum", all_s), ("count", requests))
        )
        return f"process_start_time_seconds {worker}\n{stages}{whole}"

    before = dict(map(parse_metrics, (told("1.5", 10, 0.1, 1.0), told("2.5", 5, 0.1, 1.0))))
    after = dict(map(parse_metrics, (told("1.5", 20, 0.2, 2.0), told("2.5", 15, 0.4, 2.0), told("3.5", 9, 9, 9))))
    found = stage_ms(before, after)
    assert (found["hydrate"], found["retrieve"], found[OTHER]) == (20.0, 0.0, 80.0)
    assert stage_ms(before, before) == {}
