"""Token buckets: how often each key may ask."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple


class Taken(NamedTuple):
    """What a request found in a bucket of `burst`: `left` tokens after it, or none and `wait_s` until there is one."""

    burst: float
    left: float
    wait_s: float


class TokenBuckets:
    """One bucket a key, in this process. A full one holds the tokens of `burst_s` seconds; a request takes one."""

    def __init__(self, burst_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._burst_s = burst_s
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str, per_s: float) -> Taken:
        """Take a token from the bucket, into which `per_s` come a second."""
        now, burst = self._clock(), max(1.0, per_s * self._burst_s)
        tokens, at = self._buckets.get(key_id, (burst, now))
        tokens = min(burst, tokens + (now - at) * per_s)
        if tokens < 1:
            self._buckets[key_id] = (tokens, now)
            return Taken(burst, 0, (1 - tokens) / per_s)
        self._buckets[key_id] = (tokens - 1, now)
        return Taken(burst, tokens - 1, 0)
