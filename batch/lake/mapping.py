"""How a row of a foreign file becomes an interaction: which column is which field, and how cells are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from schemas.errors import ContractError, Reason, RejectedEvent
from schemas.events import InteractionEvent, Kind, convert, encode

TimeUnit = Literal["s", "ms", "us"]

MICROSECONDS: Final[dict[TimeUnit, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
REQUIRED: Final = ("visitor_id", "item_id", "kind", "occurred_at_ms")
CONTEXT_FIELDS: Final = ("categories", "price_micros", "utc_offset_min", "device")
TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
ID_BYTES: Final = 16


class UnusableMapping(ContractError):
    """The file's columns and the wanted fields do not fit together."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What the importer is told about a file.

    `source` names where the rows come from: it enters the event ids of rows without one, so that the same row of two
    exports of one source is the same event. `columns` maps fields to columns; a field that it does not name is taken
    from the column of its own name. `kind` is the kind of every row. Numbers in the time column count `time_unit`.
    """

    source: str
    columns: Mapping[str, str] = field(default_factory=dict)
    kind: Kind | None = None
    time_unit: TimeUnit = "ms"


class RowReader:
    """Makes events of rows, for a file with certain columns.

    Raises:
        UnusableMapping: an unknown field, a column that is not there, or a required field without a column.
    """

    def __init__(self, mapping: ColumnMapping, columns: Sequence[str]) -> None:
        self._mapping = mapping
        readers = _cell_readers(mapping.time_unit)
        for name, column in mapping.columns.items():
            if name not in readers:
                raise UnusableMapping(f"{name} is not a field: map some of {', '.join(readers)}")
            if column not in columns:
                raise UnusableMapping(f"there is no column {column} for {name}: the file has {', '.join(columns)}")
        chosen = {name: mapping.columns.get(name, name) for name in readers}
        self._fields = [(name, chosen[name], read) for name, read in readers.items() if chosen[name] in columns]
        given = {name for name, _, _ in self._fields} | ({"kind"} if mapping.kind else set())
        missing = [name for name in REQUIRED if name not in given]
        if missing:
            raise UnusableMapping(
                f"no column for {', '.join(missing)}: add `--map {missing[0]}=COLUMN`"
                f"{' or `--kind KIND`' if 'kind' in missing else ''}; the file has {', '.join(columns)}"
            )

    @property
    def columns(self) -> set[str]:
        """The columns that are read."""
        return {column for _, column, _ in self._fields}

    def to_event(self, cells: Mapping[str, Any]) -> InteractionEvent:
        """The event of a row.

        Raises:
            RejectedEvent: `contract`, naming the field.
        """
        values: dict[str, Any] = {"event_id": "-"}
        context: dict[str, Any] = {}
        for name, column, read in self._fields:
            cell = cells.get(column)
            if cell is None:
                continue
            try:
                value = read(cell)
            except (ValueError, TypeError, OverflowError, KeyError) as error:
                raise RejectedEvent(Reason.CONTRACT, name, f"cannot be read from {cell!r}") from error
            (context if name in CONTEXT_FIELDS else values)[name] = value
        if self._mapping.kind:
            values["kind"] = self._mapping.kind
        event = convert(InteractionEvent, {**values, "context": context})
        return event if values["event_id"] != "-" else self._identified(event)

    def _identified(self, event: InteractionEvent) -> InteractionEvent:
        """The event under the hash of what it says; rows that say the same are the same event."""
        content = f"{self._mapping.source}\0".encode() + encode(event)
        return msgspec.structs.replace(event, event_id=blake2b(content, digest_size=ID_BYTES).hexdigest())


def _cell_readers(unit: TimeUnit) -> dict[str, Callable[[Any], Any]]:
    texts = ("event_id", "visitor_id", "item_id", "kind", "user_id", "session_id", "slate_id", "device")
    return {
        **dict.fromkeys(texts, str),
        "occurred_at_ms": lambda cell: _milliseconds(cell, unit),
        "value": float,
        "position": _whole,
        "personalise": _truth,
        "categories": _categories,
        "price_micros": _whole,
        "utc_offset_min": _whole,
    }


def _milliseconds(cell: Any, unit: TimeUnit) -> int:
    """An instant from a number in `unit`, a datetime or ISO 8601 text; without a zone it is UTC."""
    if isinstance(cell, str):
        cell = _number_or_instant(cell.strip())
    if isinstance(cell, datetime):
        aware = cell if cell.tzinfo else cell.replace(tzinfo=UTC)
        return (aware - EPOCH) // timedelta(milliseconds=1)
    if isinstance(cell, int):
        return cell * MICROSECONDS[unit] // 1_000
    return int(cell * MICROSECONDS[unit]) // 1_000


def _number_or_instant(text: str) -> int | float | datetime:
    for read in (int, float, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise ValueError(text)


def _whole(cell: Any) -> int:
    number = int(cell)
    if not isinstance(cell, str) and number != cell:
        raise ValueError(cell)
    return number


def _truth(cell: Any) -> bool:
    return cell if isinstance(cell, bool) else TRUTHS[str(cell).lower()]


def _categories(cell: Any) -> tuple[str, ...]:
    """A list, or text with `|` between the names."""
    names = cell.split("|") if isinstance(cell, str) else cell
    return tuple(str(name) for name in names if name)
