"""Impressions: gathered, published together, bounded, and honest about what got lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from domain.experiments.assigned import AssignedArm, Treatment
from domain.slates import Candidate, Degradation, Query, Shown, Slate, Source
from schemas.errors import DependencyError
from schemas.events import ImpressionEvent, decode
from serving.adapters.impressions import WAITING_MAX, ImpressionLog, Settled
from serving.adapters.publisher import Record


@dataclass
class FakeOffering:
    """Confirms all but `lost` records; raises while it is `full`."""

    lost: int = 0
    full: bool = False
    records: list[Record] = field(default_factory=list)

    def offer(self, records: Sequence[Record], on_settled: Settled) -> None:
        if self.full:
            raise DependencyError("kafka", "is full", "wait")
        self.records += records
        on_settled(len(records) - self.lost, self.lost)


@dataclass
class Counted:
    """What was told."""

    published: int = 0
    lost: int = 0

    def __call__(self, published: int, lost: int) -> None:
        self.published += published
        self.lost += lost


def slate(*, personalise: bool = True) -> Slate:
    query = Query(visitor_id="ada", count=2, asked_at_ms=7, personalise=personalise, degraded=(Degradation.NO_HISTORY,))
    shown = tuple(Shown(Candidate(item, Source.POPULAR, 1.0)) for item in ("a", "b"))
    return Slate("s1", query, shown, (), "m1")


def test_an_impression_says_what_was_shown_to_whom_and_how() -> None:
    offering, counted = FakeOffering(), Counted()
    log = ImpressionLog(offering, "t-", counted)
    log.note(slate())
    log.flush()
    (record,) = offering.records
    assert (record.topic, record.key) == ("t-impressions", "ada")
    impression = decode(ImpressionEvent, record.value or b"")
    assert impression.items == ("a", "b")
    assert impression.propensities == (1.0, 1.0)
    assert (impression.arm, impression.assigned) == ("only", ())
    assert impression.degraded == ("no_history",)
    assert (counted.published, counted.lost) == (1, 0)


def test_an_impression_names_every_arm_and_how_probable_each_place_was() -> None:
    arms = (AssignedArm("cap", "three", 0.25), AssignedArm("weights", "control", 0.5))
    explored = slate()
    query = replace(explored.query, treatment=Treatment(arms))
    shown = (explored.shown[0], replace(explored.shown[1], propensity=0.05))
    offering = FakeOffering()
    log = ImpressionLog(offering, "", Counted())
    log.note(replace(explored, query=query, shown=shown))
    log.flush()
    impression = decode(ImpressionEvent, offering.records[0].value or b"")
    assert impression.arm == "cap/three"
    assert [(one.experiment, one.arm, one.propensity) for one in impression.assigned] == list(arms)
    assert impression.propensities == (1.0, 0.05)


def test_a_slate_that_must_not_be_personal_names_nobody() -> None:
    offering = FakeOffering()
    log = ImpressionLog(offering, "", Counted())
    log.note(slate(personalise=False))
    log.flush()
    assert offering.records == []


def test_what_kafka_does_not_take_is_counted_as_lost() -> None:
    full, partly = Counted(), Counted()
    refusing = ImpressionLog(FakeOffering(full=True), "", full)
    losing = ImpressionLog(FakeOffering(lost=1), "", partly)
    for log in (refusing, losing):
        log.note(slate())
        log.note(slate())
        log.flush()
    assert (full.published, full.lost) == (0, 2)
    assert (partly.published, partly.lost) == (1, 1)


def test_what_waits_is_bounded() -> None:
    offering, counted = FakeOffering(), Counted()
    log = ImpressionLog(offering, "", counted)
    for _ in range(WAITING_MAX + 3):
        log.note(slate())
    log.flush()
    assert len(offering.records) == WAITING_MAX
    assert counted.lost == 3
