"""`python -m batch models`: which versions there are, what is known of one, and which one is served."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from batch.registry.gate import size_mb
from batch.registry.switching import (
    PrunedVersion,
    UnknownVersion,
    roll_back,
    switch_to,
    versions_on_disk,
)
from batch.registry.tracking import CANDIDATE, Registered, Tracking
from domain.artifacts import BrokenArtifact, Manifest, current_version, previous_version, read_manifest
from infra.settings import Settings

COLUMNS: Final = ("version", "stage", "made", "verdict", "hr20", "mrr20", "rank_p99_ms", "size_mb", "on_disk")
FIGURES: Final = ("hr20", "mrr20")

Row = dict[str, Any]


def run(settings: Settings, options: argparse.Namespace) -> Mapping[str, Any]:
    """Do what was asked; a person sees it on standard error, and what is returned is for programs."""
    match options.action:
        case "list":
            return list_models(settings)
        case "show":
            return show_model(settings, options.version)
        case "promote":
            return promote_model(settings, options.version)
        case "rollback":
            return roll_model_back(settings)
    raise AssertionError(options.action)


def list_models(settings: Settings) -> Mapping[str, Any]:
    """Every version that is on disk or in MLflow."""
    with Tracking.open(settings) as tracking:
        registered = {each.version: each for each in tracking.versions()}
    names = sorted({*versions_on_disk(settings.artifacts_dir), *registered}, reverse=True)
    rows = [_row(settings, name, registered.get(name)) for name in names]
    _say(_table(rows) if rows else "there is no model yet; make one with `python -m batch daily`")
    return {"current": current_version(settings.artifacts_dir), "models": rows}


def show_model(settings: Settings, wanted: str) -> Mapping[str, Any]:
    """One version with its manifest and what the gate measured.

    Raises:
        UnknownVersion: nobody knows it.
    """
    with Tracking.open(settings) as tracking:
        registered = {each.version: each for each in tracking.versions()}
    version = _named(settings, wanted, registered)
    row = _row(settings, version, registered.get(version))
    manifest = _manifest(settings, version)
    details = {} if manifest is None else {"metrics": manifest.metrics, "counts": manifest.counts}
    tags = registered[version].tags if version in registered else {}
    found = {**row, **details, "tags": dict(tags), "mlflow_run": registered[version].run_id if tags else None}
    for name, value in found.items():
        for below, each in value.items() if isinstance(value, dict) else (("", value),):
            _say(f"{f'{name}.{below}' if below else name:<40} {each}")
    return found


def promote_model(settings: Settings, wanted: str) -> Mapping[str, Any]:
    """Serve a version, checked as a server checks it.

    Raises:
        UnknownVersion, PrunedVersion, BrokenArtifact: nothing has changed.
    """
    with Tracking.open(settings) as tracking:
        registered = {each.version: each for each in tracking.versions()}
        version = _named(settings, wanted, registered)
        if version not in versions_on_disk(settings.artifacts_dir):
            raise PrunedVersion(version)
        before = switch_to(settings.artifacts_dir, version)
        _note(tracking, version, "promoted by hand", before)
    _say(f"{version} is current, {before or 'nothing'} was; servers take it within a second")
    return {"current": version, "previous": previous_version(settings.artifacts_dir)}


def roll_model_back(settings: Settings) -> Mapping[str, Any]:
    """Serve again what was served before, first of all: MLflow is told afterwards.

    Raises:
        NothingBefore, BrokenArtifact: nothing has changed.
    """
    version, left = roll_back(settings.artifacts_dir)
    _say(f"{version} is current again, {left} was; servers take it within a second")
    with Tracking.open(settings) as tracking:
        _note(tracking, version, "rolled back to", left)
    return {"current": version, "previous": left}


def _note(tracking: Tracking, version: str, what: str, before: str | None) -> None:
    at = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    tracking.note(version, {"switched": f"{at} {what}, from {before or 'nothing'}"})
    tracking.follow()


def _named(settings: Settings, wanted: str, registered: Mapping[str, Registered]) -> str:
    """The version that a name stands for."""
    candidate = next((each.version for each in registered.values() if CANDIDATE in each.aliases), None)
    aliases = {
        "current": current_version(settings.artifacts_dir),
        "previous": previous_version(settings.artifacts_dir),
        CANDIDATE: candidate,
    }
    version = aliases.get(wanted, wanted)
    if version is None or version not in {*registered, *versions_on_disk(settings.artifacts_dir)}:
        raise UnknownVersion(wanted)
    return version


def _row(settings: Settings, version: str, registered: Registered | None) -> Row:
    folder, manifest = settings.artifacts_dir / version, _manifest(settings, version)
    tags: Mapping[str, str] = registered.tags if registered else {}
    stages = {
        "current": current_version(settings.artifacts_dir) == version,
        "previous": previous_version(settings.artifacts_dir) == version,
        CANDIDATE: registered is not None and CANDIDATE in registered.aliases,
    }
    made = datetime.fromtimestamp(manifest.created_at_ms / 1000, UTC) if manifest else None
    return {
        "version": version,
        "mlflow_version": registered.number if registered else None,
        "stage": [stage for stage, holds in stages.items() if holds],
        "made": f"{made:%Y-%m-%d %H:%M}" if made else None,
        "cutoff_ms": int(tags["cutoff_ms"]) if "cutoff_ms" in tags else getattr(manifest, "cutoff_ms", None),
        "verdict": tags.get("gate"),
        "reason": tags.get("gate.reason"),
        **{name: float(tags[f"gate.{name}"]) for name in (*FIGURES, "rank_p99_ms") if f"gate.{name}" in tags},
        "size_mb": round(size_mb(folder), 1) if manifest else None,
        "on_disk": manifest is not None,
    }


def _manifest(settings: Settings, version: str) -> Manifest | None:
    try:
        return read_manifest(settings.artifacts_dir / version)
    except BrokenArtifact:
        return None


def _table(rows: Sequence[Row]) -> str:
    """The rows for a person: columns as wide as their widest cell."""
    cells = [COLUMNS, *(tuple(_cell(row.get(column)) for column in COLUMNS) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "pruned"
        case float():
            return f"{value:.4g}"
        case list():
            return ", ".join(value) or "-"
    return str(value)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
