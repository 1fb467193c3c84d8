"""What is asked and answered about a page."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from domain.pages import RowKind
from domain.slates import Degradation
from schemas.events import AssignedArm, Identifier
from serving.api.contract import CLICKS_MAX, Age, Because, Click, Count, FilterText, SessionSummary, SlateItem

ROWS_MAX: Final = len(RowKind)
ITEMS_OF_ROW: Final = 12


class PageRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for a page of these `rows` (all kinds unless given), of up to `count` items each; a top ten has ten.

    The rest is as in a query for a slate, of the placement `home`.
    """

    visitor_id: Identifier
    rows: Annotated[tuple[RowKind, ...], Meta(min_length=1, max_length=ROWS_MAX)] = tuple(RowKind)
    count: Count = ITEMS_OF_ROW
    clicks: Annotated[tuple[Click, ...], Meta(max_length=CLICKS_MAX)] = ()
    filter: FilterText | None = None
    age: Age | None = None
    exclude: Annotated[tuple[Identifier, ...], Meta(max_length=1_000)] = ()
    category_cap: Count | None = None
    personalise: bool = True


class PageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row. `title` is English; for another language translate `title_key` and fill in `title_values`.

    `source` says who proposed the items, `because` is the act that the whole row follows from, `value` what the row is
    worth: the sum of what its items are worth to this visitor, discounted by their places. An interaction that names
    `slate_id` counts for this row.
    """

    row: RowKind
    slate_id: str
    title_key: str
    title: str
    title_values: dict[str, str]
    source: str
    reason: str
    because: Because | None
    value: float
    items: tuple[SlateItem, ...]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `POST /v1/page`: the rows by their value; no item, and no variant of one, stands in two of them."""

    rows: tuple[PageRow, ...]
    session: SessionSummary
    features_as_of_ms: int
    covered_to_ms: int
    model_version: str
    experiments: tuple[AssignedArm, ...]
    degraded: tuple[Degradation, ...]
    took_ms: float
