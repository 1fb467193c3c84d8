"""Does a training set know anything that had not happened yet? A sample is recomputed by the naive reference.

For each sampled row every feature is folded again, from the records received before the row's `known_to_ms` and no
others. A feature that says anything else stops the run by its name: it has seen the future, or it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain import reference
from domain.facts import Fact
from domain.features import JOIN_KEYS, Entity, Feature, features_of
from domain.policies import Policies
from domain.reference import LogRecord
from schemas.errors import ConsistencyError

SHOWN: Final = 120
"""Characters of a value in a message."""

TrainingRow = Mapping[str, Any]
"""Columns of the training set by name."""


class LeakedFeature(ConsistencyError):
    """A feature of a training row is not what was known before its interaction."""

    def __init__(self, feature: Feature, key: str, row: TrainingRow, expected: Any, found: Any, later: bool) -> None:
        self.feature = feature
        self.key = key
        cause = "it includes what was received later" if later else "it is not what the log says"
        super().__init__(
            f"{feature.entity} feature {feature.name} of {key!r} leaks: event {row['event_id']!r} may know what "
            f"was received before {row['known_to_ms']}, but {cause}: found {found!r:.{SHOWN}}, "
            f"known {expected!r:.{SHOWN}}; compute it from records below the cutoff only, or leave it out"
        )


class ReachesBeyond(ConsistencyError):
    """A training row claims to know of an instant that comes after its own interaction."""

    def __init__(self, row: TrainingRow) -> None:
        super().__init__(
            f"the row of event {row['event_id']!r} knows of all before {row['known_to_ms']}, but was received at "
            f"{row['received_at_ms']}: every feature leaks; join it with an earlier snapshot"
        )


def refuse_leaks(rows: Iterable[TrainingRow], log: Iterable[LogRecord], policies: Policies) -> int:
    """Check every given row; returns how many cells were compared.

    `log` holds every record of the rows' visitors and items, and of everybody else what decides admission.

    Raises:
        LeakedFeature, ReachesBeyond: the first that is found, in the order of rows and of the catalogue.
    """
    records = list(log)
    facts_of = {entity: reference.facts_by_key(entity, records, policies) for entity in JOIN_KEYS}
    judge = _Judge(policies)
    return sum(
        judge.compare(entity, row, facts_of[entity].get(row[JOIN_KEYS[entity]], []))
        for row in rows
        for entity in JOIN_KEYS
    )


def known_cells(entity: Entity, facts: Sequence[Fact], before_ms: int, policies: Policies) -> dict[str, Any]:
    """The cells of a training row by the reference: null for an entity of which nothing was known."""
    known = [fact for fact in facts if fact.received_at_ms < before_ms]
    totals = reference.totals(entity, known, policies)
    return {
        name: cell if known else None
        for feature in features_of(entity)
        for name, cell in zip(feature.total_names, feature.aggregate.pack_total(totals[feature.name]), strict=True)
    }


@dataclass(frozen=True, slots=True)
class _Judge:
    policies: Policies

    def compare(self, entity: Entity, row: TrainingRow, facts: Sequence[Fact]) -> int:
        """Compare one row's cells of one entity with the reference's; how many there were."""
        if row["known_to_ms"] > row["received_at_ms"]:
            raise ReachesBeyond(row)
        expected = known_cells(entity, facts, row["known_to_ms"], self.policies)
        for feature in features_of(entity):
            known = [plain(expected[name]) for name in feature.total_names]
            found = [plain(row[name]) for name in feature.total_names]
            if found != known:
                later = self._is_of_later(feature, found, facts, row["known_to_ms"])
                raise LeakedFeature(feature, row[JOIN_KEYS[entity]], row, known, found, later)
        return len(expected)

    def _is_of_later(self, feature: Feature, found: list[Any], facts: Sequence[Fact], known_to_ms: int) -> bool:
        """Whether the cells are those of a later instant."""
        later = sorted({fact.received_at_ms + 1 for fact in facts if fact.received_at_ms >= known_to_ms})
        period_ms = self.policies.bucket.period_ms
        ends = sorted({instant - 1 - (instant - 1) % period_ms + period_ms for instant in later})
        for before_ms in (*later, *ends):
            cells = known_cells(feature.entity, facts, before_ms, self.policies)
            if [plain(cells[name]) for name in feature.total_names] == found:
                return True
        return False


def plain(cell: Any) -> Any:
    """A cell in Python's own types: lists for arrays and tuples, however deep; integers for whole numbers."""
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    return [plain(each) for each in cell] if isinstance(cell, list | tuple) else cell
