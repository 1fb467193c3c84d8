"""A keyed operator as Flink calls it, with Flink's counters under it."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterator
from typing import Any

from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.metrics import Counter, MetricGroup

from schemas.errors import Reason
from speed.job.operators import CLEARED, KeyedOperator
from speed.job.steps import COUNTED


def counters(metrics: MetricGroup) -> dict[str, Counter]:
    """Flink counters of all that an operator counts, e.g. numLateEvents; the rejected ones are grouped by reason."""
    found = {name: metrics.counter(f"num{name.capitalize()}Events") for name in COUNTED if name not in set(Reason)}
    for reason in Reason:
        found[reason] = metrics.add_group("reason", str(reason)).counter("numRejectedEvents")
    return found | {CLEARED: metrics.counter("numClearedStates")}


class BatchFunction(KeyedProcessFunction):
    """Runs an operator on whole batches, which `firth.BatchingOperator` makes of what PyFlink would send one by one."""

    def __init__(self, operator: KeyedOperator) -> None:
        self._operator = operator
        self._counters: dict[str, Counter] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind the counters; called once per attempt."""
        self._counters = counters(runtime_context.get_metrics_group())

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes]:
        """One batch in, one answer out; a generator, or thread mode does not pass it on. `ctx` is of no key."""
        counts: Counts[str] = Counts()
        answer = self._operator.run(value, counts, now_ms())
        for name, times in counts.items():
            self._counters[name].inc(times)
        yield answer


def now_ms() -> int:
    """The wall clock, which is also the clock of Flink's timers."""
    return time.time_ns() // 1_000_000
