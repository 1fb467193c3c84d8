"""Steps of a benchmark with the time of each, the most memory that the whole process tree held, and what Spark moved.

Shuffle and spill come from Spark's own status store (what its REST interface shows), summed over all stages, before and
after a step; so they need neither its web server nor an event log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
from pyspark.sql import SparkSession

SAMPLE_S: Final = 0.2
MOVED: Final = {
    "shuffle_mb": "shuffleWriteBytes",
    "spilled_mb": "diskBytesSpilled",
}


@dataclass
class Watch:
    """Samples this process and its children in a thread, as long as the block runs."""

    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    peak_bytes: int = 0
    _step_peak: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def step(self, name: str, spark: SparkSession | None = None) -> Iterator[dict[str, float]]:
        """Measure the block; what it puts into the yielded figures is kept with the rest."""
        before = moved(spark) if spark else {}
        self._step_peak = tree_bytes()
        started, cpu_started = time.perf_counter(), tree_cpu_s()
        figures: dict[str, float] = {}
        yield figures
        figures["s"] = round(time.perf_counter() - started, 2)
        figures["cpu_s"] = round(tree_cpu_s() - cpu_started, 1)
        figures["peak_gb"] = round(max(self._step_peak, tree_bytes()) / 1e9, 2)
        if spark:
            figures |= {each: round((total - before[each]) / 1e6, 1) for each, total in moved(spark).items()}
        self.steps[name] = figures

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            held = tree_bytes()
            self.peak_bytes = max(self.peak_bytes, held)
            self._step_peak = max(self._step_peak, held)


def moved(spark: SparkSession) -> dict[str, int]:
    """Bytes that all stages so far wrote into shuffles, and spilled to disk."""
    context: Any = spark.sparkContext
    context._jsc.sc().listenerBus().waitUntilEmpty()
    jvm, gateway = context._jvm, context._gateway
    no_quantiles, no_statuses = gateway.new_array(jvm.double, 0), jvm.java.util.ArrayList()
    stages = context._jsc.sc().statusStore().stageList(None, False, False, no_quantiles, no_statuses)  # noqa: FBT003
    found = [stages.apply(number) for number in range(stages.size())]
    return {name: sum(getattr(stage, getter)() for stage in found) for name, getter in MOVED.items()}


def tree_bytes() -> int:
    """Resident bytes of this process and all that it started; pages that several share count more than once."""
    total = 0
    for process in _tree():
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def tree_cpu_s() -> float:
    """User and system time of this process and all that it started; one that has ended is in its parent's."""
    total = 0.0
    for process in _tree():
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _tree() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]
