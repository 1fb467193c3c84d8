"""When what is killed, as a function of a seed: the instants are wishes, the order is a promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, get_args

Target = Literal[
    "archiver",
    "cassandra",
    "flink-client",
    "flink-jvm",
    "flink-wiped",
    "kafka",
    "redis",
    "redis-wiped",
    "serving",
    "writer",
]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)
"""`-wiped` ones lose what they had on disk: Redis its rows, Flink its checkpoints."""

SERVICE_OF: Final[dict[Target, str]] = {
    **{target: target for target in TARGETS},
    "flink-client": "speed",
    "flink-jvm": "speed",
    "flink-wiped": "speed",
    "redis-wiped": "redis",
}

WINDOW_MS: Final = 10 * 60_000
KILLS_MAX: Final = 4
"""Of one service within a window. The supervisor gives up at seven deaths, and a dead broker takes others with it."""

GAP_MIN_MS: Final = 10_000
GAP_MAX_MS: Final = 40_000

Moment = Literal["computing", "publishing", "half-published"]
MOMENTS: Final[tuple[Moment, ...]] = ("half-published", "computing", "publishing")
DAILY_SHARE: Final = 0.5
"""Of the daily runs, so many are killed."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9, `at_ms` after the start."""

    at_ms: int
    target: Target


def kills(seed: int, duration_ms: int) -> list[Kill]:
    """Every target once in random order, and so on in rounds; a short run is one round, spread evenly."""
    generator = Random(f"kills {seed}")
    round_ms = duration_ms / (len(TARGETS) + 1)
    gap_max_ms = min(GAP_MAX_MS, 1.2 * round_ms)
    gap_min_ms = min(GAP_MIN_MS, 0.8 * round_ms)
    planned: list[Kill] = []
    at_ms = 0.0
    while True:
        for target in generator.sample(TARGETS, len(TARGETS)):
            at_ms += generator.uniform(gap_min_ms, gap_max_ms)
            if at_ms >= duration_ms:
                return planned
            if _may_be_killed(target, at_ms, planned):
                planned.append(Kill(int(at_ms), _least_killed(target, planned)))


def moments(seed: int) -> Iterator[Moment | None]:
    """For each daily run when it is killed, None to let it be. The first one dies half-published; then as it comes."""
    generator = Random(f"dailies {seed}")
    yield MOMENTS[0]
    yield None
    while True:
        yield generator.choice(MOMENTS) if generator.random() < DAILY_SHARE else None


def _least_killed(target: Target, planned: list[Kill]) -> Target:
    """Of the ways to kill this service the one that was taken least, this one when it is among them."""
    taken = Counter(kill.target for kill in planned)
    ways = [way for way in TARGETS if SERVICE_OF[way] == SERVICE_OF[target]]
    return min(ways, key=lambda way: (taken[way], way != target))


def _may_be_killed(target: Target, at_ms: float, planned: list[Kill]) -> bool:
    recent = Counter(SERVICE_OF[kill.target] for kill in planned if kill.at_ms > at_ms - WINDOW_MS)
    return recent[SERVICE_OF[target]] < KILLS_MAX
