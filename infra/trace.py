"""`python -m infra trace EVENT_ID`: where one interaction has been, by the logs of every stage.

The logs are those that the stages write for each other: Kafka's topics and the lake. Nothing is kept for this command,
so it tells what is still there: topics are kept for days, and a changelog forgets a row once a newer one is compacted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from domain.rows import open_row
from infra.processes.readiness import PortAnswers
from infra.settings import KafkaSettings, Settings, load_settings
from schemas.errors import DependencyError
from schemas.topics import DEAD_LETTERS, IMPRESSIONS, INTERACTIONS, ITEM_STATES, VISITOR_STATES, Topic

HOUR_MS: Final = 3_600_000
POLL_MS: Final = 1_000
SILENCE_MAX: Final = 30
ANSWER_TIMEOUT_S: Final = 5.0
LOG_LINES_MAX: Final = 20
FOUND, ABSENT = 0, 1


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage knows of the event; `at_ms` is when it had it, None where the stage does not say."""

    stage: str
    is_known: bool
    told: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """The event as it stands on its topic."""

    partition: int
    offset: int
    received_at_ms: int
    event: dict[str, Any] = field(repr=False)

    @property
    def place(self) -> str:
        """As dead letters are named."""
        return f"{self.partition}:{self.offset}"


class Log(Protocol):
    """Topics, read from an instant to where they end now."""

    def records(self, topic: Topic, since_ms: int, wanted: Callable[[Any], bool]) -> Iterator[Any]:
        """The wanted ones of the records received since then (kafka-python's ConsumerRecord)."""
        ...


def main(arguments: list[str]) -> int:
    """Print the event's way; 1 when no stage knows it."""
    options = parser().parse_args(arguments)
    settings = load_settings()
    since_ms = int(time.time() * 1_000) - int(options.hours * HOUR_MS)
    steps = list(trace(KafkaLog(settings.kafka), settings, options.event_id, since_ms))
    if options.json:
        print(json.dumps([asdict(step) for step in steps]))
    else:
        show(steps)
    return FOUND if any(step.is_known for step in steps) else ABSENT


def trace(log: Log, settings: Settings, event_id: str, since_ms: int) -> Iterator[Step]:
    """One step after the other, in the order of the event's path.

    Raises:
        DependencyError: Kafka does not answer.
    """
    said = list(said_in(log, event_id, since_ms))
    for each in said:
        visitor, kind, item = (each.event.get(name) for name in ("visitor_id", "kind", "item_id"))
        told = f"{each.place}, visitor {visitor}, {kind} of item {item}"
        yield _seen("interactions", told, each.received_at_ms)
    if not said:
        yield _missing("interactions", "not on the topic; was it longer ago than --hours, or let go by retention?")
    for each in said[:1]:  # what comes again is counted once
        yield from _streamed(log, each)
        yield _served(settings, each)
        if each.event.get("slate_id"):
            yield _shown(log, each.event["slate_id"], each.received_at_ms - HOUR_MS)
    yield archived(settings.lake_dir, event_id)
    yield from mentioned(settings.logs_dir, event_id)


def _seen(stage: str, told: str, at_ms: int | None = None) -> Step:
    return Step(stage, True, told, at_ms)  # noqa: FBT003


def _missing(stage: str, told: str) -> Step:
    return Step(stage, False, told)  # noqa: FBT003


def said_in(log: Log, event_id: str, since_ms: int) -> Iterator[Said]:
    """Every record of the topic with this id: more than one when it was delivered again."""
    needle = json.dumps(event_id)[1:-1].encode()
    for record in log.records(INTERACTIONS, since_ms, lambda record: needle in (record.value or b"")):
        try:
            event = json.loads(record.value)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event_id") == event_id:
            yield Said(record.partition, record.offset, record.timestamp, event)


def _streamed(log: Log, said: Said) -> Iterator[Step]:
    letter = next(log.records(DEAD_LETTERS, said.received_at_ms, _keyed(said.place)), None)
    if letter is not None:
        content = json.loads(letter.value)
        told = f"{content['reason']}: {content['detail']}; `python -m speed dead-letters show {said.place}`"
        yield _seen(DEAD_LETTERS.name, told, letter.timestamp)
        return
    for topic, key in ((VISITOR_STATES, "visitor_id"), (ITEM_STATES, "item_id")):
        rows = log.records(topic, said.received_at_ms, _keyed(str(said.event.get(key))))
        row = next((row for row in rows if row.value and includes(row.value, said)), None)
        if row is None:
            yield _missing(topic.name, f"no row of {said.event.get(key)} includes it")
        else:
            told = (
                f"in a row {row.timestamp - said.received_at_ms} ms after Kafka had it, the first that is still there"
            )
            yield _seen(topic.name, told, row.timestamp)


