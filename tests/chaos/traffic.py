"""The load of a chaos run: what producers send, the good and the bad, as a function of a seed and a start.

Every shipment says what must become of it, so that the judge need not trust the platform's own word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final

from schemas.errors import Reason
from schemas.events import CRITIC, EVENT_BYTES_MAX, KINDS, InteractionContext, InteractionEvent, encode
from tests.chaos.shipment import Mix, Route, Shipment, again_at, later
from tests.chaos.slates import Slates

HOUR_MS: Final = 3_600_000
SHUFFLE_MS: Final = 120_000
GENRES: Final = ("drama", "comedy", "thriller", "éa", "western")
ITEMS: Final = tuple(f"film-{number:02d}" for number in range(60))
BOT: Final = "bot"


def traffic(seed: int, mix: Mix, start_ms: int) -> list[Shipment]:
    """All shipments of a run, in the order in which they are due."""
    generator = Random(f"traffic {seed}")
    shipments = [shipment for made in _events(generator, mix, start_ms) for shipment in made]
    return sorted(shipments, key=lambda shipment: shipment.at_ms)


def _events(generator: Random, mix: Mix, start_ms: int) -> Iterator[list[Shipment]]:
    at_ms, number, slates = 0.0, 0, Slates(generator, mix)
    while (at_ms := at_ms + generator.expovariate(mix.events_per_s / 1_000)) < mix.duration_ms:
        number += 1
        event = slates.follow(_event(generator, mix, f"e{number}", int(at_ms), start_ms))
        if generator.random() < mix.slates:
            event, shown = slates.show(event, int(at_ms))
            yield shown
        yield _shipments(generator, mix, event, int(at_ms))


def _shipments(generator: Random, mix: Mix, event: InteractionEvent, at_ms: int) -> list[Shipment]:
    """What is sent of one event, or in its stead."""
    spoilers: tuple[tuple[float, Callable[[Random, Shipment, InteractionEvent], Shipment]], ...] = (
        (mix.poison, _poison),
        (mix.breaches, _breach),
        (mix.future, _future),
        (mix.misplaced, _misplaced),
    )
    route: Route = "http" if generator.random() < mix.http else "kafka"
    plain = Shipment(
        at_ms=at_ms, route=route, key=event.visitor_id.encode(), value=encode(event), event_id=event.event_id
    )
    drawn = generator.random()
    for share, spoil in spoilers:
        if drawn < share:
            return [spoil(generator, plain, event)]
        drawn -= share
    sent = plain
    if generator.random() < mix.shuffled:
        sent = replace(plain, at_ms=later(generator, mix, at_ms, 0, SHUFFLE_MS))
    if generator.random() >= mix.duplicates:
        return [sent]
    again: Route = generator.choice(("kafka", "http"))
    return [sent, replace(plain, route=again, at_ms=again_at(generator, mix, sent.at_ms))]


def _event(generator: Random, mix: Mix, event_id: str, at_ms: int, start_ms: int) -> InteractionEvent:
    """An event that is right; it happened when it is made, or an hour before."""
    kind = generator.choice(KINDS)
    is_critic = kind == "rating" and generator.random() < 0.3
    return InteractionEvent(
        event_id=event_id,
        visitor_id=_visitor(generator, mix, at_ms),
        item_id=_item(generator, mix, at_ms),
        kind=kind,
        occurred_at_ms=start_ms + at_ms - (HOUR_MS if generator.random() < mix.late else 0),
        session_id=generator.choice((None, None, None, "s1", "s2")),
        value=generator.choice((None, 1.0, 2.5, 4.0, 5.0, 1e-7, 7_200_000.0, -19.99)),
        personalise=generator.random() >= mix.silent,
        context=InteractionContext(
            categories=tuple(generator.choices(GENRES, k=generator.randrange(4))),
            utc_offset_min=generator.choice((0, 0, -840, 345, 840)),
            device=generator.choice((None, "phone", "tv")),
            source=CRITIC if is_critic else None,
            weight=generator.choice((0.5, 1.0, 2.25)) if is_critic else None,
        ),
    )


def _visitor(generator: Random, mix: Mix, at_ms: int) -> str:
    """Half of them come all the time, half for a few buckets only; one is a robot."""
    if generator.random() < mix.bot:
        return BOT
    name = f"v{int(generator.expovariate(0.03))}"
    if generator.random() < 0.5:
        name = f"{name}-{at_ms // (3 * mix.period_ms)}"
    return f"{name}é😀" if generator.random() < 0.1 else name


def _item(generator: Random, mix: Mix, at_ms: int) -> str:
    """Few items have most of the clicks; one in ten clicks is for one that is shown for a few buckets only."""
    if generator.random() < 0.1:
        return f"short-{at_ms // (4 * mix.period_ms)}-{generator.randrange(5)}"
    return ITEMS[min(int(generator.expovariate(0.08)), len(ITEMS) - 1)]


def _poison(generator: Random, plain: Shipment, event: InteractionEvent) -> Shipment:
    """No event at all; only Kafka takes it."""
    whole = encode(event)
    bad: tuple[bytes | None, ...] = (
        None,
        b"",
        b"{",
        b"not JSON",
        b"\xff\xfe",
        b"\x00" + generator.randbytes(100),
        whole[: len(whole) // 2],
        whole[:-1] + b"\xff}",
    )
    huge = (b"x" * (EVENT_BYTES_MAX + 1), b"x" * 600_000)
    value = generator.choice(huge) if generator.random() < 0.1 else generator.choice(bad)
    is_huge = value is not None and len(value) > EVENT_BYTES_MAX
    reason = Reason.OVERSIZE if is_huge else Reason.MALFORMED
    key = generator.choice((plain.key, b"\xff\xfe", None if value is not None else b""))  # a record has one of them
    return replace(plain, route="kafka", key=key, value=value, event_id="", reason=reason)


def _breach(generator: Random, plain: Shipment, event: InteractionEvent) -> Shipment:
    """JSON that breaks the contract."""
    right: dict[str, Any] = json.loads(encode(event))
    changes: tuple[dict[str, Any], ...] = (
        {"kind": "stare"},
        {"item_id": ""},
        {"surplus": 1},
        {"occurred_at_ms": -1},
        {"occurred_at_ms": "now"},
        {"value": "much"},
        {"schema_version": 2},
        {"context": {"utc_offset_min": 841}},
        {"visitor_id": "v" * 129},
    )
    if plain.route == "kafka" and generator.random() < 0.3:
        value = generator.choice((b"[1, 2]", b"null", b'"text"', b"{}"))
    else:
        value = json.dumps(right | generator.choice(changes)).encode()
    return replace(plain, value=value, event_id="", reason=Reason.CONTRACT)


def _future(generator: Random, plain: Shipment, event: InteractionEvent) -> Shipment:
    """It has not happened yet, by the producer's clock."""
    ahead = InteractionEvent(
        event_id=event.event_id,
        visitor_id=event.visitor_id,
        item_id=event.item_id,
        kind=event.kind,
        occurred_at_ms=event.occurred_at_ms + generator.choice((2, 24)) * HOUR_MS,
    )
    return replace(plain, value=encode(ahead), event_id="", reason=Reason.FUTURE)


def _misplaced(generator: Random, plain: Shipment, event: InteractionEvent) -> Shipment:
    """A right event under a wrong key, or under none."""
    key = generator.choice((None, b"", b"\xff\xfe", f"{event.visitor_id} ".encode(), b"no visitor at all"))
    return replace(plain, route="kafka", key=key, event_id="", reason=Reason.KEY)
