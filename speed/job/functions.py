"""A keyed operator as Flink runs it, with Flink's state, timers and counters under it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any, cast

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor
from pyflink.metrics import Counter, MetricGroup

from schemas.errors import Reason
from speed.job.operators import CLEARED, KeyedOperator
from speed.job.steps import COUNTED, KeyedBytes


def keyed_bytes(context: RuntimeContext, name: str) -> KeyedBytes:
    """The state of the current key as plain bytes.

    PyFlink has no type for plain bytes in state: PICKLED_BYTE_ARRAY is `byte[]` in the JVM and pickles in Python. The
    state under its wrapper takes the bytes as they are, without pickling each; its name is private to PyFlink, and a
    test holds it in place.
    """
    state = context.get_state(ValueStateDescriptor(name, Types.PICKLED_BYTE_ARRAY()))
    return cast(KeyedBytes, state._state)


def counters(metrics: MetricGroup) -> dict[str, Counter]:
    """Flink counters of all that an operator counts, e.g. numLateEvents; the rejected ones are grouped by reason."""
    found = {name: metrics.counter(f"num{name.capitalize()}Events") for name in COUNTED if name not in set(Reason)}
    for reason in Reason:
        found[reason] = metrics.add_group("reason", str(reason)).counter("numRejectedEvents")
    return found | {CLEARED: metrics.counter("numClearedStates")}


class KeyedFunction(KeyedProcessFunction):
    """Runs an operator per element and timer. The results must be generators, or thread mode does not pass them on."""

    def __init__(self, operator: KeyedOperator, state_name: str) -> None:
        self._operator = operator
        self._state_name = state_name
        self._state: KeyedBytes | None = None
        self._counters: dict[str, Counter] = {}

    def open(self, runtime_context: RuntimeContext) -> None:
        """Bind state and counters; called once per attempt."""
        self._state = keyed_bytes(runtime_context, self._state_name)
        self._counters = counters(runtime_context.get_metrics_group())

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes]:
        """One packed record in, at most one frame out."""
        assert self._state is not None
        frame = self._operator.take(value, self._state, ctx.timer_service(), self._count, now_ms())
        if frame:
            yield frame

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[bytes]:
        """The time of one key has come; at most one frame out."""
        assert self._state is not None
        key = base64.b64decode(ctx.get_current_key())
        frame = self._operator.wake(key, timestamp, self._state, ctx.timer_service(), self._count, now_ms())
        if frame:
            yield frame

    def _count(self, name: str) -> None:
        self._counters[name].inc()


def now_ms() -> int:
    """The wall clock, which is also the clock of Flink's timers."""
    return time.time_ns() // 1_000_000
