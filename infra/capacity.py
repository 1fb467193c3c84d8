"""`python -m infra capacity --visitors N --events N`: what so much traffic takes; see docs/capacity.md.

A model, not a promise: straight lines through what was measured on one machine of two cores (docs/performance.md).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400
PER_VISITOR: Final = 10
"""Events and slates of a visitor a day, unless told."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, a unit each; docs/capacity.md names the commit and table of each of them."""

    job_us_per_event: float = 293.0
    """Flink's whole process tree, live, with a fresh row for every event."""
    broker_us_per_event: float = 300.0
    writer_us_per_row: float = 140.0
    rows_per_event: float = 1.0
    archiver_us_per_event: float = 42.0
    redis_us_per_row: float = 170.0
    request_ms: float = 6.5
    redis_us_per_request: float = 56.0
    batch_us_per_event: float = 93.0
    """Admission, features and sessions of one event of the log, in CPU; every day all of it is computed again."""
    batch_bytes_per_event: float = 180.0
    """Of memory, for the sessions and the models."""
    publish_us_per_row: float = 350.0
    redis_bytes_per_visitor: float = 1_700.0
    state_bytes_per_visitor: float = 434.0
    event_bytes: float = 400.0
    """Of an interaction's JSON in Kafka with its envelope, uncompressed: an assumption, not a measurement."""
    lake_bytes_per_event: float = 100.0
    """In the lake's Parquet: an assumption, not a measurement."""
    history_bytes_per_visitor: float = 1_000.0
    """In Cassandra: an assumption, not a measurement."""
    index_bytes_per_item: float = 4_900.0
    """Of a server's memory: 490 MB a worker with 100,000 items and a million sessions."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in. The busiest second has `peak` times the mean.

    The lake's log is computed from for `log_days`; Kafka keeps events for `event_days`, and Redis a visitor's row for
    `row_days` behind the last act, as the settings have it. Visitors are counted as if each day had others: the most
    that there can be.
    """

    visitors_a_day: int
    events_a_day: int
    requests_a_day: int
    items: int = 100_000
    peak: float = 3.0
    log_days: int = 28
    event_days: int = 11
    row_days: int = 11
    batch_hours: float = 4.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What one is, and how far it is filled: queues grow without bound near 1."""

    cores: int = 16
    memory_gb: int = 64
    disk_gb: int = 2_000
    filled: float = 0.6


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the platform takes at the peak, and what there must be of it."""

    name: str
    cores: float
    memory_gb: float
    disk_gb: float
    machines: int
    bound_by: str


@dataclass(frozen=True, slots=True)
class Need:
    """What one copy of a part takes at the peak."""

    name: str
    cores: float
    memory_gb: float
    disk_gb: float
    copies: int


COPIES: Final = 3
"""Of Kafka's partitions and Cassandra's rows; Redis has one beside the first."""

GB: Final = 1e9
US: Final = 1e-6


def capacity_of(traffic: Traffic, machine: Machine, figures: Figures) -> list[Part]:
    """The parts, in the order of a click's path."""
    visitors, log = traffic.visitors_a_day * traffic.row_days, traffic.events_a_day * traffic.log_days
    historic = traffic.visitors_a_day * traffic.log_days
    batch_s = traffic.batch_hours * 3_600
    events = traffic.events_a_day / DAY_S * traffic.peak
    rows = events * figures.rows_per_event
    requests = traffic.requests_a_day / DAY_S * traffic.peak
    answering = requests * figures.request_ms / 1_000
    workers = math.ceil(answering / machine.filled)
    redis_us = rows * figures.redis_us_per_row + requests * figures.redis_us_per_request
    redis_gb = visitors * figures.redis_bytes_per_visitor / GB
    needs = (  # cores, memory and disk of one copy, and how many copies there are
        Need("serving", answering, workers * traffic.items * figures.index_bytes_per_item / GB, 0, 1),
        Need(
            "kafka",
            events * figures.broker_us_per_event * US,
            1,
            traffic.events_a_day * traffic.event_days * figures.event_bytes / GB,
            COPIES,
        ),
        # Twice, as a checkpoint copies what has changed meanwhile.
        Need(
            "flink", events * figures.job_us_per_event * US, 2 * visitors * figures.state_bytes_per_visitor / GB, 0, 1
        ),
        Need("writer", rows * figures.writer_us_per_row * US, 0.15, 0, 1),
        Need("redis", redis_us * US, redis_gb, redis_gb, 2),
        Need("archiver", events * figures.archiver_us_per_event * US, 0.3, log * figures.lake_bytes_per_event / GB, 1),
        Need(
            "cassandra",
            historic * figures.publish_us_per_row * US / batch_s,
            4,
            historic * figures.history_bytes_per_visitor / GB,
            COPIES,
        ),
        Need("batch", log * figures.batch_us_per_event * US / batch_s, log * figures.batch_bytes_per_event / GB, 0, 1),
    )
    return [_part(machine, need) for need in needs]


