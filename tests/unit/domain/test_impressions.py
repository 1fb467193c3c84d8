"""What an impression, a click and a conversion are, and the rate that comes of them."""

import pytest

from domain.impressions import (
    CLICK_PRIOR,
    PRIOR_WEIGHT,
    ImpressionCounts,
    ImpressionRecord,
    impression_counts,
    screen_impression,
)
from domain.rates import rate_with_prior
from domain.reference import LogRecord
from schemas.errors import Reason, RejectedEvent
from schemas.events import Kind, encode
from tests.builders import START_MS, impression, interaction, record, stamp

CUTOFF_MS = START_MS + 1_000


def shown(
    slate_id: str = "s1", *items: str, visitor: str = "ada", at_ms: int = START_MS, partition: int = 0, offset: int = 0
) -> ImpressionRecord:
    event = impression(slate_id, visitor=visitor, items=items or ("book",))
    return ImpressionRecord(event, stamp(at_ms, partition=partition, offset=offset))


def acted(kind: Kind = "view", *, visitor: str = "ada", item: str = "book", at_ms: int = START_MS) -> LogRecord:
    return record(kind=kind, visitor=visitor, item=item, received_at_ms=at_ms, slate_id="s1")


def book(impressions: list[ImpressionRecord], admitted: list[LogRecord]) -> ImpressionCounts:
    return impression_counts(impressions, admitted, CUTOFF_MS)["book"]


@pytest.mark.parametrize(
    ("kinds", "clicked", "converted"),
    [
        ([], 0, 0),
        (["view"], 1, 0),
        (["click"], 1, 0),
        (["play"], 1, 0),
        (["cart"], 0, 1),
        (["purchase"], 0, 1),
        (["view", "play", "view"], 1, 0),
        (["click", "cart", "purchase"], 1, 1),
        (["rating", "like", "dislike", "hide"], 0, 0),
    ],
)
def test_a_shown_item_is_clicked_and_converted_once_however_often(
    kinds: list[Kind], clicked: int, converted: int
) -> None:
    assert book([shown()], [acted(kind) for kind in kinds]) == (1, clicked, converted)


def test_every_slate_counts_and_an_item_once_in_each() -> None:
    found = impression_counts([shown("s1", "a", "b", "a"), shown("s2", "a", offset=1)], [], CUTOFF_MS)
    assert found == {"a": (2, 0, 0), "b": (1, 0, 0)}


def test_of_records_with_one_slate_id_the_first_one_by_partition_and_offset_counts() -> None:
    forged = shown("s1", "forged", visitor="eve", partition=1, offset=0)
    late = shown("s1", "late", partition=0, offset=9)
    assert impression_counts([forged, late, shown("s1", "book", offset=8)], [], CUTOFF_MS) == {"book": (1, 0, 0)}


def test_an_interaction_of_another_visitor_or_with_what_was_not_shown_counts_for_nothing() -> None:
    assert book([shown()], [acted(visitor="eve"), acted(item="lamp")]) == (1, 0, 0)
    assert "lamp" not in impression_counts([shown()], [acted(item="lamp")], CUTOFF_MS)


def test_an_interaction_without_a_slate_or_with_an_unknown_one_counts_for_nothing() -> None:
    assert book([shown("s2")], [record(), acted()]) == (1, 0, 0)


@pytest.mark.parametrize(("at_ms", "counts"), [(CUTOFF_MS - 1, 1), (CUTOFF_MS, 0)])
def test_what_was_received_at_the_cutoff_does_not_count(at_ms: int, counts: int) -> None:
    assert book([shown()], [acted(at_ms=at_ms)]) == (1, counts, 0)
    assert impression_counts([shown(at_ms=at_ms)], [], CUTOFF_MS) == ({"book": (1, 0, 0)} if counts else {})


def test_an_impression_under_a_key_that_is_not_its_visitor_is_refused() -> None:
    event = impression("s1", visitor="ada")
    assert screen_impression("ada", encode(event)) == event
    with pytest.raises(RejectedEvent) as refused:
        screen_impression("eve", encode(event))
    assert refused.value.reason is Reason.KEY
    with pytest.raises(RejectedEvent) as refused:
        screen_impression("ada", encode(interaction()))
    assert refused.value.reason is Reason.CONTRACT


def test_a_rate_begins_at_its_prior_and_is_half_its_own_after_the_weight() -> None:
    assert rate_with_prior(0, 0, CLICK_PRIOR, PRIOR_WEIGHT) == CLICK_PRIOR
    assert rate_with_prior(PRIOR_WEIGHT, PRIOR_WEIGHT, CLICK_PRIOR, PRIOR_WEIGHT) == pytest.approx(
        (1 + CLICK_PRIOR) / 2
    )
    assert rate_with_prior(30_000, 100_000, CLICK_PRIOR, PRIOR_WEIGHT) == pytest.approx(0.3, abs=1e-3)
