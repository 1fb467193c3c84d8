"""More events than the platform can take: what it loses, holds, says of its freshness, and how it catches up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from tests.benchmark.background import NO_PACE, Background, Flow
from tests.benchmark.probes import Prober
from tests.benchmark.whole_system import WholeSystem

VISITORS: Final = 100_000
CAPACITY_EVENTS: Final = 300_000
LOOK_S: Final = 0.5
CLICK_S: Final = 1.0
MEMORY_S: Final = 5.0
CAUGHT_UP_LIMIT_S: Final = 1_800.0
STALE_SPEED: Final = "stale_speed"


@dataclass
class Pace:
    """How many events the job's checkpoints have included, over time."""

    moments: list[tuple[float, int]] = field(default_factory=list)

    def note(self, taken: int) -> None:
        """Keep an instant at which the count moved."""
        if not self.moments or taken > self.moments[-1][1]:
            self.moments.append((time.monotonic(), taken))

    def events_per_s(self) -> int:
        """Between the first move and the last."""
        if len(self.moments) < 3:
            return 0
        (from_s, first), (to_s, last) = self.moments[1], self.moments[-1]
        return round((last - first) / (to_s - from_s))


@dataclass
class Reported:
    """What the answers say of their freshness, beside what is true: ages of the newest fact, in milliseconds."""

    said_ms: list[float] = field(default_factory=list)
    true_ms: list[float] = field(default_factory=list)
    answers: int = 0
    stale: int = 0
    dishonest: int = 0

    def report(self) -> dict[str, Any]:
        """Ages in seconds, and of how many answers."""
        return {
            "answers": self.answers,
            "named_stale": self.stale,
            "said_newer_than_true": self.dishonest,
            "said_age_s": _ages_s(self.said_ms),
            "true_age_s": _ages_s(self.true_ms),
        }


class Clicker:
    """One visitor who clicks every second and looks which of the clicks the slate knows."""

    def __init__(self, prober: Prober) -> None:
        self._prober = prober
        self._received: dict[str, int] = {}
        self._items = iter(range(10**9))
        self._clicked_s = 0.0
        self.reported = Reported()

    def look(self) -> None:
        """Click when it is time, ask, and judge: `features_as_of_ms` is the Kafka time of the newest click known."""
        if time.monotonic() - self._clicked_s >= CLICK_S:
            self._clicked_s = time.monotonic()
            item = f"item-{next(self._items) % 2_000:05d}"
            self._received[item] = self._prober.click("http", "overloaded", item)["received_at_ms"]
        slate, told = self._prober.api.recommend("overloaded"), self.reported
        told.answers += 1
        told.stale += STALE_SPEED in slate["degraded"]
        known = [self._received[item] for item in slate["session"]["items"] if item in self._received]
        newest_ms = max(known, default=0)
        if not newest_ms:
            return
        now_ms = time.time() * 1_000
        told.said_ms.append(now_ms - slate["features_as_of_ms"])
        told.true_ms.append(now_ms - newest_ms)
        told.dishonest += slate["features_as_of_ms"] > newest_ms


def _ages_s(ages_ms: list[float]) -> dict[str, float]:
    if not ages_ms:
        return {}
    return {"median": round(median(ages_ms) / 1_000, 1), "max": round(max(ages_ms) / 1_000, 1)}


class Overload:
    """Twice the capacity for some time, and what follows."""

    def __init__(self, system: WholeSystem, prober: Prober) -> None:
        self._system = system
        self._prober = prober
        self._clicker = Clicker(prober)
        self._memory: list[dict[str, int]] = []
        self._weighed_s = 0.0

    def run(self, capacity: float, seconds: float) -> dict[str, Any]:
        """Twice `capacity` events a second, which is measured first when it is 0."""
        system = self._system
        system.rest()
        before, clicks, burst = system.archived(), self._prober.sent, 0
        if not capacity:
            capacity, burst = self._capacity()
        with Background(system.settings, Flow(2 * capacity, VISITORS, seed=3)) as load:
            self._look_until(time.monotonic() + seconds)
        during, self._clicker.reported = self._clicker.reported, Reported()
        behind, ended_s, pace = system.behind(), time.monotonic(), Pace()
        end = system.taken_in() + behind  # of the load: the clicks go on, so the log does
        while system.taken_in() < end and time.monotonic() < ended_s + CAUGHT_UP_LIMIT_S:
            pace.note(system.taken_in())
            self._look_until(time.monotonic() + LOOK_S)
        took_s = time.monotonic() - ended_s
        system.rest()
        return {
            "capacity_events_per_s": round(capacity),
            "sent_events_per_s": round(load.rate),
            "seconds": seconds,
            "acknowledged": burst + load.sent + self._prober.sent - clicks,
            "archived": system.archived() - before,
            "behind_at_the_end": behind,
            "caught_up_s": round(took_s, 1),
            "catch_up_events_per_s": pace.events_per_s(),
            "memory_mb": self._memory_report(),
            "during": during.report(),
            "while_catching_up": self._clicker.reported.report(),
            "restarts": system.platform.restarts(),
            "parity": system.parity(),
        }

    def _capacity(self) -> tuple[float, int]:
        """Events a second that are taken in of a burst, and how many were sent."""
        system, pace = self._system, Pace()
        with Background(system.settings, Flow(NO_PACE, VISITORS, seed=4, count=CAPACITY_EVENTS)) as load:
            while load.is_running or system.behind():
                pace.note(system.taken_in())
                time.sleep(LOOK_S)
        return max(pace.events_per_s(), 1), load.sent

    def _look_until(self, until_s: float) -> None:
        while time.monotonic() < until_s:
            self._clicker.look()
            if time.monotonic() - self._weighed_s >= MEMORY_S:
                self._weighed_s = time.monotonic()
                self._memory.append(self._system.memory_mb())
            time.sleep(LOOK_S / 2)

    def _memory_report(self) -> dict[str, dict[str, int]]:
        """Of each service at first, at most and at last."""
        names = self._memory[-1].keys() if self._memory else ()
        series = {name: [one[name] for one in self._memory if name in one] for name in names}
        return {name: {"first": held[0], "max": max(held), "last": held[-1]} for name, held in series.items()}
