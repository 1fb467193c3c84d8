"""One visitor, one item, stores that are right until a test breaks them, and what parity says of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from batch.parity import choose, unknown_keys
from batch.parity_comparer import Comparer, Owed
from batch.parity_findings import Mismatch, Parity
from domain.features import Entity
from domain.impressions import ImpressionRecord
from domain.policies import Policies
from domain.reference import LogRecord
from tests.builders import MINUTE_BUCKETS, START_MS, record
from tests.unit.batch.stream_in_memory import LogInMemory, StoresInMemory

PERIOD_MS = MINUTE_BUCKETS.bucket.period_ms
CUTOFF_MS = START_MS + 2 * PERIOD_MS
NOTHING_YET = Owed()


def visits(*, count: int = 6, every_ms: int = 40_000, **fields: Any) -> list[LogRecord]:
    """One visitor's interactions with one item, over several buckets."""
    return [
        record(f"e{number}", received_at_ms=START_MS + number * every_ms, offset=number, **fields)
        for number in range(count)
    ]


def stored(log: list[LogRecord], policies: Policies = MINUTE_BUCKETS, *, cutoff_ms: int = 0) -> StoresInMemory:
    stores = StoresInMemory(policies)
    stores.stream.observe(log)
    if cutoff_ms:
        stores.publish(log, cutoff_ms)
    return stores


def parity(
    stores: StoresInMemory,
    log: list[LogRecord],
    policies: Policies = MINUTE_BUCKETS,
    *,
    owed: Owed = NOTHING_YET,
    impressions: tuple[ImpressionRecord, ...] = (),
) -> Parity:
    archived = LogInMemory(log, policies, impressions)
    known = archived.keys()
    stream_keys: Mapping[Entity, list[str]] = {"visitor": [], "item": []}
    for entity, key in stores.rows:
        stream_keys[entity].append(key)
    keys = choose(known, None, random.Random(0)) + unknown_keys(stream_keys, known)
    return Comparer(stores, archived, policies, owed).run(keys, is_at_rest=False, limit_s=0)


def named(found: Parity, feature: str, key: str = "ada") -> Mismatch:
    """The one finding of this feature and key; a fault that is not named fails the test here."""
    (mismatch,) = [one for one in found.worst if (one.feature, one.key) == (feature, key)]
    return mismatch


def both(found: Parity, feature: str, key: str = "ada") -> tuple[Any, Any]:
    mismatch = named(found, feature, key)
    return mismatch.expected, mismatch.actual
