"""Impressions: gathered for a moment, then published together, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from domain.slates import Slate
from schemas.errors import DependencyError
from schemas.events import AssignedArm, ImpressionEvent, encode
from schemas.topics import IMPRESSIONS
from serving.adapters.publisher import Record

GATHER_S: Final = 0.05
WAITING_MAX: Final = 10_000
NO_EXPERIMENT: Final = "only"
"""The arm of a visitor who is in no experiment."""

Settled = Callable[[int, int], None]
"""Told how many are in Kafka, and how many got lost."""


class Offering(Protocol):
    """The way into Kafka for what nobody waits for."""

    def offer(self, records: Sequence[Record], on_settled: Settled) -> None:
        """Publish; `on_settled` hears what became of them. Raises DependencyError when it takes none of them."""
        ...


class ImpressionLog:
    """Publishes which slates were shown. Bounded: what does not fit is dropped and counted."""

    def __init__(self, publisher: Offering, topic_prefix: str, settled: Settled) -> None:
        self._publisher = publisher
        self._topic = IMPRESSIONS.named(topic_prefix).name
        self._settled = settled
        self._waiting: list[Slate] = []

    def note(self, slate: Slate) -> None:
        """A slate was shown. One that must not be personal names nobody, so it is not logged."""
        if not slate.query.personalise:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._settled(0, 1)
        else:
            self._waiting.append(slate)

    async def run(self) -> None:
        """Publish what has gathered, for ever."""
        while True:
            await asyncio.sleep(GATHER_S)
            self.flush()

    def flush(self) -> None:
        """Hand over what has gathered."""
        if not self._waiting:
            return
        slates, self._waiting = self._waiting, []
        try:
            self._publisher.offer(
                [Record(self._topic, slate.query.visitor_id, encode(_impression(slate))) for slate in slates],
                self._settled,
            )
        except DependencyError:
            self._settled(0, len(slates))


def _impression(slate: Slate) -> ImpressionEvent:
    arms = slate.query.treatment.arms
    return ImpressionEvent(
        slate_id=slate.slate_id,
        visitor_id=slate.query.visitor_id,
        items=tuple(shown.candidate.item_id for shown in slate.shown),
        shown_at_ms=slate.query.asked_at_ms,
        policy=slate.policy,
        arm=f"{arms[0].experiment}/{arms[0].arm}" if arms else NO_EXPERIMENT,
        propensities=tuple(shown.propensity for shown in slate.shown),
        model_version=slate.model_version,
        degraded=tuple(slate.query.degraded),
        assigned=arms_of(slate),
    )


def arms_of(slate: Slate) -> tuple[AssignedArm, ...]:
    """The arms that the visitor is in, as they are said."""
    return tuple(
        AssignedArm(experiment=one.experiment, arm=one.arm, propensity=one.propensity)
        for one in slate.query.treatment.arms
    )
