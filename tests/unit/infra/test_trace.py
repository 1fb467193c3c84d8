"""One event followed through logs in memory; tests/integration/test_trace.py does so on a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from domain.rows import encode_row, open_row
from infra.settings import Settings
from infra.trace import Step, show, trace
from schemas.events import encode
from schemas.topics import INTERACTIONS, VISITOR_STATES, Topic
from tests.builders import interaction


@dataclass(frozen=True)
class Record:
    key: bytes
    value: bytes | None
    offset: int
    timestamp: int
    partition: int = 2


class LogInMemory:
    def __init__(self, topics: dict[Topic, list[Record]]) -> None:
        self._topics = topics

    def records(self, topic: Topic, since_ms: int, wanted: Callable[[Record], bool]) -> Iterator[Record]:
        return (each for each in self._topics.get(topic, ()) if each.timestamp >= since_ms and wanted(each))


def row_through(offset: int) -> bytes:
    row = open_row(None)
    row.offsets = {2: offset}
    return encode_row(row)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    nothing_listens_there = {"host": "127.0.0.1", "port": 1}
    return Settings(state_dir=tmp_path).model_copy(
        update={"serving": Settings().serving.model_copy(update=nothing_listens_there)}
    )


def followed(settings: Settings, event_id: str = "e1") -> list[Step]:
    said = [Record(b"ada", encode(interaction("e1")), 7, 1_000), Record(b"ada", encode(interaction("e11")), 8, 2_000)]
    rows = [
        Record(b"ada", row_through(6), 0, 1_001),
        Record(b"ada", None, 1, 1_002),
        Record(b"ada", row_through(8), 2, 2_001),
    ]
    log = LogInMemory({INTERACTIONS: said, VISITOR_STATES: rows})
    return list(trace(log, settings, event_id, since_ms=0))


def test_an_event_is_in_the_first_row_whose_offsets_include_it(settings: Settings) -> None:
    steps = {step.stage: step for step in followed(settings)}
    assert steps["interactions"].told == "2:7, visitor ada, view of item book"
    assert steps["visitor-states"].at_ms == 2_001
    assert not steps["item-states"].is_known


def test_another_id_that_begins_alike_is_another_event(settings: Settings) -> None:
    assert len([step for step in followed(settings) if step.stage == "interactions"]) == 1


def test_the_lake_and_the_logs_are_asked_even_when_kafka_has_let_the_event_go(settings: Settings) -> None:
    row = {"partition": [0], "offset": [3], "received_at_ms": [900], "event_id": ["e0"]}
    write_deltalake(str(settings.lake_dir), pa.table(row))
    settings.logs_dir.mkdir(parents=True)
    (settings.logs_dir / "serving.log").write_text('{"event_id": "e0"}\n{"event_id": "x"}\n')
    known = {step.stage: step.told for step in followed(settings, "e0") if step.is_known}
    assert known == {"lake": "0:3 in version 0", "log of serving": '{"event_id": "e0"}'}


def test_what_a_person_sees_says_how_long_after_the_first_step(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    show(followed(settings))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "visitor-states" in line]
    assert line.split()[:4] == ["+", "visitor-states", "+1,001", "ms"]
