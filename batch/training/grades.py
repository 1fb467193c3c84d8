"""What the answers to the questions of a daily run were worth: `domain.objectives` over its sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from batch.training.catalogue import DURATION
from batch.training.session_log import Acts, DatedSessions
from domain.objectives import Objectives, Offer, Outcome, grade, relevance
from schemas.events import KINDS, UNKNOWN_CATEGORY, ItemEvent


@dataclass(frozen=True, slots=True, eq=False)
class Grading:
    """Grades the interactions of sessions: an item is worth what was done with it from there to the session's end."""

    sessions: DatedSessions
    acts: Acts
    at_ms: npt.NDArray[np.int64]  # [interactions]
    objectives: Objectives
    catalogue: Mapping[int, ItemEvent] = field(default_factory=dict)  # by dense id

    def __call__(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        """[places], as `domain.objectives.grade` says."""
        offsets = self.sessions.log.offsets
        session = np.searchsorted(offsets, places, side="right") - 1
        bounds = zip(offsets[session].tolist(), places.tolist(), offsets[session + 1].tolist(), strict=True)
        return np.fromiter((self._grade(first, place, end) for first, place, end in bounds), np.int8, len(places))

    def _grade(self, first: int, place: int, end: int) -> int:
        items = self.sessions.log.items
        again = place + np.flatnonzero(items[place:end] == items[place])
        outcomes = [outcome for each in again.tolist() for outcome in self._outcomes(each)]
        return grade(relevance(outcomes, self._offer(first, place), self.objectives))

    def _outcomes(self, place: int) -> list[Outcome]:
        acts = slice(self.acts.offsets[place], self.acts.offsets[place + 1])
        kinds, values = self.acts.kinds[acts].tolist(), self.acts.values[acts].tolist()
        return [Outcome(KINDS[kind], value) for kind, value in zip(kinds, values, strict=True)]

    def _offer(self, first: int, place: int) -> Offer:
        """What was known when the item before was the newest one of the session."""
        item = self.catalogue.get(int(self.sessions.log.items[place]))
        if item is None:
            return Offer()
        before = self.sessions.log.items[first:place].tolist()
        length = item.attributes.get(DURATION)
        return Offer(
            asked_at_ms=int(self.at_ms[max(place - 1, first)]),
            categories=self._categories(int(self.sessions.log.items[place])),
            published_at_ms=item.published_at_ms,
            duration_ms=int(length) if isinstance(length, int | float) and length > 0 else None,
            categories_before=frozenset().union(*map(self._categories, before)),
        )

    def _categories(self, item: int) -> frozenset[str]:
        known = self.catalogue.get(item)
        return frozenset(known.categories if known else ()) - {UNKNOWN_CATEGORY}
