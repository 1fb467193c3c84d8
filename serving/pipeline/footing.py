"""Footing: what every answer of this moment has to do without, whoever asks."""

from __future__ import annotations

from collections.abc import Callable

from domain.policies import BucketPolicy
from domain.slates import Degradation, is_stale_model
from serving.pipeline.retrieve import Model


class Footing:
    """Names the rungs that do not depend on the visitor."""

    def __init__(
        self,
        model_of: Callable[[], Model | None],
        is_speed_stale: Callable[[int], bool],
        policy: BucketPolicy,
        grace_ms: int,
    ) -> None:
        self._model_of = model_of
        self._is_speed_stale = is_speed_stale
        self._policy = policy
        self._grace_ms = grace_ms

    def rungs(self, asked_at_ms: int) -> tuple[Degradation, ...]:
        """All of them, for an answer from models and trends."""
        model = self._model_of()
        rungs = list(self.speed_rungs(asked_at_ms))
        if model is None:
            rungs.append(Degradation.NO_MODEL)
        elif is_stale_model(model.cutoff_ms, asked_at_ms, self._policy, self._grace_ms):
            rungs.append(Degradation.STALE_MODEL)
        return tuple(reversed(rungs))

    def speed_rungs(self, asked_at_ms: int) -> tuple[Degradation, ...]:
        """Those of the stream, for an answer from features."""
        return (Degradation.STALE_SPEED,) if self._is_speed_stale(asked_at_ms) else ()
