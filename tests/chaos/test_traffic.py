"""The load: what the seed promises, and that every shipment is what it says it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from domain.admission import screen
from domain.facts import Stamp
from domain.policies import AdmissionPolicy
from schemas.errors import Reason, RejectedEvent
from schemas.events import ImpressionEvent, InteractionEvent, decode
from tests.builders import START_MS
from tests.chaos.shipment import Mix, Shipment
from tests.chaos.traffic import BOT, HOUR_MS, SHUFFLE_MS, traffic

MIX = Mix(duration_ms=300_000, period_ms=20_000, events_per_s=60)


@pytest.fixture(scope="module")
def shipments() -> list[Shipment]:
    return [one for one in traffic(7, MIX, START_MS) if one.subject == "interactions"]


def refusal(shipment: Shipment) -> Reason | None:
    """What the screen says of it at the instant at which it is due."""
    try:
        key = (shipment.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    try:
        screen(key, shipment.value or b"", Stamp(START_MS + shipment.at_ms, 0, 0), AdmissionPolicy())
    except RejectedEvent as error:
        return error.reason
    return None


def events(shipments: list[Shipment]) -> list[InteractionEvent]:
    return [decode(InteractionEvent, one.value or b"") for one in shipments if one.reason is None]


def test_the_seed_decides_everything(shipments: list[Shipment]) -> None:
    brief = replace(MIX, duration_ms=20_000)
    assert traffic(7, brief, START_MS) == traffic(7, brief, START_MS)
    assert traffic(8, brief, START_MS) != traffic(7, brief, START_MS)


def test_another_start_moves_the_events_and_changes_nothing_else(shipments: list[Shipment]) -> None:
    moved = [one for one in traffic(7, MIX, START_MS + HOUR_MS) if one.subject == "interactions"]
    assert [replace(one, value=None) for one in moved] == [replace(one, value=None) for one in shipments]
    assert [one.occurred_at_ms - HOUR_MS for one in events(moved)] == [one.occurred_at_ms for one in events(shipments)]


def test_each_shipment_is_refused_for_its_reason_and_no_other(shipments: list[Shipment]) -> None:
    assert [refusal(one) for one in shipments] == [one.reason for one in shipments]
    assert {one.reason for one in shipments} == {None, *Reason} - {Reason.FLOOD}


def test_what_kafka_cannot_take_is_not_sent(shipments: list[Shipment]) -> None:
    assert all(one.key is not None or one.value is not None for one in shipments)


def test_an_http_shipment_is_json_so_that_the_rest_of_its_batch_can_be_judged(shipments: list[Shipment]) -> None:
    posted = [one for one in shipments if one.route == "http"]
    assert {one.reason for one in posted} == {None, Reason.CONTRACT, Reason.FUTURE}
    assert all((one.value or b"").startswith(b"{") for one in posted)


def test_duplicates_come_soon_and_buckets_apart(shipments: list[Shipment]) -> None:
    right = [one for one in shipments if one.reason is None]
    sent = Counter(one.event_id for one in right)
    share = sum(count - 1 for count in sent.values()) / len(sent)
    assert 0.03 < share < 0.07
    first: dict[str, int] = {}
    gaps = [one.at_ms - first[one.event_id] for one in right if first.setdefault(one.event_id, one.at_ms) < one.at_ms]
    assert min(gaps) < 2_000
    assert sum(gap > MIX.period_ms for gap in gaps) > len(gaps) / 4
    assert sum(gap > 2 * MIX.period_ms for gap in gaps) > 10


def test_a_tenth_is_late_by_up_to_two_minutes_and_a_hundredth_by_an_hour(shipments: list[Shipment]) -> None:
    due = {one.event_id: one.at_ms for one in reversed(shipments) if one.reason is None}
    delays = [due[one.event_id] - (one.occurred_at_ms - START_MS) for one in events(shipments)]
    shuffled = [delay for delay in delays if 1_000 < delay <= SHUFFLE_MS]
    assert 0.05 < len(shuffled) / len(delays) < 0.12
    assert max(shuffled) > SHUFFLE_MS / 2
    assert 0.005 < sum(delay >= HOUR_MS for delay in delays) / len(delays) < 0.02


def test_the_robot_floods_every_bucket(shipments: list[Shipment]) -> None:
    full = Counter(one.at_ms // MIX.period_ms for one in shipments if one.key == BOT.encode() and one.reason is None)
    assert all(full[bucket] > 60 for bucket in range(MIX.duration_ms // MIX.period_ms))


def test_some_visitors_come_for_a_few_buckets_only(shipments: list[Shipment]) -> None:
    seen: dict[bytes, list[int]] = {}
    for one in shipments:
        if one.reason is None and one.key is not None:
            seen.setdefault(one.key, []).append(one.at_ms)
    assert sum(max(at) < MIX.duration_ms / 3 for at in seen.values()) > 10
    assert sum(max(at) - min(at) > MIX.duration_ms * 0.8 for at in seen.values()) > 10


def test_some_visitors_follow_a_slate_and_some_slates_come_twice() -> None:
    sent = traffic(7, MIX, START_MS)
    slates = [
        decode(ImpressionEvent, one.value or b"") for one in sent if one.subject == "impressions" and not one.reason
    ]
    shown = {(slate.slate_id, slate.visitor_id, item) for slate in slates for item in slate.items}
    acts = [event for event in events([one for one in sent if one.subject == "interactions"]) if event.slate_id]
    followed = sum((event.slate_id or "", event.visitor_id, event.item_id) in shown for event in acts)
    assert 0.6 < followed / len(acts) < 0.95
    assert max(Counter(slate.slate_id for slate in slates).values()) == 2
    assert max(Counter((event.slate_id, event.item_id) for event in acts).values()) > 1
