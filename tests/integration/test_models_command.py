"""`python -m batch models` and what a daily run leaves in MLflow, on a real SQLite store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from batch.__main__ import models, parser
from batch.registry import daily_steps
from batch.registry.switching import NothingBefore, PrunedVersion, UnknownVersion
from batch.registry.tracking import EXPERIMENT, MODEL, Tracking, flat
from batch.run import Pin, Record, StepDone
from domain.artifacts import BrokenArtifact, current_version
from infra.processes.launch import launch
from infra.processes.mlflow import command
from infra.settings import Settings
from tests.builders import START_MS
from tests.published import shelve
from tests.servers import instance_in

PIN = Pin(cutoff_ms=START_MS, first_bucket_ms=0, records=10, catalogue_fingerprint="f")
FIGURES = {"session_knn_hr20": 0.5, "queries": 100}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: that takes seconds."""
    settings = Settings(state_dir=tmp_path_factory.mktemp("mlflow"))
    with Tracking.open(settings) as tracking:
        assert tracking.versions() == []
    return settings.mlflow_path


@pytest.fixture
def settings(tmp_path: Path, empty_store: Path) -> Settings:
    shutil.copy(empty_store, tmp_path)
    return Settings(state_dir=tmp_path)


def ran(settings: Settings, version: str, *, promoted: bool = True, hr20: float = 0.5) -> Record:
    """What the registry's steps of a daily run leave behind."""
    shelve(settings.artifacts_dir, version)
    verdict: dict[str, Any] = {"version": version, "promoted": promoted, "reason": "said", "figures": {"hr20": hr20}}
    steps = {"tune": StepDone({"policy": "short"}, 1.5), "gate": StepDone(verdict, 0.5)}
    record = Record(PIN, 7, steps)
    daily_steps.promote(settings, verdict)
    daily_steps.track(settings, record, FIGURES)
    return record


def asked(settings: Settings, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    """The JSON on standard output and the text on standard error."""
    assert models(settings, parser().parse_args(["models", *words])) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def test_before_the_first_run_the_list_says_what_to_do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    found, text = asked(settings, capsys, "list")
    assert found == {"current": None, "models": []}
    assert "python -m batch daily" in text


def test_the_list_shows_every_version_with_its_stage_and_verdict(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(settings, "v1")
    ran(settings, "v2")
    ran(settings, "v3", promoted=False)
    found, text = asked(settings, capsys, "list")
    assert [(row["version"], row["stage"], row["verdict"]) for row in found["models"]] == [
        ("v3", ["candidate"], "refused"),
        ("v2", ["current"], "promoted"),
        ("v1", ["previous"], "promoted"),
    ]
    assert found["current"] == "v2"
    assert [line.split()[0] for line in text.splitlines()] == ["version", "v3", "v2", "v1"]


def test_a_version_is_shown_with_all_that_was_found(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ran(settings, "v1", hr20=0.25)
    found, text = asked(settings, capsys, "show", "current")
    assert (found["version"], found["hr20"], found["reason"]) == ("v1", 0.25, "said")
    assert found["mlflow_run"]
    assert "gate.reason" in text


def test_promotion_and_rollback_move_the_pointer_and_the_aliases(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(settings, "v1")
    ran(settings, "v2", promoted=False)
    assert asked(settings, capsys, "promote", "candidate")[0] == {"current": "v2", "previous": "v1"}
    assert asked(settings, capsys, "rollback")[0] == {"current": "v1", "previous": "v2"}
    with Tracking.open(settings) as tracking:
        aliases = {alias: row.version for row in tracking.versions() for alias in row.aliases}
        switched = tracking.find("v1")
    assert aliases == {"candidate": "v2", "current": "v1", "previous": "v2"}
    assert switched is not None
    assert switched.tags["switched"].endswith("rolled back to, from v2")


def test_an_artifact_that_mlflow_never_saw_can_be_promoted(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    shelve(settings.artifacts_dir, "v0")
    assert asked(settings, capsys, "promote", "v0")[0]["current"] == "v0"
    assert asked(settings, capsys, "list")[0]["models"][0]["stage"] == ["current"]


def test_what_cannot_be_served_is_refused_by_its_own_error(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(settings, "v1")
    ran(settings, "v2", promoted=False)
    ran(settings, "v3", promoted=False)
    shutil.rmtree(settings.artifacts_dir / "v2")
    (settings.artifacts_dir / "v3" / "popularity.npz").unlink()
    for words, error in (
        (("promote", "v9"), UnknownVersion),
        (("show", "previous"), UnknownVersion),
        (("promote", "v2"), PrunedVersion),
        (("promote", "v3"), BrokenArtifact),
        (("rollback",), NothingBefore),
    ):
        with pytest.raises(error):
            asked(settings, capsys, *words)
    assert current_version(settings.artifacts_dir) == "v1"
    assert asked(settings, capsys, "show", "v2")[0]["on_disk"] is False


def test_a_run_that_failed_is_in_mlflow_with_its_reason(settings: Settings) -> None:
    record = Record(PIN, 7, {"tune": StepDone({"policy": "short"}, 1.5)})
    with pytest.raises(OSError, match="disk full"), daily_steps.failure_tracked(settings, record):
        raise OSError("disk full")
    with Tracking.open(settings) as tracking:
        known = tracking.client.get_experiment_by_name(EXPERIMENT)
        assert known is not None
        (run,) = tracking.client.search_runs([known.experiment_id])
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "OSError: disk full")
    assert run.data.params["found.policy"] == "short"


def test_a_run_is_in_mlflow_with_all_that_it_was_made_of(settings: Settings) -> None:
    record = ran(settings, "v1")
    daily_steps.track(settings, record, FIGURES)  # as a run that was killed before it could note that it had
    with Tracking.open(settings) as tracking:
        client = tracking.client
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.data.metrics["session_knn_hr20"] == 0.5
        assert run.data.metrics["seconds.tune"] == 1.5
        assert run.data.metrics["gate.hr20"] == 0.5
        assert run.data.params["found.policy"] == "short"
        assert run.data.params["policies.bucket.period_ms"] == str(PIN.policies.bucket.period_ms)
        assert (run.data.tags["gate"], run.info.status) == ("promoted", "FINISHED")
        assert run.inputs is not None
        (read,) = run.inputs.dataset_inputs
        assert (read.dataset.name, read.dataset.digest) == ("lake", "version 1")
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["manifest.json"]
        assert [row.run_id for row in tracking.versions()] == [run.info.run_id]


def test_a_tree_becomes_dotted_names() -> None:
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": "x"}) == {"a.b": 1, "a.c.d": 2, "e": "x"}


def test_the_tracking_server_shows_what_a_run_left(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path)
    settings = instance_in(tmp_path)
    ran(settings, "v1")
    server = launch(command(settings))
    try:
        server.wait_ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.mlflow.port}", timeout=30) as http:
            model = http.get("/ajax-api/2.0/mlflow/registered-models/get", params={"name": MODEL}).json()
            reports = http.get("/ajax-api/3.0/mlflow/ui-telemetry").json()
            assert http.get("/").status_code == 200
    finally:
        server.stop()
    aliases = {each["alias"]: each["version"] for each in model["registered_model"]["aliases"]}
    assert aliases == {"candidate": "1", "current": "1"}
    assert reports["disable_ui_telemetry"] is True