def includes(row: bytes, said: Said) -> bool:
    """Whether a changelog row includes the event, by its offsets."""
    return open_row(row).offsets.get(said.partition, -1) >= said.offset


def _served(settings: Settings, said: Said) -> Step:
    """The visitor as the server reads the store, which is what slates are made of."""
    visitor = urllib.parse.quote(str(said.event.get("visitor_id")), safe="")
    url = f"http://{settings.serving.host}:{settings.serving.port}/v1/visitors/{visitor}"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_S) as answer:
            as_of_ms = int(json.load(answer)["features_as_of_ms"])
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        return _missing("online store", f"the server was not asked: {error}")
    if as_of_ms < said.received_at_ms:
        return _missing("online store", f"what is stored ends {said.received_at_ms - as_of_ms} ms before it")
    return _seen("online store", "the visitor's features are as of this or a later event", as_of_ms)


def _shown(log: Log, slate_id: str, since_ms: int) -> Step:
    for record in log.records(IMPRESSIONS, since_ms, lambda record: slate_id.encode() in (record.value or b"")):
        return _seen(IMPRESSIONS.name, f"slate {slate_id}, in which its visitor found the item", record.timestamp)
    return _missing(IMPRESSIONS.name, f"slate {slate_id}, which the event names, is not on the topic")


def archived(folder: Path, event_id: str) -> Step:
    """The event's row in the lake."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(str(folder))
    except TableNotFoundError:
        return _missing("lake", "there is no lake yet")
    columns = ["partition", "offset", "received_at_ms"]
    rows = table.to_pyarrow_table(columns=columns, filters=[("event_id", "=", event_id)]).to_pylist()
    if not rows:
        return _missing("lake", f"not in version {table.version()}; the archiver's lag: `python -m batch lake status`")
    places = ", ".join(f"{row['partition']}:{row['offset']}" for row in rows)
    return _seen("lake", f"{places} in version {table.version()}", rows[0]["received_at_ms"])


def mentioned(folder: Path, event_id: str) -> Iterator[Step]:
    """Lines of the processes' own logs that name the event: they do so only where something went wrong."""
    for path in sorted(folder.glob("*.log")):
        with path.open(errors="replace") as lines:
            naming = (line.strip() for line in lines if event_id in line)
            for line in itertools.islice(naming, LOG_LINES_MAX):
                yield _seen(f"log of {path.stem}", line)


class KafkaLog:
    """The topics of a broker."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        if not PortAnswers(kafka.host, kafka.port).holds(0):
            raise DependencyError(f"kafka {kafka.bootstrap}", "nothing answers there", "start it: `python -m infra up`")

    def records(self, topic: Topic, since_ms: int, wanted: Callable[[Any], bool]) -> Iterator[Any]:
        """As `Log` has it; raises DependencyError when the broker stops answering."""
        address = f"kafka {self._kafka.bootstrap}"
        name = topic.named(self._kafka.topic_prefix).name
        try:
            with closing(KafkaConsumer(bootstrap_servers=self._kafka.bootstrap, enable_auto_commit=False)) as consumer:
                yield from filter(wanted, _since(consumer, name, since_ms, address))
        except KafkaError as error:
            raise DependencyError(address, str(error), "look at `python -m infra logs kafka`") from error


def _since(consumer: Any, topic: str, since_ms: int, address: str) -> Iterator[Any]:
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    ends = consumer.end_offsets(partitions)
    begins = {
        at: found for at, found in consumer.offsets_for_times(dict.fromkeys(partitions, since_ms)).items() if found
    }
    consumer.assign(list(begins))
    for at, found in begins.items():
        consumer.seek(at, found.offset)
    silence = 0
    while any(consumer.position(at) < ends[at] for at in begins):
        polled = consumer.poll(timeout_ms=POLL_MS)
        silence = 0 if polled else silence + 1
        if silence > SILENCE_MAX:
            raise DependencyError(address, f"{topic} stopped answering", "is the broker up?")
        for records in polled.values():
            yield from records


def _keyed(key: str) -> Callable[[Any], bool]:
    encoded = key.encode()
    return lambda record: record.key == encoded


def show(steps: list[Step]) -> None:
    """One line a step, with the instant and how long after the first it was."""
    start_ms = next((step.at_ms for step in steps if step.at_ms is not None), 0)
    for step in steps:
        mark = "+" if step.is_known else "-"
        after = "" if step.at_ms is None else f"{step.at_ms - start_ms:+,} ms"
        print(f"{mark} {step.stage:<16} {after:>14}  {step.told}")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m infra trace", description=__doc__)
    root.add_argument("event_id", metavar="EVENT_ID")
    root.add_argument("--hours", type=float, default=24.0, metavar="H", help="how far back to look in Kafka (24)")
    root.add_argument("--json", action="store_true", help="for programs")
    return root
