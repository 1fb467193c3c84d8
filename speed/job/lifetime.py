"""How long the state of a key is kept."""

from __future__ import annotations

from zlib import crc32

from domain.policies import BucketPolicy


class Lifetime:
    """A state goes when its newest bucket has ended `kept + dedup + 2` buckets ago: batch has covered all that it says.

    A timer of the wall clock wakes the key. Whether the state goes is then decided by the stream's own clock, the
    newest Kafka timestamp that the operator has seen: while an old log is replayed, or right after a long pause, a
    record that belongs to the state may still be to come.
    """

    def __init__(self, policy: BucketPolicy) -> None:
        self._policy = policy
        self._clock_ms = 0

    def advance(self, received_at_ms: int) -> None:
        """The stream has come so far."""
        self._clock_ms = max(self._clock_ms, received_at_ms)

    def wakes_at_ms(self, key: bytes, received_at_ms: int, now_ms: int) -> int:
        """When to look at a state whose newest record was received at `received_at_ms`.

        Spread over one bucket by the key's hash, or all keys of a day would be cleared at the same midnight; and never
        within the next bucket, so that a replay looks at a key once and not with each of its records.
        """
        period_ms = self._policy.period_ms
        return max(self._ends_at_ms(received_at_ms), now_ms + period_ms) + crc32(key) % period_ms

    def is_over(self, received_at_ms: int) -> bool:
        """Whether a state whose newest record was received at `received_at_ms` goes now."""
        return self._clock_ms >= self._ends_at_ms(received_at_ms)

    def begins_at_ms(self, now_ms: int) -> int:
        """The start of the oldest bucket whose states still live at `now_ms`."""
        policy = self._policy
        return policy.start_of(now_ms) - (policy.kept + policy.dedup + 2) * policy.period_ms

    def _ends_at_ms(self, received_at_ms: int) -> int:
        policy = self._policy
        return policy.start_of(received_at_ms) + (1 + policy.kept + policy.dedup + 2) * policy.period_ms
