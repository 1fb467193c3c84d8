"""The path of one query: one line a stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

from domain.slates import Candidate, Degradation, Filtered, Query, Removed, Slate

Result = TypeVar("Result")
ObserveStage = Callable[[str, float], None]
"""Told the name of a stage and its duration in seconds."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What the pipeline runs; `footing` names what is away or stale for every visitor at that instant.

    `treat` says what the visitor's experiments change, `govern` which rules of the shop hold.
    """

    hydrate: Callable[[Query], Awaitable[Query]]
    retrieve: Callable[[Query], tuple[Candidate, ...]]
    filter: Callable[[Query, tuple[Candidate, ...]], Filtered]
    score: Callable[[Query, tuple[Candidate, ...]], tuple[Candidate, ...]]
    compose: Callable[[Query, Sequence[Candidate], tuple[Removed, ...]], Slate]
    footing: Callable[[int], tuple[Degradation, ...]]
    treat: Callable[[Query], Query] = lambda query: query
    govern: Callable[[Query], Query] = lambda query: query


class Pipeline:
    """Runs the stages and times them; the stages know nothing of time."""

    def __init__(self, stages: Stages, observe: ObserveStage = lambda stage, seconds: None) -> None:
        self._stages = stages
        self._observe = observe

    async def run(self, query: Query) -> Slate:
        """Answer one query. It always answers; what it had to do without stands in `slate.query.degraded`."""
        lap = _Laps(self._observe)
        if rungs := self._stages.footing(query.asked_at_ms):
            query = replace(query, degraded=(*query.degraded, *rungs))
        query = self._stages.govern(self._stages.treat(query))
        query = lap("hydrate", await self._stages.hydrate(query))
        candidates = lap("retrieve", self._stages.retrieve(query))
        filtered = lap("filter", self._stages.filter(query, candidates))
        ranked = lap("score", self._stages.score(query, filtered.kept))
        return lap("compose", self._stages.compose(query, ranked, filtered.removed))


class _Laps:
    """Reports the time since the previous stage."""

    __slots__ = ("_at", "_observe")

    def __init__(self, observe: ObserveStage) -> None:
        self._observe = observe
        self._at = perf_counter()

    def __call__(self, stage: str, result: Result) -> Result:
        now = perf_counter()
        self._observe(stage, now - self._at)
        self._at = now
        return result
