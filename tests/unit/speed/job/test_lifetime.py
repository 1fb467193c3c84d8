"""When a state goes: by the stream's clock, looked at by a timer of the wall clock."""

from __future__ import annotations

from domain.policies import BucketPolicy
from speed.job.lifetime import Lifetime
from tests.builders import START_MS

POLICY = BucketPolicy(period_ms=60_000, kept=8, dedup=1)
MINUTE = 60_000
ENDS_MS = START_MS + 12 * MINUTE
"""A bucket that begins at START_MS ends a minute later, and is let go 8 + 1 + 2 buckets after that."""


def test_the_exact_end_lets_the_state_go_and_one_before_does_not() -> None:
    lifetime = Lifetime(POLICY)
    lifetime.advance(ENDS_MS - 1)
    assert not lifetime.is_over(START_MS + MINUTE - 1)
    lifetime.advance(ENDS_MS)
    assert lifetime.is_over(START_MS + MINUTE - 1)
    assert not lifetime.is_over(START_MS + MINUTE)


def test_before_the_stream_has_spoken_nothing_goes() -> None:
    assert not Lifetime(POLICY).is_over(START_MS)


def test_an_older_record_does_not_set_the_streams_clock_back() -> None:
    lifetime = Lifetime(POLICY)
    lifetime.advance(ENDS_MS)
    lifetime.advance(START_MS)
    assert lifetime.is_over(START_MS)


def test_a_live_key_is_looked_at_within_one_bucket_of_its_end() -> None:
    at_ms = Lifetime(POLICY).wakes_at_ms(b"ada", START_MS, START_MS + 10)
    assert ENDS_MS <= at_ms < ENDS_MS + MINUTE


def test_keys_are_spread_over_a_bucket() -> None:
    lifetime = Lifetime(POLICY)
    instants = [lifetime.wakes_at_ms(f"visitor-{n}".encode(), START_MS, START_MS) for n in range(1_000)]
    halves = sum(at_ms < ENDS_MS + MINUTE // 2 for at_ms in instants)
    assert 400 < halves < 600


def test_a_replayed_key_is_looked_at_a_bucket_from_now_and_not_with_each_of_its_records() -> None:
    now_ms = START_MS + 1_000 * MINUTE
    assert Lifetime(POLICY).wakes_at_ms(b"ada", START_MS, now_ms) >= now_ms + MINUTE
