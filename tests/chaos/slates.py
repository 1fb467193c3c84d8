"""Slates that visitors were shown, and what they did with them: impressions as the server would publish them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from random import Random
from typing import Final

from msgspec import structs

from schemas.errors import Reason
from schemas.events import ImpressionEvent, InteractionEvent, encode
from tests.chaos.shipment import Mix, Shipment, again_at, later

REMEMBERED: Final = 50
FOLLOWED: Final = 0.1
ODD: Final = 0.1
"""Of the slates, so many were shown to somebody else, or without the item that is then acted on."""


class Slates:
    """Makes slates, and lets later events follow those that were shown last."""

    def __init__(self, generator: Random, mix: Mix) -> None:
        self._generator = generator
        self._mix = mix
        self._shown: deque[ImpressionEvent] = deque(maxlen=REMEMBERED)
        self._number = 0

    def follow(self, event: InteractionEvent) -> InteractionEvent:
        """The event, or one in ten times one with a slate that was shown before."""
        if not self._shown or self._generator.random() >= FOLLOWED:
            return event
        slate = self._generator.choice(self._shown)
        item = self._generator.choice(slate.items)
        return structs.replace(event, visitor_id=slate.visitor_id, item_id=item, slate_id=slate.slate_id)

    def show(self, event: InteractionEvent, at_ms: int) -> tuple[InteractionEvent, list[Shipment]]:
        """The event as a click into a slate, and the records that tell of the slate; some of these come late."""
        self._number += 1
        draw = self._generator
        others = [f"film-{draw.randrange(60):02d}" for _ in range(draw.randrange(1, 6))]
        items = others if draw.random() < ODD else [*others, event.item_id]
        slate = ImpressionEvent(
            slate_id=f"s{self._number}",
            visitor_id="somebody else" if draw.random() < ODD else event.visitor_id,
            items=tuple(items),
            shown_at_ms=event.occurred_at_ms,
            policy="chaos",
            arm="only",
            propensities=(1.0,) * len(items),
            model_version="none",
        )
        self._shown.append(slate)
        return structs.replace(event, slate_id=slate.slate_id), self._shipments(slate, at_ms)

    def _shipments(self, slate: ImpressionEvent, at_ms: int) -> list[Shipment]:
        draw, key = self._generator, slate.visitor_id.encode()
        sent = Shipment(
            at_ms=later(draw, self._mix, at_ms, 0, 1_000 if draw.random() < 0.9 else 60_000),
            route="kafka",
            subject="impressions",
            key=key,
            value=encode(slate),
        )
        drawn = draw.random()
        if drawn < self._mix.poison:
            return [replace(sent, value=draw.choice((b"", b"{", b"\xff")), reason=Reason.MALFORMED)]
        if drawn < self._mix.poison + self._mix.misplaced:
            return [replace(sent, key=draw.choice((None, b"nobody")), reason=Reason.KEY)]
        if drawn < self._mix.poison + self._mix.misplaced + self._mix.breaches:
            return [replace(sent, value=b'{"slate_id": 1}', reason=Reason.CONTRACT)]
        if draw.random() >= self._mix.duplicates:
            return [sent]
        again = encode(structs.replace(slate, items=("changed",), propensities=(1.0,)))  # of a slate the first counts
        return [sent, replace(sent, value=again, at_ms=again_at(draw, self._mix, sent.at_ms))]
