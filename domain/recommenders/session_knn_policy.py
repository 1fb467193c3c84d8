"""The parameters of the session-kNN and their defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields

QUERY_ITEMS_MOST = 64
"""The kernel keeps which query items found a session as bits of one word."""


@dataclass(frozen=True, slots=True)
class SessionKnnPolicy:
    """How session-kNN weighs positions, ages and rarity; a `*_decay_*` is where a weight has fallen to 1/e.

    The defaults were found by coordinate search on validation slices of short shopping sessions, never on test queries.
    `sessions_per_item_max` and `session_items_max` shape the index; all others may change without a new index.
    """

    sessions_per_item_max: int = 2_000
    neighbours_max: int = 500
    query_items_max: int = 20
    session_items_max: int = 200
    query_decay_positions: float = 8.0
    last_match_decay_positions: float = 4.0
    recency_decay_days: float = 80.0
    span_decay_positions: float = 1.5
    backward_weight: float = 0.8
    repeat_weight: float = 2.0
    similarity_idf_exponent: float = 2.0
    score_idf_exponent: float = 1.5
    length_exponent: float = 0.0

    def __post_init__(self) -> None:
        if self.query_items_max > QUERY_ITEMS_MOST:
            raise ValueError(f"query_items_max must be at most {QUERY_ITEMS_MOST}, not {self.query_items_max}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_max", "_positions", "_days")):
                if not value > 0:
                    raise ValueError(f"{field.name} must be above 0, not {value}")
            elif not value >= 0:
                raise ValueError(f"{field.name} must not be negative, as {value} is")


LONG_HISTORIES = SessionKnnPolicy(
    neighbours_max=200,
    query_items_max=50,
    session_items_max=500,
    query_decay_positions=10.0,
    last_match_decay_positions=10.0,
    recency_decay_days=10_000.0,
    span_decay_positions=10.0,
    backward_weight=0.8,
    repeat_weight=0.6,
    similarity_idf_exponent=1.5,
    score_idf_exponent=1.0,
    length_exponent=0.5,
)
"""For many ratings in a row, as of films: order and age say little. Found on a validation slice of film ratings."""
