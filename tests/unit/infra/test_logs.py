"""Logs are JSON lines, and the end of a log file is found quickly."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import logs
from infra.processes.tail import last_lines, show
from schemas.errors import ConfigurationError


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged in a test; the configuration before it is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("writer", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def only_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_an_event_carries_its_facts(stream: io.StringIO) -> None:
    logging.getLogger("speed.writer").info("rows.written", extra={"rows": 12, "took_ms": 3})
    line = only_line(stream)
    assert line.pop("at_ms") > 1_700_000_000_000
    assert line == {
        "level": "info",
        "service": "writer",
        "event": "rows.written",
        "logger": "speed.writer",
        "rows": 12,
        "took_ms": 3,
    }


def test_a_sentence_of_a_library_is_a_message_and_no_event(stream: io.StringIO) -> None:
    logging.getLogger("kafka.conn").warning("Node %d is away", 1)
    assert only_line(stream)["event"] == "library.spoke"
    assert only_line(stream)["message"] == "Node 1 is away"


def test_chatty_libraries_are_heard_from_warning_on(stream: io.StringIO) -> None:
    logging.getLogger("kafka.conn").info("connecting")
    assert stream.getvalue() == ""


def test_an_error_brings_its_traceback_in_the_same_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("no such view")
    except ValueError:
        logging.getLogger("speed.writer").exception("batch.failed")
    assert "ValueError: no such view" in only_line(stream)["error"]


@pytest.mark.parametrize("count", [0, 1, 3, 5, 9])
def test_the_last_lines_are_found_from_the_end(tmp_path: Path, count: int) -> None:
    log = tmp_path / "kafka.log"
    lines = [f"{number} " + "x" * 30_000 for number in range(5)]
    log.write_text("".join(f"{line}\n" for line in lines))
    assert last_lines(log, count) == (lines[-count:] if count else [])


def test_a_line_that_is_still_being_written_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("first\nsecond\nthi")
    assert last_lines(log, 2) == ["second", "thi"]


def test_a_log_that_is_not_there_yet_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such log yet"):
        show(tmp_path / "kafka.log", lines=1, follow=False)
