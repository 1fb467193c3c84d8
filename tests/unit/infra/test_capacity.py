"""What the calculator says follows from its figures, and grows with what comes in."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from infra.capacity import Figures, Machine, Part, Traffic, capacity_of, main
from infra.settings import PROJECT_ROOT


def parts(visitors: int = 10_000_000, events: int = 100_000_000, machine: Machine | None = None) -> dict[str, Part]:
    traffic = Traffic(visitors, events, events)
    return {part.name: part for part in capacity_of(traffic, machine or Machine(), Figures())}


def test_cores_are_rate_times_cost() -> None:
    events_a_second_at_the_peak = 100_000_000 / 86_400 * 3
    assert parts()["flink"].cores == pytest.approx(events_a_second_at_the_peak * Figures().job_us_per_event / 1e6)


def test_copies_do_their_work_again() -> None:
    one_copy = 100_000_000 * 11 * Figures().event_bytes / 1e9
    assert parts()["kafka"].disk_gb == pytest.approx(3 * one_copy)


def test_ten_times_the_events_never_take_fewer_machines() -> None:
    small, large = parts(), parts(events=1_000_000_000)
    assert all(large[name].machines >= small[name].machines for name in small)
    assert large["batch"].cores == pytest.approx(10 * small["batch"].cores)


def test_a_small_shop_has_the_machines_of_its_copies() -> None:
    small = parts(visitors=1_000, events=10_000)
    assert {name: part.machines for name, part in small.items() if part.bound_by == "copies"} == {
        "kafka": 3,
        "redis": 2,
        "cassandra": 3,
    }


def test_a_larger_machine_moves_the_bottleneck() -> None:
    assert parts()["redis"].bound_by == "memory"
    assert parts(machine=Machine(cores=2, memory_gb=4_096))["redis"].bound_by == "cores"


def test_the_command_takes_ten_events_and_slates_a_visitor_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--visitors", "1000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["--visitors", "1000", "--events", "10000", "--requests", "10000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told


def test_each_figure_has_its_source_in_the_document() -> None:
    document = (PROJECT_ROOT / "docs" / "capacity.md").read_text()
    for field in dataclasses.fields(Figures):
        row = re.search(rf"^\| `{field.name}` \| ([\d.,]+) ", document, re.MULTILINE)
        assert row, field.name
        assert float(row.group(1).replace(",", "")) == getattr(Figures(), field.name)
