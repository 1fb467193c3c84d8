"""The models of a run, from its sessions and item profiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from batch.training.session_log import DatedSessions
from domain.aggregates import DecayedSum
from domain.aggregates.decay import factor
from domain.features import AGGREGATED
from domain.policies import DAY_MS
from domain.recommenders.content import ContentSimilarity
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.long_term_taste import LongTermTaste
from domain.recommenders.popularity import Popularity
from domain.recommenders.sequential_rules import SequentialRules
from domain.recommenders.vocabulary import Vocabulary

POPULARITY: Final = next(feature for feature in AGGREGATED if feature.name == "popularity")


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """What one artifact holds."""

    vocabulary: Vocabulary
    line_up: FusedModel
    popularity: Popularity
    content: ContentSimilarity | None = None  # without a catalogue there is none
    taste: LongTermTaste | None = None  # nor without histories enough

    def save(self, folder: Path) -> None:
        """Write the files of every model."""
        folder.mkdir(parents=True, exist_ok=True)
        for model in (self.vocabulary, self.line_up, self.popularity, self.content, self.taste):
            if model is not None:
                model.save(folder)


def vocabulary_of(item_profile: Path, catalogue: Iterable[str] = ()) -> Vocabulary:
    """Every item with a profile, and those of the catalogue that nobody has acted on."""
    return Vocabulary([*pq.read_table(item_profile, columns=["item_id"])["item_id"].to_pylist(), *catalogue])


def popularity_of(item_profile: Path, vocabulary: Vocabulary, cutoff_ms: int) -> npt.NDArray[np.int64]:
    """The catalogue's decayed popularity of each item at the cutoff, in its fixed point: [items]."""
    aggregate = POPULARITY.aggregate
    assert isinstance(aggregate, DecayedSum)
    columns = [name for name, _ in POPULARITY.total_columns()]
    table = pq.read_table(item_profile, columns=["item_id", *columns])
    counts = np.zeros(len(vocabulary), np.int64)
    for item_id, *cells in zip(*(table[name].to_pylist() for name in ("item_id", *columns)), strict=True):
        dense = vocabulary.dense(item_id)
        if dense is not None:
            counts[dense] = aggregate.fixed_point_at(aggregate.unpack_total(cells), cutoff_ms)
    return counts


def baselines(sessions: DatedSessions, items_count: int, at_ms: int) -> dict[str, Popularity | SequentialRules]:
    """What every figure of the session-kNN is printed beside, built from the same sessions as it."""
    lengths = np.diff(sessions.log.offsets)
    half_life_ms = 7 * DAY_MS
    ages_ms = at_ms - sessions.log.ended_at_ms
    weights = np.array([factor(age_ms, half_life_ms) for age_ms in ages_ms.tolist()]) * (1 << 20)
    counts = np.bincount(sessions.log.items, np.repeat(weights, lengths), minlength=items_count)
    return {
        "popularity": Popularity(np.rint(counts).astype(np.int64)),
        "sequential_rules": SequentialRules.build(sessions.log, items_count),
    }
