"""What is happening now: items above their usual level, from the stream's item states."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from domain.derived import EXPECTED_SHARE, RECENT_HALF_LIFE_MS, USUAL_HALF_LIFE_MS
from domain.features import WELCOME, Feature, features_of
from domain.rows import Row, decode_row, empty_row
from schemas.errors import PlatformError
from serving.pipeline.trending import WINDOWS_MS, TrendWindow

log = logging.getLogger(__name__)

KEPT: Final = 1_000
"""Places of each list that is kept ready."""

BUCKETS_KEPT: Final = 8
"""Buckets of an item whose interactions are kept: the newest, of which the stream keeps as many unless told."""

REFRESH_MS: Final = 500
FEATURES: Final[Mapping[str, Feature]] = {feature.name: feature for feature in features_of("item")}
COUNTS: Final = FEATURES["counts"]


class ItemTrends:
    """`Trends` from the changelog of item states.

    What is ranked is the catalogue's feature `trend` (`domain.rates.trend`), of all items at once and as of now, by
    what the stream alone knows; and, for each of the longer windows, how often visitors acted on the item. A row that
    is older than the one of its item, as a rebuild repeats them, is passed over.
    """

    def __init__(self, now_ms: Callable[[], int], note_written: Callable[[int], None] = lambda at_ms: None) -> None:
        self._now_ms = now_ms
        self._note_written = note_written
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        self._items: list[str] = []  # by place
        self._levels: npt.NDArray[np.float64] = np.zeros((64, 3))  # [items, (recent, usual, at_ms)]
        self._counts: npt.NDArray[np.int64] = np.zeros((64, BUCKETS_KEPT, 2), np.int64)  # [items, buckets, (start, n)]
        self._ready: dict[TrendWindow, list[tuple[str, float]]] = {}
        self._ready_at_ms = 0

    def __len__(self) -> int:
        return len(self._places)

    def take(self, newest: Mapping[str, bytes | None]) -> None:
        """Take a piece of the topic."""
        for item_id, raw in newest.items():
            try:
                row = empty_row() if raw is None else decode_row(raw)
                levels, counts = _levels(row), _counts(row)
            except (msgspec.MsgspecError, PlatformError, ValueError, TypeError, LookupError, ArithmeticError) as error:
                log.warning("item_state.rejected", extra={"item_id": item_id, "problem": str(error)})
                continue
            with self._lock:
                if raw is None:
                    self._forget(item_id)
                else:
                    self._put(item_id, levels, counts)
            self._note_written(int(levels[2]))

    def trending(self, k: int) -> Sequence[tuple[str, float]]:
        """See `Trends.trending`; at most `KEPT`. As of the last `refresh`: ranking many items takes too long here."""
        return self.within(TrendWindow.NOW, k)

    def within(self, window: TrendWindow, k: int) -> Sequence[tuple[str, float]]:
        """See `WindowedTrends.within`."""
        return self._ready.get(window, [])[:k]

    def refresh(self) -> None:
        """Rank anew when `REFRESH_MS` have passed. For the follower's thread, so that no request waits for it."""
        now_ms = self._now_ms()
        if now_ms - self._ready_at_ms >= REFRESH_MS:
            self._ready_at_ms = now_ms
            self._ready = self._ranked(now_ms)

    def _put(self, item_id: str, levels: tuple[float, float, float], counts: npt.NDArray[np.int64]) -> None:
        place = self._places.setdefault(item_id, len(self._places))
        if place == len(self._items):
            self._items.append(item_id)
        if place >= len(self._levels):
            self._levels = np.concatenate((self._levels, np.zeros_like(self._levels)))
            self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        if levels[2] >= self._levels[place, 2]:
            self._levels[place], self._counts[place] = levels, counts

    def _forget(self, item_id: str) -> None:
        """Give the place of an item to the last one, so that places do not grow with all items that ever were."""
        place = self._places.pop(item_id, None)
        if place is None:
            return
        last = self._items.pop()
        if last != item_id:
            self._items[place], self._places[last] = last, place
            self._levels[place], self._counts[place] = self._levels[len(self._items)], self._counts[len(self._items)]
        self._levels[len(self._items)], self._counts[len(self._items)] = 0.0, 0

    def _ranked(self, now_ms: int) -> dict[TrendWindow, list[tuple[str, float]]]:
        with self._lock:
            items, levels = self._items.copy(), self._levels[: len(self._items)].copy()
            counts = self._counts[: len(self._items)].copy()
        ranked = {TrendWindow.NOW: _best(items, _trend(levels, now_ms))}
        for window, length_ms in WINDOWS_MS.items():
            starts_ms, acts = counts[:, :, 0], counts[:, :, 1]
            within = (starts_ms > now_ms - length_ms) & (starts_ms <= now_ms)
            ranked[window] = _best(items, (acts * within).sum(axis=1).astype(np.float64))
        return ranked


def _trend(levels: npt.NDArray[np.float64], now_ms: int) -> npt.NDArray[np.float64]:
    """How far each item [items] is above its usual level."""
    age_ms = now_ms - levels[:, 2]
    recent = levels[:, 0] * 2.0 ** (-age_ms / RECENT_HALF_LIFE_MS)
    expected = levels[:, 1] * 2.0 ** (-age_ms / USUAL_HALF_LIFE_MS) * EXPECTED_SHARE
    trend: npt.NDArray[np.float64] = (recent - expected) / np.sqrt(expected + 1.0)
    return trend


def _best(items: Sequence[str], scores: npt.NDArray[np.float64]) -> list[tuple[str, float]]:
    """The items of the highest scores above 0."""
    above = np.flatnonzero(scores > 0)
    best = above[np.argsort(-scores[above], kind="stable")[:KEPT]]
    return [(items[place], float(scores[place])) for place in best]


def _counts(row: Row) -> npt.NDArray[np.int64]:
    """(start, welcome interactions) of the newest buckets of an item."""
    counts = np.zeros((BUCKETS_KEPT, 2), np.int64)
    for place, bucket in enumerate(row.buckets[-BUCKETS_KEPT:]):
        kinds = bucket.states.get(COUNTS.name, {})
        counts[place] = bucket.start_ms, sum(kinds.get(kind, 0) for kind in WELCOME)
    return counts


def _levels(row: Row) -> tuple[float, float, float]:
    """(recent, usual, at_ms) of an item's state, at the instant of its newest interaction."""
    at_ms = row.received_at_ms
    (recent,) = _finished(FEATURES["popularity_now"], row)
    (usual,) = _finished(FEATURES["popularity"], row)
    return (recent, usual, float(at_ms))


def _finished(feature: Feature, row: Row) -> tuple[Any, ...]:
    aggregate = feature.aggregate
    total = aggregate.nothing()
    for bucket in row.buckets:
        if feature.name in bucket.states:
            total = aggregate.extend(total, bucket.states[feature.name], bucket.start_ms)
    return aggregate.finish(total, row.received_at_ms)
