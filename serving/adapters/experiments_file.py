"""The file of experiments: read when it changes, and taken into use as a whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from domain.artifacts import Artifact
from domain.experiments.assigned import Treatment
from domain.experiments.assignment import Assignment
from domain.experiments.declaration import BadExperiments, Declaration, read_declaration
from domain.manifests import MANIFEST
from schemas.errors import PlatformError
from serving.adapters.artifact_model import ArtifactModel
from serving.pipeline.retrieve import Model

POLL_S: Final = 0.5

log = logging.getLogger(__name__)


class MissingModel(BadExperiments):
    """An arm asks for a model that is not there."""


def read_experiments(path: Path) -> Declaration:
    """What the file declares; nothing when there is none. Raises BadExperiments."""
    raw = _content(path)
    return Declaration() if raw is None else read_declaration(raw, str(path))


def load_model(folder: Path) -> Model:
    """The model of an arm, ready to answer; raises as `Artifact.load` does."""
    model = ArtifactModel(Artifact.load(folder))
    model.warm()
    return model


@dataclass(frozen=True, slots=True)
class _Running:
    """The experiments of one content of the file, with the models that their arms ask for."""

    declaration: Declaration = field(default_factory=Declaration)
    assignment: Assignment = field(default_factory=lambda: Assignment(Declaration()))
    models: Mapping[str, Model] = field(default_factory=dict)


class ExperimentsWatcher:
    """Holds the experiments that run. A changed file is read, its models loaded in a thread, and then all is swapped.

    A file that cannot be used is refused, and what ran goes on; one of which a model is missing is tried again, for
    the model may come. So nobody is counted in an arm whose model did not answer them.
    """

    def __init__(self, path: Path, artifacts_dir: Path, load: Callable[[Path], Model] = load_model) -> None:
        self._path = path
        self._artifacts_dir = artifacts_dir
        self._load = load
        self._running = _Running()
        self._taken: bytes | None = None
        self._refused: bytes | None = None
        self.problem: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The experiments that run."""
        return tuple(each.name for each in self._running.declaration.experiments)

    def assign(self, visitor_id: str) -> Treatment:
        """What this visitor gets."""
        return self._running.assignment.of(visitor_id)

    def model(self, version: str) -> Model | None:
        """The model that an arm asks for; None only when the experiments were swapped within a request."""
        return self._running.models.get(version)

    async def watch(self) -> None:
        """Look for another content, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Look once, and swap when there is something new."""
        raw = None
        try:
            raw = await asyncio.to_thread(_content, self._path)
            if raw == self._taken:
                self.problem = None
            elif raw is None or raw != self._refused:
                await self._take(raw)
        except MissingModel as error:
            self._note(error)
        except (PlatformError, OSError, ValueError) as error:
            self._refused = raw
            self._note(error)

    async def _take(self, raw: bytes | None) -> None:
        declaration = Declaration() if raw is None else read_declaration(raw, str(self._path))
        self._refuse_missing(declaration)
        models = await asyncio.to_thread(self._models_of, declaration)
        self._running = _Running(declaration, Assignment(declaration), models)
        self._taken, self._refused, self.problem = raw, None, None
        log.info("experiments.loaded", extra={"experiments": self.names, "models": sorted(models)})

    def _refuse_missing(self, declaration: Declaration) -> None:
        for version in sorted(declaration.models - self._running.models.keys()):
            if not (self._artifacts_dir / version / MANIFEST).is_file():
                there = sorted(path.parent.name for path in self._artifacts_dir.glob(f"*/{MANIFEST}"))
                remedy = f"name one of {', '.join(there)}" if there else "publish one by `python -m batch daily`"
                raise MissingModel(str(self._path), f"there is no model {version} in {self._artifacts_dir}", remedy)

    def _models_of(self, declaration: Declaration) -> dict[str, Model]:
        held = self._running.models
        return {
            version: held.get(version) or self._load(self._artifacts_dir / version) for version in declaration.models
        }

    def _note(self, error: Exception) -> None:
        """Once a problem, however often it is met."""
        if self.problem != str(error):
            self.problem = str(error)
            log.warning("experiments.refused", extra={"file": str(self._path), "problem": self.problem})


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
