"""What a process and all that it started use: CPU and memory, by process, over time."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import psutil

from infra.processes.identity import session_members
from infra.processes.launch import Child

SAMPLE_S: Final = 0.25
LOOK_EVERY: Final = 8
"""Samples between two looks for new processes, which cost more than a sample."""

TETHER: Final = "tether"


@dataclass(slots=True)
class Usage:
    """CPU seconds so far and resident bytes, by process."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    rss_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def rss_mb(self) -> int:
        """Of all processes."""
        return sum(self.rss_bytes.values()) // 1_000_000


class ProcessTree:
    """Samples the session of a child in a thread, as long as the block runs."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._members: dict[int, tuple[str, psutil.Process]] = {}
        self._at_ms: list[float] = []
        self._usages: list[Usage] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="process-tree", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *failure: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def cpu_s_between(self, from_ms: float, to_ms: float) -> dict[str, float]:
        """CPU seconds by process between two instants (epoch milliseconds), interpolated."""
        first, last = self._cpu_s_at(from_ms), self._cpu_s_at(to_ms)
        spent = {name: last[name] - first.get(name, 0.0) for name in last}
        return {name: used for name, used in spent.items() if used >= 0.01}

    def rss_mb_max(self, from_ms: float = 0, to_ms: float = float("inf")) -> int:
        """The most that all processes held together between two instants."""
        inside = [
            one.rss_mb for at_ms, one in zip(self._at_ms, self._usages, strict=False) if from_ms <= at_ms <= to_ms
        ]
        return max(inside, default=0)

    def _cpu_s_at(self, at_ms: float) -> dict[str, float]:
        after = bisect_right(self._at_ms, at_ms)
        if after == 0 or after >= len(self._at_ms):
            return self._usages[min(after, len(self._usages) - 1)].cpu_s
        before_ms, after_ms = self._at_ms[after - 1 : after + 1]
        share = (at_ms - before_ms) / (after_ms - before_ms)
        first, last = self._usages[after - 1].cpu_s, self._usages[after].cpu_s
        return {name: first.get(name, 0.0) + (last[name] - first.get(name, 0.0)) * share for name in last}

    def _watch(self) -> None:
        number = 0
        while not self._stopped.wait(SAMPLE_S if number else 0):
            if number % LOOK_EVERY == 0:
                self._look()
            number += 1
            usage = sample(self._members.values())
            self._usages.append(usage)
            self._at_ms.append(time.time() * 1_000)

    def _look(self) -> None:
        names = Counter(name for name, _ in self._members.values())
        for process in session_members(self._child.identity):
            if process.pid not in self._members:
                with suppress(psutil.NoSuchProcess):
                    name = role(process.cmdline())
                    if name == TETHER:  # becomes the driver in a moment
                        continue
                    names[name] += 1
                    self._members[process.pid] = (name if names[name] == 1 else f"{name}-{names[name]}", process)


def sample(members: Iterable[tuple[str, psutil.Process]]) -> Usage:
    """What the processes have used up to now; one that has ended is not in it."""
    usage = Usage()
    for name, process in members:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            usage.cpu_s[name] = times.user + times.system
            usage.rss_bytes[name] = process.memory_info().rss
    return usage


def role(arguments: Sequence[str]) -> str:
    """What a process is, by its command line."""
    line = " ".join(arguments)
    for part, name in (
        ("TaskManagerRunner", "taskmanager"),
        ("ClusterEntrypoint", "jobmanager"),
        ("PythonGatewayServer", "jvm"),
        ("tether.py", TETHER),
        ("-m speed.job", "driver"),
    ):
        if part in line:
            return name
    return "other"
