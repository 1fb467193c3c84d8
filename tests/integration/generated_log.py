"""A seeded log with everything that makes admission and folding hard, and the lake that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from batch.lake.interactions import HISTORY_PARTITION, INTERACTIONS
from batch.lake.table import Lake
from domain.facts import Stamp
from domain.policies import AdmissionPolicy, BucketPolicy, Policies, SessionPolicy
from domain.reference import LogRecord
from schemas.events import KINDS, InteractionContext
from tests.builders import START_MS, interaction

PERIOD_MS = 3_600_000
POLICIES = Policies(
    bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1),
    session=SessionPolicy(gap_ms=600_000),
    admission=AdmissionPolicy(admitted_max=30),
)
CATEGORIES = ("crime", "drama", "éa", "Zoo", "ab", "a")
OLDEST_BUCKET = -1_000
"""More than the catalogue's longest window before the newest, in buckets from START_MS."""
REGULARS_BUCKETS = range(-85, -5)
"""More in a row than a total keeps of them."""


def generated_log(seed: int, *, records: int = 900, buckets: int = 9) -> list[LogRecord]:
    """Duplicates near and far, floods, ever new categories, partitions, empty buckets, old history, silent events."""
    random = Random(seed)
    log = []
    for offset in range(records):
        history = offset < records // 4
        if history:
            bucket = random.choice((0, 1, 3, 39, random.randrange(OLDEST_BUCKET, 40)))
        else:
            bucket = 40 + min(int(random.expovariate(0.4)), buckets)
        visitor = "robot" if random.random() < 0.15 else f"v{random.randrange(25)}"
        partition = HISTORY_PARTITION if history else offset % 2
        log.append(_record(random, visitor, f"i{int(random.expovariate(0.2))}", Place(partition, offset, bucket)))
    for offset, (visitor, item, bucket) in enumerate(_beyond_the_bounds(), start=records):
        log.append(_record(random, visitor, item, Place(HISTORY_PARTITION, offset, bucket)))
    return log


def _beyond_the_bounds() -> Iterator[tuple[str, str, int]]:
    """(visitor, item, bucket): more buckets, items and visitors than the totals of one entity keep."""
    for bucket in (*REGULARS_BUCKETS, *REGULARS_BUCKETS[::3]):
        yield "regular", "hit", bucket
    for number in range(70):
        yield f"crowd{number}", "hit", number % 4
        yield "collector", f"rare{number}", number % 4


class Place(NamedTuple):
    """Where a record stands in the log."""

    partition: int
    offset: int
    bucket: int


def _record(random: Random, visitor: str, item: str, place: Place) -> LogRecord:
    received_at_ms = START_MS + place.bucket * PERIOD_MS + random.randrange(PERIOD_MS)
    kind = random.choice(KINDS)
    ago_ms = 0 if place.partition < 0 else random.choice((0, 5, 1_000, 10_000_000))
    event = interaction(
        f"e{random.randrange(12)}" if random.random() < 0.3 else f"unique{place.offset}",
        visitor=visitor,
        item=item,
        kind=kind,
        at_ms=0 if random.random() < 0.02 else received_at_ms - ago_ms,  # 0: an hour west of UTC, the year is 1969
        value=random.choice((*_VALUES.get(kind, ()), None, 0.0, 2.5, 0.0000005, 0.0000015, -19.99, 1e9 / 3)),
        session_id=random.choice((None, None, "s1", "s2")),
        personalise=random.random() > 0.1,
        context=_context(random, visitor),
    )
    return LogRecord(event, Stamp(received_at_ms, place.partition, place.offset))


_VALUES: dict[str, tuple[float, ...]] = {
    "play": (0.999_999_9, 1.0, 999.999_999, 61_500.25, 5_400_000.0, 1e9),
    "rating": (3.499_999, 3.5, 4.0, 5.0, 5.000_001, 0.5, -1.0),
}


def _context(random: Random, visitor: str) -> InteractionContext:
    return InteractionContext(
        categories=_categories(random, visitor),
        utc_offset_min=random.choice((0, -840, 840, 345, -210)),
        source=random.choice((None, None, "audience", "critic")),
        weight=random.choice((None, 0.001, 0.0025, 1.5, 10.0)),
    )


def _categories(random: Random, visitor: str) -> tuple[str, ...]:
    """Up to three; the robot goes through more of them than a histogram keeps."""
    chosen = random.choices(CATEGORIES, k=random.randrange(4))
    return tuple([*chosen, f"c{random.randrange(300)}"] if visitor == "robot" else chosen)


def lake_of(folder: Path, log: list[LogRecord], policies: Policies = POLICIES) -> Lake:
    """The lake with these records, in two commits and in no order."""
    lake = Lake.open(folder, policies.bucket)
    shuffled = Random(0).sample(log, len(log))
    for part in (shuffled[::2], shuffled[1::2]):
        lake.append([INTERACTIONS.to_rows(part, policies.bucket)], {})
    return lake
