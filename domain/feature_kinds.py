"""What a feature of the catalogue is: its name, its meaning, and the columns of the views that hold it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from domain.aggregates import Aggregate, ColumnType
from domain.sessions import SessionValue

Entity = Literal["visitor", "item"]

JOIN_KEYS: Final[dict[Entity, str]] = {"visitor": "visitor_id", "item": "item_id"}


@dataclass(frozen=True, slots=True)
class Feature:
    """A quantity that batch and stream both keep: merged when read.

    Its states live in the stream view under `recent_…`, its totals in the batch view under `history_…`, and its
    finished values in the merged view under its own name. A feature's meaning never changes under its name: another
    half-life or window is another feature. `since` is the generation of the catalogue that brought it.
    """

    name: str
    entity: Entity
    aggregate: Aggregate
    description: str
    unit: str
    owner: str = "platform"
    since: int = 1
    state_names: tuple[str, ...] = field(init=False)
    total_names: tuple[str, ...] = field(init=False)
    value_names: tuple[str, ...] = field(init=False)
    zero_cells: tuple[Any, ...] = field(init=False)
    pack_state: Callable[[Any], tuple[Any, ...]] = field(init=False)

    def __post_init__(self) -> None:
        for columns in ("state", "total", "value"):
            names = column_names(getattr(self, f"{columns}_columns")())
            object.__setattr__(self, f"{columns}_names", tuple(names))
        object.__setattr__(self, "pack_state", self.aggregate.pack_state)
        object.__setattr__(self, "zero_cells", self.aggregate.pack_state(self.aggregate.zero()))

    def state_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the stream view: one cell per bucket."""
        return [(f"recent_{c.name(self.name)}", c.type.per_bucket) for c in self.aggregate.state_columns]

    def total_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the batch view."""
        return [(f"history_{c.name(self.name)}", c.type) for c in self.aggregate.total_columns]

    def value_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the merged view."""
        return [(c.name(self.name), c.type) for c in self.aggregate.value_columns]


@dataclass(frozen=True, slots=True)
class BatchFeature:
    """Counts that only the batch layer can tell, as of its cutoff: the same in the batch view and in the merged one."""

    name: str
    entity: Entity
    counts: tuple[str, ...]
    description: str
    unit: str
    owner: str = "platform"

    def total_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the batch view."""
        return [(f"history_{count}", ColumnType.INT) for count in self.counts]

    def value_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the merged view; 0 without a batch row."""
        return [(count, ColumnType.INT) for count in self.counts]


@dataclass(frozen=True, slots=True)
class SessionFeature:
    """A quantity of the current session: only the stream knows it."""

    name: str
    values: tuple[SessionValue, ...]
    description: str
    unit: str
    owner: str = "platform"


def column_names(columns: Sequence[tuple[str, ColumnType]]) -> list[str]:
    """The names alone."""
    return [name for name, _ in columns]
