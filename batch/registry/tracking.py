"""MLflow: what a run was made of and what it found, and the registered model with a version for every artifact.

The SQLite store is written directly; the tracking server, which shows it, need not run. MLflow records and never
decides: which version is served stands in the artifacts' folder, and the aliases here follow it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from domain.artifacts import MANIFEST, Manifest, current_version, previous_version
from infra.processes.mlflow import files_uri, keep_quiet, store_uri
from infra.settings import Settings
from schemas.errors import DependencyError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT: Final = "daily"
MODEL: Final = "firth"
CANDIDATE, CURRENT, PREVIOUS = "candidate", "current", "previous"
VERSION_TAG: Final = "artifact"
RUN_TAG: Final = "daily.run"
VERSIONS_MAX: Final = 1_000
PARAMETER_MAX: Final = 6_000
FAILURE: Final = "failure"
"""The tag that tells why a run failed."""
REASON_MAX: Final = 4_000


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What MLflow is told of one daily run. The figures are numbers, the parameters any plain values."""

    manifest: Manifest
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    seconds: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of the model as MLflow has it."""

    version: str
    number: int
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


class Tracking:
    """The store, open. One object a command: what it reads is as of then."""

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        self.client = client
        self._settings = settings

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """The store, made when there is none yet; that, and MLflow's import, take seconds.

        Raises:
            DependencyError: MLflow cannot use it.
        """
        keep_quiet()
        for name in ("alembic", "mlflow"):  # they tell of every step in which the tables are made
            logging.getLogger(name).setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        settings.state_dir.mkdir(parents=True, exist_ok=True)
        uri = store_uri(settings)
        try:
            yield cls(MlflowClient(tracking_uri=uri, registry_uri=uri), settings)
        except MlflowException as error:
            remedy = "after another release of MLflow, bring its store up to date: `mlflow db upgrade URI`"
            raise DependencyError(uri, str(error), remedy) from error

    def record(self, run: TrackedRun) -> str:
        """Record a run and register its artifact; the same run again adds nothing. Returns MLflow's id of the run."""
        run_id = self._run_of(run)
        self._log(run_id, run)
        if self.find(run.manifest.version) is None:
            self._register(run_id, run.manifest)
        number = self.find(run.manifest.version)
        assert number is not None
        self.client.set_registered_model_alias(MODEL, CANDIDATE, str(number.number))
        for name, value in run.tags.items():
            self.client.set_model_version_tag(MODEL, str(number.number), name, value)
        self.client.set_terminated(run_id)
        return run_id

    def record_failure(self, name: str, reason: str, parameters: Mapping[str, Any]) -> str:
        """Record a run that came to no artifact, and why; returns MLflow's id of it."""
        from mlflow.entities import Param

        run = self.client.create_run(self._experiment(), tags={FAILURE: reason[:REASON_MAX]}, run_name=name)
        run_id = str(run.info.run_id)
        told = [Param(key, str(value)[:PARAMETER_MAX]) for key, value in parameters.items()]
        self.client.log_batch(run_id, params=told)
        self.client.set_terminated(run_id, "FAILED")
        return run_id

    def follow(self) -> None:
        """Set the aliases of the versions that are served now and were before, as the artifacts' folder tells."""
        artifacts_dir = self._settings.artifacts_dir
        for alias, version in (
            (CURRENT, current_version(artifacts_dir)),
            (PREVIOUS, previous_version(artifacts_dir)),
        ):
            found = None if version is None else self.find(version)
            if found is not None:
                self.client.set_registered_model_alias(MODEL, alias, str(found.number))

    def note(self, version: str, tags: Mapping[str, str]) -> None:
        """Tag a version; one that no run has registered (of an older release) is registered without a run."""
        if self.find(version) is None:
            self._register_unmade(version)
        found = self.find(version)
        assert found is not None
        for name, value in tags.items():
            self.client.set_model_version_tag(MODEL, str(found.number), name, value)

    def versions(self) -> list[Registered]:
        """All versions, the newest first."""
        if not self.client.search_registered_models(f"name='{MODEL}'", max_results=1):
            return []
        aliases = self.client.get_registered_model(MODEL).aliases
        found = self.client.search_model_versions(f"name='{MODEL}'", max_results=VERSIONS_MAX)
        rows = [_registered(each, aliases) for each in found]
        return sorted(rows, key=lambda row: row.number, reverse=True)

    def find(self, version: str) -> Registered | None:
        """The version of this artifact, None when it was never registered."""
        return next((row for row in self.versions() if row.version == version), None)

    def _run_of(self, run: TrackedRun) -> str:
        """MLflow's run for this artifact, begun if there is none."""
        experiment_id, version = self._experiment(), run.manifest.version
        before = self.client.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{version}'", max_results=1)
        if before:
            return str(before[0].info.run_id)
        begun = self.client.create_run(experiment_id, tags={RUN_TAG: version}, run_name=version)
        return str(begun.info.run_id)

    def _experiment(self) -> str:
        """MLflow's id of the experiment that all runs are in, made when there is none."""
        known = self.client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=files_uri(self._settings)))

    def _log(self, run_id: str, run: TrackedRun) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        manifest, known = run.manifest, self.client.get_run(run_id).data.params
        numbers = {**run.figures, **{f"seconds.{name}": value for name, value in run.seconds.items()}}
        self.client.log_batch(
            run_id,
            metrics=[Metric(name, float(value), manifest.created_at_ms, 0) for name, value in numbers.items()],
            params=[
                Param(name, str(value)[:PARAMETER_MAX]) for name, value in run.parameters.items() if name not in known
            ],
            tags=[RunTag(name, value) for name, value in run.tags.items()],
        )
        read = Dataset(
            name="lake",
            digest=f"version {manifest.lake_version}",
            source_type="delta",
            source=json.dumps({"uri": str(self._settings.lake_dir), "version": manifest.lake_version}),
            profile=json.dumps({"cutoff_ms": manifest.cutoff_ms, **manifest.counts}),
        )
        self.client.log_inputs(run_id, datasets=[DatasetInput(read, [InputTag("mlflow.data.context", "training")])])
        folder = self._settings.artifacts_dir / manifest.version
        for path in (folder / MANIFEST, *run.files):
            self.client.log_artifact(run_id, str(path))

    def _register(self, run_id: str | None, manifest: Manifest) -> None:
        if not self.client.search_registered_models(f"name='{MODEL}'", max_results=1):
            self.client.create_registered_model(MODEL, description="What the servers rank with: docs/models.md.")
        self.client.create_model_version(
            MODEL,
            source=(self._settings.artifacts_dir.absolute() / manifest.version).as_uri(),
            run_id=run_id,
            tags={VERSION_TAG: manifest.version, "cutoff_ms": str(manifest.cutoff_ms)},
        )

    def _register_unmade(self, version: str) -> None:
        from domain.artifacts import read_manifest

        self._register(None, read_manifest(self._settings.artifacts_dir / version))


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A tree of dataclasses and dictionaries as one dictionary of dotted names."""
    tree = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    if not isinstance(tree, Mapping):
        return {name: tree}
    rows: dict[str, Any] = {}
    for key, below in tree.items():
        rows |= flat(below, f"{name}.{key}" if name else str(key))
    return rows


def _registered(found: ModelVersion, aliases: Mapping[str, str]) -> Registered:
    number = int(found.version)
    named = sorted(alias for alias, of in aliases.items() if int(of) == number)
    return Registered(found.tags.get(VERSION_TAG, ""), number, found.run_id or "", tuple(named), dict(found.tags))
