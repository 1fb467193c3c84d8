"""The judge: a log that is whole passes, and each thing that can go wrong is named."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from zlib import crc32

from msgspec import structs

from domain.facts import Stamp
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.reference import LogRecord, admitted
from schemas.errors import Reason
from schemas.events import DeadLetter, encode
from tests.builders import START_MS, interaction
from tests.chaos.judgement import (
    RawRecord,
    Sorted,
    Verdict,
    check_events,
    check_lake,
    check_letters,
    check_live,
    check_log,
    check_reasons,
    screened_slates,
    sort_out,
)
from tests.chaos.sending import Ledger, Place
from tests.chaos.shipment import Mix, Shipment
from tests.chaos.traffic import traffic

POLICIES = Policies(bucket=BucketPolicy(period_ms=20_000), admission=AdmissionPolicy(admitted_max=15))
MIX = Mix(duration_ms=60_000, period_ms=20_000, events_per_s=30)


@dataclass
class World:
    """A platform that did everything right, until a test spoils it."""

    log: list[RawRecord] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    rows: list[tuple[Place, str]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def __post_init__(self) -> None:
        sent_by_kafka = (one for one in traffic(7, MIX, START_MS) if one.route == "kafka")
        for offset, sent in enumerate(one for one in sent_by_kafka if one.subject == "interactions"):
            place = (crc32(sent.key or b"") % 4, offset)
            self.log.append(RawRecord(place, START_MS + sent.at_ms, sent.key, sent.value))
            self.ledger.land(sent, place)
        found = self.sorted()
        self.rows = [(place, event.event_id) for place, event in found.screened.items()]
        self.letters = [letter(one, found.refused[one.place]) for one in self.log if one.place in found.refused]

    def sorted(self) -> Sorted:
        return sort_out(self.log, POLICIES)

    def complaints(self) -> str:
        verdict, found = Verdict(), self.sorted()
        check_log(verdict, self.log, self.ledger.landed)
        check_reasons(verdict, self.ledger, found)
        check_lake(verdict, self.rows, {place: event.event_id for place, event in found.screened.items()})
        check_events(verdict, self.rows, self.ledger.event_ids)
        check_letters(verdict, self.letters, found, {one.place: one for one in self.log})
        return "; ".join(verdict.complaints)


def letter(record: RawRecord, reason: Reason) -> DeadLetter:
    partition, offset = record.place
    raw = base64.b64encode(record.value or b"").decode()
    key = None if record.key is None else base64.b64encode(record.key).decode()
    return DeadLetter(
        reason=reason,
        detail="",
        topic="interactions",
        partition=partition,
        offset=offset,
        received_at_ms=record.received_at_ms,
        raw_base64=raw,
        key_base64=key,
    )


def test_what_is_right_is_not_complained_about() -> None:
    assert World().complaints() == ""


def test_the_judge_admits_what_the_reference_admits() -> None:
    world = World()
    found = world.sorted()
    times = {one.place: one.received_at_ms for one in world.log}
    log = [LogRecord(event, Stamp(times[place], *place)) for place, event in found.screened.items()]
    floods = sum(reason == Reason.FLOOD for reason in found.refused.values())
    assert floods > 10
    assert len(found.duplicate) > 10
    assert len(admitted(log, POLICIES)) == len(log) - len(found.duplicate) - floods


def test_a_letter_may_come_twice() -> None:
    world = World()
    world.letters += world.letters[:3]
    assert world.complaints() == ""


def test_a_lost_row_is_found() -> None:
    world = World()
    world.rows.pop()
    assert "1 lake_rows are missing" in world.complaints()


def test_a_row_that_is_there_twice_is_found() -> None:
    world = World()
    world.rows.append(world.rows[0])
    assert "1 lake_rows are there twice" in world.complaints()


def test_a_row_of_nothing_is_found() -> None:
    world = World()
    world.rows.append(((9, 9), "e0"))
    assert "1 lake_rows are not in the log" in world.complaints()


def test_an_acknowledged_record_that_kafka_lost_is_found() -> None:
    world = World()
    lost = next(one for one in world.log if dict(world.rows).get(one.place))
    world.log.remove(lost)
    world.rows = [row for row in world.rows if row[0] != lost.place]
    assert "1 acknowledged records are not in the log" in world.complaints()


def test_an_event_that_was_accepted_over_http_and_is_nowhere_is_found() -> None:
    world = World()
    sent = Shipment(at_ms=0, route="http", key=b"ada", value=encode(interaction("gone")), event_id="gone")
    assert world.ledger.judge(sent, {"verdict": "accepted"})
    assert "1 acknowledged events are not in the lake, such as [\"'gone'\"]" in world.complaints()


def test_a_verdict_that_is_wrong_is_found() -> None:
    world = World()
    sent = Shipment(at_ms=0, route="http", key=b"ada", value=b"{}", event_id="", reason=Reason.CONTRACT)
    assert world.ledger.judge(sent, {"verdict": "rejected", "reason": "contract"})
    assert world.complaints() == ""
    assert world.ledger.judge(sent, {"verdict": "accepted"})
    assert "1 verdicts of the gateway are wrong" in world.complaints()


def test_a_missing_letter_is_found() -> None:
    world = World()
    world.letters.pop()
    assert "1 refused records have no dead letter" in world.complaints()


def test_a_letter_with_another_reason_is_found_twice() -> None:
    world = World()
    world.letters[0] = structs.replace(world.letters[0], reason=Reason.FLOOD)
    assert "1 refused records have no dead letter" in world.complaints()
    assert "1 dead letters are of nothing that was refused" in world.complaints()


def test_the_slates_that_must_be_in_the_lake_are_those_that_were_sent_whole() -> None:
    sent = [one for one in traffic(7, MIX, START_MS) if one.subject == "impressions"]
    log = [RawRecord((0, offset), START_MS, one.key, one.value) for offset, one in enumerate(sent)]
    assert screened_slates(log).keys() == {(0, offset) for offset, one in enumerate(sent) if one.reason is None}
    assert len(screened_slates(log)) < len(log)


def test_a_field_that_differed_under_fire_is_found_and_a_row_that_was_behind_is_not() -> None:
    verdict = Verdict()
    behind = '{"event": "parity.broken", "mismatches": 2, "behind": 2}'
    check_live(verdict, ["no JSON", behind])
    assert verdict.complaints == []
    check_live(verdict, [behind, '{"event": "parity.broken", "mismatches": 3, "behind": 2}'])
    assert "1 comparisons under fire found fields that differ" in verdict.complaints[0]


def test_a_torn_letter_is_found() -> None:
    world = World()
    world.letters[0] = structs.replace(world.letters[0], raw_base64="AAAA")
    assert "1 dead letters have not the record's bytes" in world.complaints()
