"""What parity finds: of one key, and of all that were compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

WORST_SHOWN: Final = 50
FLOATS_AGREE_WITHIN: Final = 1e-9
"""Relative. Floats are finished from equal integers, but Spark, numpy and libm need not round their last bit alike."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field that differs."""

    feature: str
    key: str
    expected: Any
    actual: Any


@dataclass(slots=True)
class Comparison:
    """One key's rows against the log.

    `has_gap` when the stream has let go of what batch does not cover; `is_incomplete` when the merged row names
    features of which it has a part at most, because they are newer than its bucket or its batch row.
    """

    key: str
    has_gap: bool = False
    is_incomplete: bool = False
    rows: int = 0
    fields: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    def compare(self, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
        """Compare one row."""
        self.rows += 1
        self.fields += len(expected)
        for feature, value in expected.items():
            if not agrees(value, actual.get(feature)):
                self.mismatches.append(Mismatch(feature, self.key, value, actual.get(feature)))


def agrees(expected: Any, actual: Any) -> bool:
    """Whether two cells say the same: floats almost, everything else exactly."""
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(agrees, expected, actual))
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, rel_tol=FLOATS_AGREE_WITHIN)
    return bool(expected == actual)


@dataclass(frozen=True, slots=True)
class Unready:
    """One key's rows cannot be compared yet. `is_in_motion` when traffic or a publish may be the reason."""

    reason: Mismatch
    is_in_motion: bool


@dataclass(slots=True)
class Parity:
    """The outcome: rows and fields that were compared, fields that differ, and keys that could not be compared.

    `behind` counts those among the mismatches that are a row which is absent, too old or of no run: while a layer is
    away all of them are.
    `history_gaps` counts keys whose merged rows are too small because batch is late: the stream has dropped buckets
    that the batch row does not cover. They agree with what they claim, so that they are no mismatches. Nor are those
    of `incomplete` keys, whose rows name the features that they do not have whole.
    """

    rows: int = 0
    fields: int = 0
    mismatches: int = 0
    behind: int = 0
    unsettled: int = 0
    history_gaps: int = 0
    incomplete: int = 0
    worst: list[Mismatch] = field(default_factory=list)

    def add(self, judged: Comparison | Unready, *, is_at_rest: bool) -> None:
        """Count one more key."""
        if isinstance(judged, Comparison):
            self.history_gaps += judged.has_gap
            self.incomplete += judged.is_incomplete
            self.rows += judged.rows
            self.fields += judged.fields
            self._add_mismatches(judged.mismatches)
        elif judged.is_in_motion and not is_at_rest:
            self.unsettled += 1
        else:
            self.behind += 1
            self._add_mismatches([judged.reason])

    def _add_mismatches(self, mismatches: list[Mismatch]) -> None:
        self.mismatches += len(mismatches)
        self.worst = (self.worst + mismatches)[:WORST_SHOWN]
