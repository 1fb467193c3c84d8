"""`python -m batch evaluate` over a lake and the files of a daily run, without Spark."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

from batch.__main__ import main
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import Lake
from batch.quality.circumstances import read_circumstances
from batch.quality.command import NothingToEvaluate, Wanted, evaluate_lake, newest_run
from batch.quality.contestants import chosen
from batch.quality.tracking import track
from domain.recommenders.vocabulary import Vocabulary
from domain.reference import LogRecord
from infra.processes.mlflow import store_uri
from infra.settings import Settings
from schemas.events import InteractionContext
from tests.builders import START_MS, record

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CUTOFF_MS = START_MS + 100 * DAY_MS
SCRIPT = "<script>alert(1)</script>"


def click(number: int, place: int, item: str, device: str | None, categories: tuple[str, ...]) -> LogRecord:
    at_ms = START_MS + number * HOUR_MS + place * 1_000
    context = InteractionContext(device=device, categories=categories)
    return record(
        f"e{number}-{place}",
        visitor=f"v{number % 7}",
        item=item,
        received_at_ms=at_ms,
        offset=number * 10 + place,
        context=context,
    )


def run_of(settings: Settings, sessions: int = 200) -> Path:
    """A lake of sessions that walk along a ring of items, and a run that cut them."""
    log, rows = [], []
    for number in range(sessions):
        items = [f"i{(number * 3 + place) % 20}" for place in range(4)]
        device = None if number % 5 == 0 else SCRIPT if number % 2 else "phone"
        log += [
            click(number, place, item, device if place < 3 else None, (f"c{int(item[1:]) % 4}",))
            for place, item in enumerate(items)
        ]
        began_ms = START_MS + number * HOUR_MS
        rows.append(
            {
                "visitor_id": f"v{number % 7}",
                "session": number,
                "started_at_ms": began_ms,
                "ended_at_ms": began_ms + 3_000,
                "items": items,
            }
        )
    lake = Lake.open(settings.lake_dir, settings.policies.bucket)
    lake.append([INTERACTIONS.to_rows(log, settings.policies.bucket)], {})
    run = settings.state_dir / "daily" / str(CUTOFF_MS)
    run.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), run / "sessions.parquet")
    pq.write_table(pa.table({"item_id": [f"i{number}" for number in range(20)]}), run / "item_profile.parquet")
    (run / "run.json").write_bytes(msgspec.json.encode({"lake_version": 1, "steps": {}}))
    return run


def test_an_evaluation_writes_figures_and_a_page_that_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of(Settings(state_dir=tmp_path / "state"))
    monkeypatch.setenv("FIRTH_STATE_DIR", str(tmp_path / "state"))
    assert (
        main(["evaluate", "--out", str(tmp_path / "out"), "--models", "session_knn,sequential_rules", "--no-mlflow"])
        == 0
    )
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert told["queries"] == figures["queries"] == 20 * 3
    assert list(figures["models"]) == ["popularity", "sequential_rules", "session_knn"]
    assert figures["models"]["session_knn"]["metrics"]["HR@20"][0] == 1.0
    devices = figures["models"]["session_knn"]["groups"]["device"]
    assert {name: of["queries"] for name, of in devices.items()} == {"phone": 24, SCRIPT: 24, "unknown": 12}
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("<svg") == 6
    assert SCRIPT not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page.replace('xlink:href="#', ""))


def test_the_same_lake_and_run_have_the_same_figures_and_plots(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    run_of(settings)
    found = [
        evaluate_lake(settings, Wanted(chosen("sequential_rules"), tmp_path / name, tracked=False), lambda _: None)[
            "models"
        ]
        for name in ("one", "other")
    ]
    for models in found:
        for one in models.values():
            del one["build_s"], one["latency_us"]
    assert found[0] == found[1]
    plots = [
        re.findall(r"<svg.*?</svg>", (tmp_path / name / "evaluation.html").read_text(), re.S)
        for name in ("one", "other")
    ]
    assert plots[0] == plots[1]


def test_device_and_categories_are_those_of_the_newest_event_that_names_them(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    run = run_of(settings, sessions=4)
    lake = Lake.open(settings.lake_dir, settings.policies.bucket)
    newer = [click(2, 1, "i7", "tv", ("new",)), click(900_000, 0, "i6", "tv", ("beyond the cutoff",))]
    lake.append([INTERACTIONS.to_rows(newer, settings.policies.bucket)], {})
    around = read_circumstances(settings, run / "sessions.parquet", Vocabulary(["i6", "i7", "i8"]), CUTOFF_MS)
    assert around.device_of == ["unknown", SCRIPT, "phone", SCRIPT]
    assert around.categories[0] == frozenset({"c2"})


def test_without_a_daily_run_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToEvaluate, match="python -m batch daily"):
        newest_run(tmp_path)


def test_too_few_sessions_are_refused(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    run_of(settings, sessions=1)
    with pytest.raises(NothingToEvaluate, match="1 sessions"):
        evaluate_lake(settings, Wanted(chosen("quick"), tmp_path), lambda _: None)


def test_mlflow_has_a_run_with_the_page_and_one_below_it_for_every_model(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    page = tmp_path / "evaluation.html"
    page.write_text("<p>page</p>")
    interval = [0.5, 0.4, 0.6]
    model = {
        "metrics": {"HR@20": interval, "NDCG_rest@20": interval},
        "lists": {"gini": 0.25, "diversity": None},
        "groups": {
            "prefix_length": {"8+": {"queries": 3, "HR@20": interval}},
            "device": {SCRIPT: {"queries": 3, "HR@20": interval}},
        },
        "build_s": 1.5,
        "latency_us": {"p50": 7.0},
    }
    figures: dict[str, Any] = {
        "cutoff_ms": CUTOFF_MS,
        "k": 20,
        "models": {"popularity": model, "session_knn": model},
        "paired": [],
    }
    figures["failed"] = {"als": "its JVM ended"}
    whole = track(settings, figures, {page.name: page})
    client = MlflowClient(store_uri(settings))
    assert [each.path for each in client.list_artifacts(whole)] == ["evaluation.html"]
    experiment = client.get_experiment_by_name("evaluation")
    assert experiment is not None
    below = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{whole}'")
    (failed,) = (run for run in below if run.info.status == "FAILED")
    assert (failed.data.params["model"], failed.data.tags["failure"]) == ("als", "its JVM ended")
    runs = [run for run in below if run is not failed]
    assert {run.data.params["model"] for run in runs} == {"popularity", "session_knn"}
    assert runs[0].data.metrics == {
        "hr20": 0.5,
        "hr20.low": 0.4,
        "hr20.high": 0.6,
        "ndcg_rest20": 0.5,
        "ndcg_rest20.low": 0.4,
        "ndcg_rest20.high": 0.6,
        "lists.gini": 0.25,
        "prefix_length.8 and more.hr20": 0.5,
        "build_s": 1.5,
        "latency_us.p50": 7.0,
    }
