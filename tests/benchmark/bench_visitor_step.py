"""What a visitor's event costs in Python alone, part by part, on the load of `bench_speed`: no Flink, no Kafka.

    python -m tests.benchmark.bench_visitor_step [--visitors 2000] [--events 80000]

Told, in µs of CPU an event and by quarters of the events (states grow): reading the record, screening it, loading the
state, observing the event, making the item's hop, dumping the state; and the sum when each visitor's state stays
decoded from event to event, which is the least that any cache of open states can reach. A timer around each part adds
some 0.1 µs to it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, Final

from domain.admission import screen
from domain.facts import Stamp
from domain.hops import to_hop
from domain.policies import Policies
from domain.states import Admitted, VisitorState
from speed.job.records import ITEM_HOP, SourceRecord, encode_hop, pack_record, pack_source, read_source
from tests.benchmark.machine import commit, keep, machine
from tests.benchmark.shop import Shop, visitor_id

QUARTERS: Final = 4
PARTS: Final = ("read", "screen", "load", "observe", "hop", "dump")
POLICIES: Final = Policies()

Records = list[tuple[str, bytes]]


def main() -> int:
    """Read the arguments, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=80_000)
    options = parser.parse_args()
    records = records_of(options.visitors, options.events)
    quarter = len(records) // QUARTERS
    cuts = [records[start : start + quarter] for start in range(0, quarter * QUARTERS, quarter)]
    blobs: dict[str, bytes] = {}
    open_states: dict[str, VisitorState] = {}
    found: dict[str, Any] = {"machine": machine(), "commit": commit(), "visitors": options.visitors}
    found["runs"] = [step_by_step(cut, blobs) | {"kept_open": kept_open(cut, open_states)} for cut in cuts]
    found["state_bytes"] = sum(map(len, blobs.values())) // len(blobs)
    for run in found["runs"]:
        print(json.dumps(run), flush=True)
    keep("visitor_step.json", found)
    return 0


def records_of(visitors: int, events: int) -> Records:
    """The visitor and the packed Kafka record of each event, one partition."""
    now_ms = time.time_ns() // 1_000_000
    made: Records = []
    for offset, sent in enumerate(Shop(visitors).backlog(events, now_ms)):
        visitor = visitor_id(sent.visitor)
        made.append((visitor, pack_source(SourceRecord(Stamp(now_ms, 0, offset), visitor.encode(), sent.raw))))
    return made


def step_by_step(records: Records, blobs: dict[str, bytes]) -> dict[str, float]:
    """µs an event of each part, and their sum; the states are bytes between events."""
    spent = dict.fromkeys(PARTS, 0.0)
    clock = time.process_time
    for visitor, raw in records:
        marks = [clock()]
        record = read_source(raw)
        marks.append(clock())
        event = screen(record.key_text, record.value or b"", record.stamp, POLICIES.admission)
        marks.append(clock())
        state = VisitorState.load(blobs.get(visitor), POLICIES)
        marks.append(clock())
        outcome = state.observe(event, record.stamp)
        marks.append(clock())
        if isinstance(outcome, Admitted):
            pack_record(ITEM_HOP, event.item_id.encode(), encode_hop(to_hop(outcome.fact, record.stamp)))
        marks.append(clock())
        blobs[visitor] = state.dump()
        marks.append(clock())
        for part, began, ended in zip(PARTS, marks[:-1], marks[1:], strict=True):
            spent[part] += ended - began
    each = {part: round(seconds / len(records) * 1e6, 1) for part, seconds in spent.items()}
    return each | {"sum": round(sum(each.values()), 1)}


def kept_open(records: Records, states: dict[str, VisitorState]) -> float:
    """µs an event in all, without loading and dumping."""
    started = time.process_time()
    for visitor, raw in records:
        record = read_source(raw)
        event = screen(record.key_text, record.value or b"", record.stamp, POLICIES.admission)
        state = states.get(visitor)
        if state is None:
            state = states[visitor] = VisitorState.load(None, POLICIES)
        outcome = state.observe(event, record.stamp)
        if isinstance(outcome, Admitted):
            pack_record(ITEM_HOP, event.item_id.encode(), encode_hop(to_hop(outcome.fact, record.stamp)))
    return round((time.process_time() - started) / len(records) * 1e6, 1)


if __name__ == "__main__":
    sys.exit(main())
