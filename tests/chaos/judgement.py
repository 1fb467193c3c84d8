"""The verdict on a run: the log as Kafka has it, against what was acknowledged, the lake and the dead letters."""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from batch.lake import impressions, interactions
from batch.lake.layout import Layout
from batch.lake.table import open_table
from domain.admission import screen
from domain.facts import Stamp
from domain.impressions import screen_impression
from domain.policies import Policies
from infra.settings import Settings
from schemas.errors import Reason, RejectedEvent
from schemas.events import DeadLetter, InteractionEvent, decode
from schemas.topics import DEAD_LETTERS, IMPRESSIONS, INTERACTIONS
from tests.chaos.sending import Ledger, Place
from tests.chaos.shipment import Shipment

SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record of a topic, as it stands there."""

    place: Place
    received_at_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Sorted:
    """The log by rule 1: what must be in the lake, what must be a dead letter."""

    screened: dict[Place, InteractionEvent] = field(default_factory=dict)
    refused: dict[Place, Reason] = field(default_factory=dict)
    duplicate: set[Place] = field(default_factory=set)


@dataclass(slots=True)
class Verdict:
    """What was found, in numbers, and what is wrong with it."""

    facts: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def refuse(self, what: str, wrong: Collection[Any]) -> None:
        """Complain, with the first few, unless nothing is wrong."""
        if wrong:
            self.complaints.append(f"{len(wrong)} {what}, such as {sorted(map(repr, wrong))[:SHOWN]}")


def judge(settings: Settings, ledger: Ledger) -> Verdict:
    """Read everything and compare it."""
    prefix = settings.kafka.topic_prefix
    log = read_topic(settings, INTERACTIONS.named(prefix).name)
    letters = [decode(DeadLetter, one.value or b"") for one in read_topic(settings, DEAD_LETTERS.named(prefix).name)]
    found = sort_out(log, settings.policies)
    verdict = Verdict({"log": len(log), "acknowledged": len(ledger.landed) + len(ledger.accepted)})
    verdict.facts |= {
        "duplicates": len(found.duplicate),
        "retries": ledger.retries,
        "http_rejected": dict(ledger.rejected),
    }
    check_log(verdict, log, ledger.landed)
    check_reasons(verdict, ledger, found)
    rows = lake_rows(settings, interactions.INTERACTIONS, "event_id")
    check_lake(verdict, rows, {place: event.event_id for place, event in found.screened.items()})
    check_events(verdict, rows, ledger.event_ids)
    check_letters(verdict, letters, found, {one.place: one for one in log})
    check_live(verdict, (settings.logs_dir / "parity.log").read_text().splitlines())
    shown = read_topic(settings, IMPRESSIONS.named(prefix).name)
    verdict.facts["impressions"] = len(shown)
    check_log(verdict, shown, ledger.shown)
    check_lake(
        verdict, lake_rows(settings, impressions.IMPRESSIONS, "slate_id"), screened_slates(shown), "impression_rows"
    )
    return verdict


def check_live(verdict: Verdict, lines: Iterable[str]) -> None:
    """What the gauge of parity has found in the storm: rows may be behind then, but no field may differ."""
    told = [json.loads(line) for line in lines if '"parity.broken"' in line]
    verdict.facts["gauge_behind"] = len(told)
    verdict.refuse("comparisons under fire found fields that differ", [one for one in told if differing(one)])


def differing(told: dict[str, Any]) -> int:
    """Fields that differ, without rows that are absent or too old."""
    return int(told["mismatches"]) - int(told["behind"])


def lake_rows(settings: Settings, layout: Layout[Any], name: str) -> list[tuple[Place, str]]:
    """Of every row of a table the place and one column."""
    found = open_table(settings, layout).read(["partition", "offset", name])
    return [((row["partition"], row["offset"]), row[name]) for row in found.to_pylist()]


def screened_slates(log: Iterable[RawRecord]) -> dict[Place, str]:
    """The slate ids of the impressions that must be in the lake."""
    found: dict[Place, str] = {}
    for record in log:
        with suppress(RejectedEvent):
            found[record.place] = screen_impression(_text(record.key), record.value or b"").slate_id
    return found


def sort_out(log: Iterable[RawRecord], policies: Policies) -> Sorted:
    """Apply rule 1 in offset order, in the most obvious way."""
    found = Sorted()
    seen: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    full: Counter[tuple[int, str, int]] = Counter()
    for record in sorted(log, key=lambda one: one.place):
        try:
            event = screen(_text(record.key), record.value or b"", _stamp(record), policies.admission)
        except RejectedEvent as error:
            found.refused[record.place] = error.reason
            continue
        found.screened[record.place] = event
        bucket = record.received_at_ms // policies.bucket.period_ms
        partition, _ = record.place
        earlier, in_bucket = seen[partition, event.visitor_id, event.event_id], (partition, event.visitor_id, bucket)
        is_full = full[in_bucket] >= policies.admission.admitted_max
        if any(bucket - policies.bucket.dedup <= before <= bucket for before in earlier):
            found.duplicate.add(record.place)
        elif is_full:
            found.refused[record.place] = Reason.FLOOD
        if not is_full and bucket not in earlier:
            earlier.append(bucket)
            full[in_bucket] += 1
    return found


def check_log(verdict: Verdict, log: Iterable[RawRecord], landed: Mapping[Place, Shipment]) -> None:
    """What Kafka has acknowledged it still has, as it was sent."""
    there = {one.place: (one.key, one.value) for one in log}
    lost = [place for place, sent in landed.items() if there.get(place) != (sent.key, sent.value)]
    verdict.refuse("acknowledged records are not in the log as they were sent", lost)


def check_lake(
    verdict: Verdict, rows: list[tuple[Place, str]], expected: Mapping[Place, str], name: str = "lake_rows"
) -> None:
    """Every screened record exactly once, and nothing else."""
    places = Counter(place for place, _ in rows)
    verdict.facts |= {name: len(rows), f"{name}_distinct": len(places)}
    verdict.refuse(f"{name} are there twice", [place for place, count in places.items() if count > 1])
    verdict.refuse(f"{name} are missing", expected.keys() - places.keys())
    verdict.refuse(f"{name} are not in the log", [row for row in rows if expected.get(row[0]) != row[1]])


def check_events(verdict: Verdict, rows: list[tuple[Place, str]], acknowledged: set[str]) -> None:
    """Every acknowledged event is in the lake."""
    verdict.facts["events"] = len(acknowledged)
    verdict.refuse("acknowledged events are not in the lake", acknowledged - {event_id for _, event_id in rows})


def check_letters(verdict: Verdict, letters: list[DeadLetter], found: Sorted, log: Mapping[Place, RawRecord]) -> None:
    """Every refused record is a dead letter with its reason and its bytes; more than once is allowed.

    So is a flood's letter of a duplicate: a job that rebuilds does not know, in its first bucket, what was seen before.
    """
    told = {((one.partition, one.offset), one.reason) for one in letters}
    excused = {(place, Reason.FLOOD) for place in found.duplicate}
    expected = set(found.refused.items())
    torn = {place for one in letters if (place := (one.partition, one.offset)) in log and is_torn(one, log[place])}
    verdict.facts |= {
        "letters": len(letters),
        "letter_places": len({place for place, _ in told}),
        "refused": dict(Counter(reason.value for reason in found.refused.values())),
    }
    verdict.refuse("refused records have no dead letter", expected - told)
    verdict.refuse("dead letters are of nothing that was refused", told - expected - excused)
    verdict.refuse("dead letters have not the record's bytes", torn)


def is_torn(letter: DeadLetter, record: RawRecord) -> bool:
    """Whether a letter is not the whole record."""
    key = None if letter.key_base64 is None else base64.b64decode(letter.key_base64)
    return (key, base64.b64decode(letter.raw_base64)) != (record.key, record.value or b"")


def check_reasons(verdict: Verdict, ledger: Ledger, found: Sorted) -> None:
    """What was sent to be refused was refused for that very reason, in the stream and by the gateway."""
    wrong = [
        (place, sent.reason, found.refused.get(place))
        for place, sent in ledger.landed.items()
        if sent.reason is not None and found.refused.get(place) != sent.reason
    ]
    verdict.refuse("verdicts of the gateway are wrong", ledger.disputed)
    verdict.refuse("records were refused for another reason, or not at all", wrong)


def read_topic(settings: Settings, topic: str) -> list[RawRecord]:
    """Every record of a topic, up to where it ends now."""
    found: list[RawRecord] = []
    with closing(
        KafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap, enable_auto_commit=False, fetch_max_bytes=16 * 1024 * 1024
        )
    ) as consumer:
        partitions = [TopicPartition(topic, at) for at in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(timeout_ms=1_000, max_records=5_000).values():
                found += [RawRecord((one.partition, one.offset), one.timestamp, one.key, one.value) for one in records]
    return found


def _stamp(record: RawRecord) -> Stamp:
    return Stamp(record.received_at_ms, *record.place)


def _text(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""
