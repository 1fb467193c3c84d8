"""An evaluation in MLflow: a run with the page and the figures, and below it one run a model, to sort and compare."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batch.quality.examination import Figures
from batch.registry.tracking import FAILURE, REASON_MAX
from infra.processes.mlflow import files_uri, keep_quiet, store_uri
from infra.settings import Settings
from schemas.errors import DependencyError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "evaluation"
PARENT_TAG: Final = "mlflow.parentRunId"  # by which MLflow's page shows runs below a run


def track(settings: Settings, figures: Figures, files: Mapping[str, Path]) -> str:
    """Record an evaluation and its files; returns MLflow's id of the run.

    Raises:
        DependencyError: MLflow cannot use its store.
    """
    keep_quiet()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    settings.mlflow_dir.mkdir(parents=True, exist_ok=True)
    uri = store_uri(settings)
    try:
        return _record(MlflowClient(tracking_uri=uri, registry_uri=uri), files_uri(settings), figures, files)
    except MlflowException as error:
        remedy = "after another release of MLflow, bring its store up to date: `mlflow db upgrade URI`"
        raise DependencyError(uri, str(error), remedy) from error


def _record(client: MlflowClient, location: str, figures: Figures, files: Mapping[str, Path]) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT, artifact_location=location)
    name = f"up to {figures['cutoff_ms']}"
    whole = client.create_run(experiment, run_name=name).info.run_id
    parameters = {key: value for key, value in figures.items() if not isinstance(value, dict | list)}
    _log(client, whole, parameters, {})
    for path in files.values():
        client.log_artifact(whole, str(path))
    for model, found in figures["models"].items():
        run = client.create_run(experiment, run_name=model, tags={PARENT_TAG: whole}).info.run_id
        _log(client, run, {**parameters, "model": model}, dict(metrics_of(found)))
        client.set_terminated(run)
    for model, reason in figures.get("failed", {}).items():
        tags = {PARENT_TAG: whole, FAILURE: reason[:REASON_MAX]}
        run = client.create_run(experiment, run_name=model, tags=tags).info.run_id
        _log(client, run, {**parameters, "model": model}, {})
        client.set_terminated(run, "FAILED")
    client.set_terminated(whole)
    return str(whole)


def _log(client: MlflowClient, run: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric, Param

    at_ms = time.time_ns() // 1_000_000
    client.log_batch(
        run,
        params=[Param(key, str(value)) for key, value in parameters.items()],
        metrics=[Metric(key, value, at_ms, 0) for key, value in metrics.items()],
    )


def metrics_of(model: Figures) -> Iterator[tuple[str, float]]:
    """A model's figures by names that MLflow takes: `hr20`, `hr20.low`, `lists.gini`, `target.cold.hr20`, …"""
    for name, interval in model["metrics"].items():
        yield from _bounds(_short(name), interval)
    for name, value in model["lists"].items():
        if value is not None:
            yield f"lists.{name}", value
    for by, groups in model["groups"].items():
        if by != "device":  # anybody's text
            for group, found in groups.items():
                for name in found.keys() - {"queries"}:
                    yield f"{by}.{group.replace('+', ' and more')}.{_short(name)}", found[name][0]
    yield "build_s", model["build_s"]
    for share, taken in model["latency_us"].items():
        yield f"latency_us.{share}", taken


def _bounds(name: str, interval: list[float]) -> Iterator[tuple[str, float]]:
    yield from zip((name, f"{name}.low", f"{name}.high"), interval, strict=True)


def _short(name: str) -> str:
    return name.replace("@", "").lower()
