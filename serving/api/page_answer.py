"""A page in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import msgspec

from domain.pages import RowKind
from domain.reasons import because_of
from serving.adapters.catalogue import Catalogue
from serving.adapters.impressions import arms_of
from serving.api import contract, shapes_page
from serving.api.answers import because_answer, item_answer
from serving.pipeline import page


@dataclass(frozen=True, slots=True)
class Words:
    """What a row is called, who proposes its items, and why they stand there."""

    title: str
    source: str
    reason: str


WORDS: Final[Mapping[RowKind, Words]] = {
    RowKind.CONTINUE: Words("Continue watching", "visitor", "you have begun it"),
    RowKind.BECAUSE: Words("Because of {title}", "similar", "goes with {title}"),
    RowKind.TOP_PICKS: Words("Top picks for you", "session", "suits what you did"),
    RowKind.TOP_TEN: Words("Top ten this week", "popular", "among what visitors took most this week"),
    RowKind.TRENDING: Words("Trending now", "trending", "above its usual level in the last hours"),
    RowKind.NEW: Words("New for you", "new", "published lately"),
}
FOR_NOBODY: Final = Words("Popular picks", "popular", "popular with everybody")
"""The top picks of a visitor of whom nothing is known."""


def page_answer(made: page.Page, catalogue: Catalogue, started: float) -> shapes_page.Page:
    """The page; `started` is the request's beginning by `perf_counter`."""
    visitor, first = made.query.visitor, made.rows[0].slate if made.rows else None
    return shapes_page.Page(
        rows=tuple(_row(each, catalogue) for each in made.rows),
        session=contract.SessionSummary(
            items=tuple(act.item_id for act in visitor.session), length=visitor.session_length
        ),
        features_as_of_ms=visitor.features_as_of_ms,
        covered_to_ms=visitor.covered_to_ms,
        model_version=made.model_version,
        experiments=arms_of(first) if first is not None else (),
        degraded=made.query.degraded,
        took_ms=round((perf_counter() - started) * 1000, 3),
    )


def _row(made: page.PageRow, catalogue: Catalogue) -> shapes_page.PageRow:
    row, is_known = made.row, bool(made.slate.query.visitor.basis)
    words = FOR_NOBODY if row.kind is RowKind.TOP_PICKS and not is_known else WORDS[row.kind]
    cited = {} if row.cited is None else {"title": _name(row.cited.item_id, catalogue), "kind": row.cited.kind}
    title = words.title.format(**cited)
    if row.cited is not None:
        because = because_of(row.cited, catalogue.title)
        title = because[0].upper() + because[1:]
    return shapes_page.PageRow(
        row=row.kind,
        slate_id=made.slate.slate_id,
        title_key=f"row.{row.kind}",
        title=title,
        title_values=cited,
        source=words.source,
        reason=words.reason.format(**cited),
        because=because_answer(row.cited, catalogue),
        value=round(row.value, 6),
        items=tuple(_item(made, place, catalogue) for place in range(len(made.slate.shown))),
    )


def _item(made: page.PageRow, place: int, catalogue: Catalogue) -> contract.SlateItem:
    """As in a slate; what is continued says so instead of what it goes with."""
    item = item_answer(made.slate.shown[place], catalogue)
    is_continued = made.row.kind is RowKind.CONTINUE
    return msgspec.structs.replace(item, reason=WORDS[RowKind.CONTINUE].reason) if is_continued else item


def _name(item_id: str, catalogue: Catalogue) -> str:
    return catalogue.title(item_id) or item_id
