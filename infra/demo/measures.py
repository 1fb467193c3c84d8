"""What the demo counts while it runs."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

K: Final = 20
RECENT_MAX: Final = 20_000


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


@dataclass(slots=True)
class HitRate:
    """Prequential hit rate and reciprocal rank at 20: every event is predicted first and sent afterwards."""

    queries: int = 0
    hits: int = 0
    reciprocal: float = 0.0

    def observe(self, slate: list[str], target: str) -> None:
        """Count one query; a target that is not among the first 20 is a miss."""
        self.queries += 1
        if target in slate[:K]:
            self.hits += 1
            self.reciprocal += 1 / (slate.index(target) + 1)

    @property
    def hr(self) -> float:
        """HR@20."""
        return round(self.hits / self.queries, 4) if self.queries else 0.0

    @property
    def mrr(self) -> float:
        """MRR@20."""
        return round(self.reciprocal / self.queries, 4) if self.queries else 0.0


@dataclass(slots=True)
class Measures:
    """All counters of one run. Latencies are milliseconds from sending a click to the slate that knows it."""

    events: int = 0
    rejected: int = 0
    failures: int = 0
    degraded: dict[str, int] = field(default_factory=dict)
    ours: HitRate = field(default_factory=HitRate)
    popularity: HitRate = field(default_factory=HitRate)
    batch_only: HitRate = field(default_factory=HitRate)
    first_click_ms: float | None = None
    click_to_slate_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_MAX))
    started_at: float = field(default_factory=time.monotonic)

    def latency(self) -> dict[str, float | int | None]:
        """`{"p50": …, "p99": …, "n": …}`."""
        values = list(self.click_to_slate_ms)
        return {"p50": percentile(values, 0.50), "p99": percentile(values, 0.99), "n": len(values)}

    def line(self) -> str:
        """One line for a person."""
        seconds = max(time.monotonic() - self.started_at, 1e-9)
        latency = self.latency()
        degraded = "".join(f"  {name}×{count}" for name, count in sorted(self.degraded.items()))
        return (
            f"{self.events:>6} events  {self.events / seconds:6.1f}/s   "
            f"click→slate p50 {latency['p50']} ms  p99 {latency['p99']} ms   "
            f"HR@20 {self.ours.hr:.3f}  MRR@20 {self.ours.mrr:.3f}   "
            f"(popularity {self.popularity.hr:.3f}, batch only {self.batch_only.hr:.3f}){degraded}"
        )
