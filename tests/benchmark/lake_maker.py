"""A made-up shop's lake of any size: written as the archiver's tables are, a day at a time, so that memory is bounded.

Visitors come ten times as few as events, each for two sessions on average, of five events on average; items by Zipf's
law. One row in a hundred is delivered twice. One session in four began with a slate of ten items, of which it took one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batch.cutoff import Cut
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table
from domain.policies import DAY_MS, MINUTE_MS
from infra.settings import Settings
from tests.builders import START_MS

DAYS: Final = 28
FIRST_DAY_MS: Final = START_MS - START_MS % DAY_MS
CUTOFF_MS: Final = FIRST_DAY_MS + DAYS * DAY_MS
EVENTS_PER_VISITOR: Final = 10
EVENTS_PER_SESSION: Final = 5
PARTITIONS: Final = 4
CATEGORIES: Final = 60
TWICE: Final = 0.01
SLATES_PER_SESSION: Final = 0.25
SLATE_LENGTH: Final = 10
ROWS_PER_BATCH: Final = 100_000
KINDS: Final = {"view": 60, "click": 20, "play": 10, "cart": 4, "rating": 3, "purchase": 2, "like": 1}
OFFSETS_MIN: Final = (0, 60, 120, -300)
DEVICES: Final = ("phone", "desktop", "tv")

Ints = npt.NDArray[np.int64]
Columns = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """What the events are drawn from."""

    events: int
    items: int
    seed: int = 1

    @property
    def visitors(self) -> int:
        """How many there may be; about one in seven never comes."""
        return self.events // EVENTS_PER_VISITOR


def make_lake(settings: Settings, shop: Shop) -> Cut:
    """Write both tables; returns the cut at their end."""
    interactions, impressions = open_table(settings, INTERACTIONS), open_table(settings, IMPRESSIONS)
    days = Days(shop)
    for day in range(DAYS):
        events, slates = days.draw(day)
        interactions.append(_batches(events, INTERACTIONS.schema), {})
        impressions.append(_batches(slates, IMPRESSIONS.schema), {})
    return Cut(CUTOFF_MS, interactions.version, FIRST_DAY_MS, days.records, impressions.version, days.slates)


class Days:
    """Draws one day after the other; offsets go on."""

    def __init__(self, shop: Shop) -> None:
        self.records = self.slates = 0
        self._shop = shop
        self._random = np.random.default_rng(shop.seed)
        share = np.cumsum(1.0 / np.arange(1, shop.items + 1))
        self._up_to = share / share[-1]
        self._item_of_rank = self._random.permutation(shop.items)
        chosen = self._random.integers(0, CATEGORIES, (shop.items, 2))
        names = pa.array([f"category-{number}" for number in range(CATEGORIES)])
        self._categories = pa.ListArray.from_arrays(np.arange(0, 2 * shop.items + 1, 2), names.take(chosen.ravel()))

    def draw(self, day: int) -> tuple[Columns, Columns]:
        """The columns of the day's interactions and impressions, those that are not null."""
        random = self._random
        sessions = self._shop.events // (DAYS * EVENTS_PER_SESSION)
        lengths = random.geometric(1 / EVENTS_PER_SESSION, sessions)
        session = np.repeat(np.arange(sessions), lengths)
        visitors = random.integers(0, self._shop.visitors, sessions)
        gaps_ms = random.exponential(MINUTE_MS, len(session)).astype(np.int64)
        firsts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        gaps_ms[firsts] = random.integers(0, DAY_MS, sessions)
        sums_ms = np.cumsum(gaps_ms)
        at_ms = np.minimum(sums_ms - np.repeat(sums_ms[firsts] - gaps_ms[firsts], lengths), DAY_MS - 1)
        slate = np.full(len(session), -1)
        shown_in = np.flatnonzero(random.random(sessions) < SLATES_PER_SESSION)
        slate[firsts[shown_in]] = self.slates + np.arange(len(shown_in))
        columns = {
            "visitor": visitors[session],
            "item": self._items(len(session)),
            "at_ms": FIRST_DAY_MS + day * DAY_MS + at_ms,
            "event": self.records * 2 + np.arange(len(session)),
            "slate": slate,
        }
        slates = self._slates({name: cells[firsts[shown_in]] for name, cells in columns.items()})
        delivered = np.concatenate((np.arange(len(session)), np.flatnonzero(random.random(len(session)) < TWICE)))
        delivered = delivered[np.argsort(columns["at_ms"][delivered], kind="stable")]
        return self._events({name: cells[delivered] for name, cells in columns.items()}), slates

    def _items(self, count: int) -> Ints:
        ranks = np.searchsorted(self._up_to, self._random.random(count))
        return self._item_of_rank[ranks]

    def _events(self, drawn: dict[str, Ints]) -> Columns:
        count, random = len(drawn["item"]), np.random.default_rng(int(drawn["event"][0]))
        weights = np.array(list(KINDS.values())) / sum(KINDS.values())
        kinds = np.array(list(KINDS))[random.choice(len(KINDS), count, p=weights)]
        scales = {"play": 3_600_000.0, "rating": 5.0, "purchase": 50.0}
        value = random.random(count) * np.select([kinds == kind for kind in scales], list(scales.values()), np.nan)
        columns = self._stamps(drawn, self.records) | {
            "event_id": _named("e", drawn["event"]),
            "item_id": _named("item-", drawn["item"]),
            "kind": pa.array(kinds),
            "occurred_at_ms": drawn["at_ms"],
            "value": pa.array(value, from_pandas=True),
            "slate_id": pc.if_else(pa.array(drawn["slate"] >= 0), _named("s", drawn["slate"]), None),
            "personalise": np.ones(count, np.bool_),
            "categories": self._categories.take(pa.array(drawn["item"])),
            "utc_offset_min": np.array(OFFSETS_MIN)[drawn["visitor"] % len(OFFSETS_MIN)],
            "device": pa.array(np.array(DEVICES)[drawn["visitor"] % len(DEVICES)]),
            "schema_version": np.ones(count, np.int64),
        }
        self.records += count
        return columns

    def _slates(self, drawn: dict[str, Ints]) -> Columns:
        count = len(drawn["item"])
        items = self._items(count * SLATE_LENGTH).reshape(count, SLATE_LENGTH)
        items[:, 0] = drawn["item"]
        ends = np.arange(0, items.size + 1, SLATE_LENGTH)
        columns = self._stamps(drawn, self.slates) | {
            "slate_id": _named("s", drawn["slate"]),
            "items": pa.ListArray.from_arrays(ends, _named("item-", items.ravel())),
            "shown_at_ms": drawn["at_ms"],
            "policy": pa.repeat("made-up", count),
            "arm": pa.repeat("", count),
            "propensities": pa.ListArray.from_arrays(ends, pa.repeat(1.0, items.size)),
            "model_version": pa.repeat("", count),
            "degraded": pa.repeat(pa.scalar([], pa.list_(pa.string())), count),
            "schema_version": np.ones(count, np.int64),
        }
        self.slates += count
        return columns

    def _stamps(self, drawn: dict[str, Ints], first_offset: int) -> Columns:
        """Offsets rise within each partition; that they have holes is as in Kafka."""
        return {
            "partition": drawn["visitor"] % PARTITIONS,
            "offset": first_offset + np.arange(len(drawn["visitor"])),
            "received_at_ms": drawn["at_ms"],
            "bucket_ms": drawn["at_ms"] - drawn["at_ms"] % DAY_MS,
            "visitor_id": _named("visitor-", drawn["visitor"]),
        }


def _named(prefix: str, numbers: Ints) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _batches(columns: Columns, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    count = len(columns["offset"])
    arrays = [
        pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in schema
    ]
    yield from pa.Table.from_arrays(arrays, schema=schema).to_batches(ROWS_PER_BATCH)