def _part(machine: Machine, need: Need) -> Part:
    """All copies together; each copy's CPU is counted, because each does the work."""
    cores, memory_gb, disk_gb = (need.copies * each for each in (need.cores, need.memory_gb, need.disk_gb))
    taken = {
        "cores": cores / (machine.cores * machine.filled),
        "memory": memory_gb / (machine.memory_gb * machine.filled),
        "disk": disk_gb / (machine.disk_gb * machine.filled),
    }
    bound_by = max(taken, key=lambda name: taken[name])
    machines = max(math.ceil(taken[bound_by]), 1)
    if machines < need.copies:
        return Part(need.name, cores, memory_gb, disk_gb, need.copies, "copies")
    return Part(need.name, cores, memory_gb, disk_gb, machines, bound_by)


def main(arguments: list[str]) -> int:
    """Print the table, or JSON; 0."""
    options = parser().parse_args(arguments)
    events = options.events if options.events is not None else options.visitors * PER_VISITOR
    requests = options.requests if options.requests is not None else options.visitors * PER_VISITOR
    traffic = Traffic(options.visitors, events, requests, options.items, options.peak)
    machine = Machine(options.cores, options.memory_gb, options.disk_gb)
    parts = capacity_of(traffic, machine, Figures())
    if options.json:
        print(json.dumps([dataclasses.asdict(part) for part in parts]))
        return 0
    show(traffic, parts)
    return 0


def show(traffic: Traffic, parts: list[Part]) -> None:
    """The table for a person."""
    events, requests = (count / DAY_S * traffic.peak for count in (traffic.events_a_day, traffic.requests_a_day))
    print(
        f"at the peak {events:,.1f} events/s and {requests:,.1f} slates/s, {traffic.peak:g} times the mean of the day"
    )
    print(f"{'part':<10} {'cores':>10} {'memory':>12} {'disk':>12} {'machines':>9}  bound by")
    for part in parts:
        size = f"{part.memory_gb:>9,.1f} GB {part.disk_gb:>9,.1f} GB"
        print(f"{part.name:<10} {part.cores:>10,.2f} {size} {part.machines:>9,}  {part.bound_by}")
    cores, memory = sum(part.cores for part in parts), sum(part.memory_gb for part in parts)
    print(f"{'all':<10} {cores:>10,.2f} {memory:>9,.1f} GB {sum(part.disk_gb for part in parts):>9,.1f} GB")
    print("machines: each part on its own, with copies; small parts share one, as on a laptop", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m infra capacity", description=__doc__)
    root.add_argument("--visitors", type=int, required=True, metavar="N", help="different visitors a day")
    root.add_argument("--events", type=int, metavar="N", help="interactions a day (10 a visitor)")
    root.add_argument("--requests", type=int, metavar="N", help="slates a day (10 a visitor)")
    root.add_argument("--items", type=int, default=100_000, metavar="N", help="in the catalogue (100000)")
    root.add_argument("--peak", type=float, default=3.0, metavar="X", help="busiest second by the mean (3)")
    root.add_argument("--cores", type=int, default=16, metavar="N", help="of a machine (16)")
    root.add_argument("--memory-gb", type=int, default=64, metavar="N", help="of a machine (64)")
    root.add_argument("--disk-gb", type=int, default=2_000, metavar="N", help="of a machine (2000)")
    root.add_argument("--json", action="store_true", help="for programs")
    return root
