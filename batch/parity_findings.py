"""What parity finds: of one key, and of all that were compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from batch.expectation import Claim

WORST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One field that differs."""

    feature: str
    key: str
    expected: Any
    actual: Any


@dataclass(slots=True)
class Comparison:
    """One key's rows against the log."""

    key: str
    rows: int = 0
    fields: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    def compare(self, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
        """Compare one row."""
        self.rows += 1
        self.fields += len(expected)
        for feature, value in expected.items():
            if value != actual.get(feature):
                self.mismatches.append(Mismatch(feature, self.key, value, actual.get(feature)))


@dataclass(frozen=True, slots=True)
class Unready:
    """One key's rows cannot be compared yet. `is_in_motion` when traffic or a publish may be the reason."""

    reason: Mismatch
    is_in_motion: bool


@dataclass(slots=True)
class Parity:
    """The outcome: rows and fields that were compared, fields that differ, and keys that could not be compared.

    `history_gaps` counts merged rows that are too small because batch is late: the stream has dropped buckets that the
    batch row does not cover. They agree with what they claim, so that they are no mismatches.
    """

    rows: int = 0
    fields: int = 0
    mismatches: int = 0
    unsettled: int = 0
    history_gaps: int = 0
    worst: list[Mismatch] = field(default_factory=list)

    def add(self, judged: Comparison | Unready, claim: Claim, *, is_at_rest: bool) -> None:
        """Count one more key, with what its merged row claims."""
        self.history_gaps += claim.has_gap
        if isinstance(judged, Comparison):
            self.rows += judged.rows
            self.fields += judged.fields
            self._add_mismatches(judged.mismatches)
        elif judged.is_in_motion and not is_at_rest:
            self.unsettled += 1
        else:
            self._add_mismatches([judged.reason])

    def _add_mismatches(self, mismatches: list[Mismatch]) -> None:
        self.mismatches += len(mismatches)
        self.worst = (self.worst + mismatches)[:WORST_SHOWN]
