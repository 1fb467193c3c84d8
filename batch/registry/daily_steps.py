"""The registry's steps of a daily run: the gate, the promotion, and what MLflow is told at the end.

`gate` decides and changes nothing. `promote` comes after the rows are published, and is skipped when the gate refused.
It is done once: a run that is started again does not undo what somebody rolled back since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from batch.registry.gate import Newcomer, Twin, Verdict, judge
from batch.registry.switching import servable, switch_to
from batch.registry.tracking import TrackedRun, Tracking, flat
from batch.run import Found, Record
from batch.training.session_log import DatedSessions
from domain.artifacts import Artifact, current_version, read_manifest
from infra.settings import Settings
from schemas.errors import DependencyError

GATE, PROMOTE, TRACK = "gate", "promote", "track"

Tell = Callable[[str], None]

log = logging.getLogger(__name__)


def gate(settings: Settings, version: str, sessions: DatedSessions, twin: Twin, tell: Tell) -> Found:
    """Judge the artifact against the one that is served now; `twin` is `batch.registry.gate.Twin`.

    Raises:
        BrokenArtifact: the new artifact itself cannot be loaded.
    """
    folder = settings.artifacts_dir / version
    newcomer = Newcomer(Artifact.load(folder), sessions, twin)
    verdict = judge(newcomer, servable(settings.artifacts_dir), folder, settings.gate)
    tell(f"daily: gate: {version} is {'promoted' if verdict.promoted else 'REFUSED'}: {verdict.reason}")
    return dict(msgspec.to_builtins(verdict))


def promote(settings: Settings, verdict: Found) -> Found:
    """Point the servers to the artifact if the gate lets it pass; tells what is current afterwards."""
    if verdict["promoted"]:
        switch_to(settings.artifacts_dir, verdict["version"])
    return {"current": current_version(settings.artifacts_dir)}


def is_promoted(settings: Settings) -> bool:
    """Whether anything is served: a promotion whose pointer is lost must be done again."""
    return current_version(settings.artifacts_dir) is not None


def track(settings: Settings, record: Record, figures: Mapping[str, float]) -> Found:
    """Tell MLflow of the run: parameters, figures, what it read, the artifact, and what became of it.

    Raises:
        DependencyError: MLflow cannot use its store; all is published by then.
    """
    verdict = msgspec.convert(record.steps[GATE].found, Verdict)
    manifest = read_manifest(settings.artifacts_dir / verdict.version)
    run = TrackedRun(
        manifest=manifest,
        parameters=_parameters(settings, record),
        figures={**_numbers(figures), **{f"gate.{name}": value for name, value in verdict.figures.items()}},
        seconds={name: done.seconds for name, done in record.steps.items()},
        tags={
            "gate": "promoted" if verdict.promoted else "refused",
            "gate.reason": verdict.reason,
            "gate.basis": verdict.basis,
            "gate.against": verdict.against or "",
            **{f"gate.{name}": f"{value:g}" for name, value in verdict.figures.items()},
        },
    )
    with Tracking.open(settings) as tracking:
        run_id = tracking.record(run)
        tracking.follow()
    return {"mlflow_run": run_id}


@contextmanager
def failure_tracked(settings: Settings, record: Record) -> Iterator[None]:
    """Whatever fails within is a failed run in MLflow too, with the reason; it goes on to fail, tracked or not."""
    try:
        yield
    except Exception as error:
        try:
            with Tracking.open(settings) as tracking:
                reason = f"{type(error).__name__}: {error}"
                tracking.record_failure(f"up to {record.pin.cutoff_ms}", reason, _parameters(settings, record))
        except DependencyError as untracked:
            log.warning("failure.untracked", extra={"problem": str(untracked)})
        raise


def _parameters(settings: Settings, record: Record) -> dict[str, Any]:
    """What the run was made by: its pin, its policies, the limits of the gate, and what its steps have chosen."""
    chosen = {name: value for step in record.steps.values() for name, value in step.found.items() if _is_plain(value)}
    return {
        **flat(record.pin.policies, "policies"),
        **flat(settings.gate.model_dump(), "gate"),
        **{f"found.{name}": value for name, value in chosen.items()},
        "lake_version": record.lake_version,
        "catalogue_fingerprint": record.pin.catalogue_fingerprint,
        "cutoff_ms": record.pin.cutoff_ms,
        "first_bucket_ms": record.pin.first_bucket_ms,
        "records": record.pin.records,
        "impressions": record.pin.impressions,
        "spark_cores": settings.batch.spark_cores,
    }


def _is_plain(value: Any) -> bool:
    return isinstance(value, str)


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
