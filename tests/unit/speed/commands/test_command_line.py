"""What is typed, and what Flink's names become."""

from __future__ import annotations

import argparse

import pytest

from speed.__main__ import COMMANDS, parser
from speed.commands.dead_letters import instant_ms
from speed.commands.status import is_counter, short_name
from speed.commands.target import Target, parse_target
from speed.commands.telling import clock


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args([command, "--help"])
    assert capsys.readouterr().out.startswith("usage: python -m speed")


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1750000000000", 1_750_000_000_000),
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01T00:00:01.250Z", 1_250),
        ("1970-01-01T01:00:00+01:00", 0),
    ],
)
def test_an_instant_is_iso_8601_or_milliseconds(text: str, at_ms: int) -> None:
    assert instant_ms(text) == at_ms


def test_an_instant_that_is_told_can_be_typed() -> None:
    assert instant_ms(clock(1_750_000_000_123)) == 1_750_000_000_123


@pytest.mark.parametrize("text", ["yesterday", "", "-5", "12:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither"):
        instant_ms(text)


def test_a_target_is_a_host_a_port_and_perhaps_a_database() -> None:
    assert parse_target("127.0.0.1:6379") == Target("127.0.0.1", 6379, 0)
    assert str(parse_target("redis.local:1/15")) == "redis.local:1/15"


@pytest.mark.parametrize("text", ["localhost", "localhost:", ":6379", "a:b", "a:1/x", "redis://a:1"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="HOST:PORT"):
        parse_target(text)


@pytest.mark.parametrize("place", ["1", "1:", ":2", "a:2", "1:-2", "1:2:3"])
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["dead-letters", "show", place])


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("visitor.numLateEvents", "late"),
        ("visitor.numDuplicateEvents", "duplicate"),
        ("visitor.reason.flood.numRejectedEvents", "flood"),
        ("item.numClearedStates", "cleared"),
    ],
)
def test_a_counter_of_ours_is_known_by_its_short_name(metric: str, name: str) -> None:
    assert is_counter(metric)
    assert short_name(metric) == name


@pytest.mark.parametrize(
    "metric", ["numRecordsIn", "visitor.numRecordsOutPerSecond", "busyTimeMsPerSecond", "numBytesOut"]
)
def test_flinks_own_counters_are_left_alone(metric: str) -> None:
    assert not is_counter(metric)
