"""The artifact behind the pipeline's `Model`, and the watcher that swaps it when another one is published."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from domain.artifacts import Artifact, current_version
from domain.recommenders.lineup.instant import InstantModel
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.protocol import Ranking, Session
from domain.recommenders.similar import ItemToItem
from schemas.errors import PlatformError

POLL_S: Final = 0.5

log = logging.getLogger(__name__)


class ArtifactModel:
    """`Model` from one artifact: item ids outside, dense ids inside."""

    def __init__(self, artifact: Artifact) -> None:
        self._vocabulary = artifact.vocabulary
        self._line_up = artifact.model
        self._model: FusedModel | InstantModel = artifact.model
        self._instant: ArtifactModel | None = None
        self._similar = ItemToItem(artifact.model.knn)
        self._content = artifact.content
        self._taste = artifact.taste
        self._new = np.flatnonzero(artifact.model.lineup.facts.facts["seen"] == 0).astype(np.int32)
        self._popular = self._named(artifact.popularity.rank(Session(()), len(artifact.vocabulary)))
        self._version: str = artifact.version
        self._cutoff_ms = artifact.manifest.cutoff_ms

    @property
    def instant(self) -> ArtifactModel:
        """See `Model.instant`."""
        if self._instant is None:
            self._instant = copy(self)
            self._instant._model = self._line_up.instant()
        return self._instant

    @property
    def version(self) -> str:
        """See `Model.version`."""
        return self._version

    @property
    def cutoff_ms(self) -> int:
        """See `Model.cutoff_ms`."""
        return self._cutoff_ms

    def __len__(self) -> int:
        """Items that it knows."""
        return len(self._vocabulary)

    def knows(self, item_id: str) -> bool:
        """See `Model.knows`."""
        return item_id in self._vocabulary

    def rank(self, item_ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        """See `Model.rank`."""
        return self._named(self._model.rank(self._vocabulary.session(item_ids), k))

    def scores(self, item_ids: Sequence[str], candidates: Sequence[str]) -> dict[str, float]:
        """See `Model.scores`."""
        known = self._dense(candidates)
        scores = self._model.scores(self._vocabulary.session(item_ids), _array(known.values()))
        return dict(zip(known, scores.tolist(), strict=True))

    def similar(self, item_id: str, k: int) -> list[tuple[str, float]]:
        """See `Model.similar`; what is about the same, for an item on which nobody has acted."""
        dense = self._vocabulary.dense(item_id)
        if dense is None:
            return []
        near = self._similar.similar(dense, k)
        return self._named(near if len(near) or self._content is None else self._content.similar(dense, k))

    def new_alike(self, item_ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        """See `Model.new_alike`."""
        if self._content is None:
            return []
        return self._named(self._content.rank_among(self._vocabulary.session(item_ids), self._new, k))

    def to_taste(self, item_ids: Sequence[str], k: int) -> list[tuple[str, float]]:
        """See `Model.to_taste`."""
        return [] if self._taste is None else self._named(self._taste.rank(self._vocabulary.session(item_ids), k))

    def popular(self, k: int) -> list[tuple[str, float]]:
        """See `Model.popular`."""
        return self._popular[:k]

    def because(self, item_ids: Sequence[str], candidates: Sequence[str]) -> list[str | None]:
        """See `Model.because`; None for a candidate that the model does not know."""
        known = self._dense(candidates)
        causes = self._model.because(self._vocabulary.session(item_ids), _array(known.values()))
        found = dict(zip(known, causes, strict=True))
        named = (found.get(item_id) for item_id in candidates)
        return [None if cause is None else self._vocabulary.item_id(cause) for cause in named]

    def warm(self) -> None:
        """Compile or load the kernels before a visitor waits for them."""
        self._model.warm()
        if self._model is self._line_up:
            self.instant.warm()

    def _dense(self, item_ids: Iterable[str]) -> dict[str, int]:
        dense = ((item_id, self._vocabulary.dense(item_id)) for item_id in item_ids)
        return {item_id: number for item_id, number in dense if number is not None}

    def _named(self, ranking: Ranking) -> list[tuple[str, float]]:
        names = self._vocabulary.item_ids
        items, scores = ranking.items.tolist(), ranking.scores.tolist()
        return [(names[item], score) for item, score in zip(items, scores, strict=True)]


def _array(items: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.fromiter(items, np.int32)


class ArtifactWatcher:
    """Holds the current model. A new one is loaded and warmed in a thread, then swapped in between two requests.

    A broken one is refused and remembered, so that it is neither served nor tried again and again; the old one stays.
    """

    def __init__(self, artifacts_dir: Path, on_swap: Callable[[Artifact], None] = lambda artifact: None) -> None:
        self._artifacts_dir = artifacts_dir
        self._on_swap = on_swap
        self._model: ArtifactModel | None = None
        self._met: str | None = None
        self.has_looked = False
        self.problem: str | None = None

    def current(self) -> ArtifactModel | None:
        """The model to answer with, None before the first one."""
        return self._model

    async def watch(self) -> None:
        """Look for another artifact, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Look once, and swap when there is another one."""
        try:
            version = await asyncio.to_thread(current_version, self._artifacts_dir)
            if version is not None and version != self._met:
                self._met = version
                artifact = await asyncio.to_thread(Artifact.load, self._artifacts_dir / version)
                self._model = await asyncio.to_thread(_warmed, artifact)
                self.problem = None
                self._on_swap(artifact)
                log.info("artifact.loaded", extra={"version": version, "items": len(artifact.vocabulary)})
        except (PlatformError, OSError, ValueError) as error:
            self.problem = str(error)
            log.warning("artifact.refused", extra={"version": self._met, "problem": self.problem})
        finally:
            self.has_looked = True


def _warmed(artifact: Artifact) -> ArtifactModel:
    model = ArtifactModel(artifact)
    model.warm()
    return model
