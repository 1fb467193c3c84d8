"""A page: several rows for one visitor, from one look at what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from domain.pages import TOP, Row, RowDraft, RowKind, continued, continuing_worth, lay_out, reasons_to_go_on
from domain.rules import NO_RULES
from domain.slates import SOURCE_WEIGHTS, Act, Candidate, Query, Shown, Slate, Source
from domain.unwanted import Shelf, objection_to, remove_unwanted
from serving.pipeline.pipeline import Stages
from serving.pipeline.retrieve import Model
from serving.pipeline.trending import TrendWindow, WindowedTrends

BECAUSE_ROWS: Final = 2
LOOKED_AT: Final = 60
"""Items of each row but the top picks that are looked at, so that some are left when others are taken."""


class Display(Shelf, Protocol):
    """The catalogue, by when items were published."""

    def newest(self) -> Sequence[str]:
        """Items, the one published last first."""
        ...

    def categories(self, item_id: str) -> Sequence[str]:
        """An item's categories."""
        ...


@dataclass(frozen=True, slots=True)
class PageRow:
    """One row with the slate that it is: logged, clicked and measured by itself."""

    row: Row
    slate: Slate


@dataclass(frozen=True, slots=True)
class Page:
    """The rows, and what is known of who asked."""

    query: Query
    rows: tuple[PageRow, ...]
    model_version: str


@dataclass(frozen=True, slots=True)
class _List:
    """What may stand in a row, best first."""

    kind: RowKind
    candidates: Sequence[Candidate]
    cited: Act | None = None


class Pages:
    """Makes pages with the stages of the pipeline for the top picks, and a list for each other row."""

    def __init__(
        self,
        stages: Stages,
        model_of: Callable[[Query], Model | None],
        trends: WindowedTrends,
        display: Display,
        new_slate_id: Callable[[], str],
    ) -> None:
        self._stages = stages
        self._model_of = model_of
        self._trends = trends
        self._display = display
        self._new_slate_id = new_slate_id

    async def __call__(self, query: Query, kinds: Collection[RowKind]) -> Page:
        """A page of rows of these kinds, each with up to `query.count` items. It always answers, as a slate does."""
        stages = self._stages
        query = replace(query, degraded=(*query.degraded, *stages.footing(query.asked_at_ms)))
        query = await stages.hydrate(stages.govern(stages.treat(query)))
        model = self._model_of(query)
        proposed = stages.retrieve(query)
        ranked = stages.score(query, stages.filter(query, proposed).kept)
        lists = [each for each in self._lists(query, model) if each.kind in kinds]
        worth = {each.item_id: each.score for each in ranked}
        worth |= _worth_of_others(query, proposed, [one for each in lists for one in each.candidates], worth, model)
        drafts = [self._draft(query, each, worth) for each in lists]
        if RowKind.TOP_PICKS in kinds:
            drafts.append(RowDraft(RowKind.TOP_PICKS, ranked, worth, query))
        rows = lay_out(drafts, self._display.group_of, self._display.categories)
        version = model.version if model is not None else ""
        return Page(query, tuple(self._shown(query, row, model, version) for row in rows), version)

    def _lists(self, query: Query, model: Model | None) -> Iterator[_List]:
        """The list of each row but the top picks, without what must not be shown."""
        yield _List(RowKind.CONTINUE, self._continued(query))
        popular = model.popular(LOOKED_AT) if model is not None else []
        week = self._trends.within(TrendWindow.WEEK, LOOKED_AT)
        yield _List(RowKind.TOP_TEN, self._wanted(query, [*_of(Source.TRENDING, week), *_of(Source.POPULAR, popular)]))
        if model is not None:
            for act in reasons_to_go_on(query.visitor, BECAUSE_ROWS):
                near = _of(Source.SIMILAR, model.similar(act.item_id, LOOKED_AT))
                yield _List(RowKind.BECAUSE, self._wanted(query, near), act)
        now = self._trends.within(TrendWindow.NOW, LOOKED_AT)
        yield _List(RowKind.TRENDING, self._wanted(query, _of(Source.TRENDING, now)))
        yield _List(RowKind.NEW, self._new(query, model))

    def _draft(self, query: Query, each: _List, worth: Mapping[str, float]) -> RowDraft:
        """Rules that pin and caps are for the top picks; what is continued is worth by how long ago it was begun."""
        count = TOP if each.kind is RowKind.TOP_TEN else query.count
        plain = replace(query, count=count, rules=NO_RULES, category_cap=None)
        if each.kind is RowKind.CONTINUE:
            worth = {one.item_id: one.score for one in each.candidates}
        return RowDraft(each.kind, each.candidates, worth, plain, each.cited)

    def _continued(self, query: Query) -> list[Candidate]:
        return [
            Candidate(act.item_id, Source.SESSION, continuing_worth(act, query.asked_at_ms))
            for act in continued(query.visitor)
            if self._objection(query, act.item_id) is None and act.item_id not in query.exclude
        ]

    def _new(self, query: Query, model: Model | None) -> tuple[Candidate, ...]:
        """What was published last: first what suits the visitor's session by the model, then by its categories."""
        newest = [Candidate(item_id, Source.NEW, 0.0) for item_id in self._display.newest()[:LOOKED_AT]]
        kept = self._wanted(query, newest)
        basis = [act.item_id for act in query.visitor.basis]
        liked = {category for item_id in basis for category in self._display.categories(item_id)}
        scores = model.scores(basis, [one.item_id for one in kept]) if model is not None and basis else {}

        def suits(one: Candidate) -> tuple[float, int]:
            common = len(liked.intersection(self._display.categories(one.item_id)))
            return (-scores.get(one.item_id, 0.0), -common)

        ordered = sorted(kept, key=suits)  # stable: of equal ones the newer first
        return tuple(replace(one, score=1.0 - place / len(kept)) for place, one in enumerate(ordered))

    def _wanted(self, query: Query, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        return remove_unwanted(query, candidates, self._display).kept

    def _objection(self, query: Query, item_id: str) -> object:
        return objection_to(item_id, self._display.item(item_id), query.filter, query.rules, query.age)

    def _shown(self, query: Query, row: Row, model: Model | None, version: str) -> PageRow:
        shown = tuple(Shown(each, row.cited) for each in row.items)
        if row.kind is RowKind.TOP_PICKS and model is not None:
            shown = _with_reasons(query, row.items, model)
        own = replace(query, count=len(shown))
        return PageRow(row, Slate(self._new_slate_id(), own, shown, (), version, f"page:{row.kind}"))


def _of(source: Source, scored: Iterable[tuple[str, float]]) -> list[Candidate]:
    return [Candidate(item_id, source, score) for item_id, score in scored]


def _worth_of_others(
    query: Query,
    proposed: Iterable[Candidate],
    listed: Sequence[Candidate],
    known: Mapping[str, float],
    model: Model | None,
) -> dict[str, float]:
    """What items are worth that the top picks do not hold, on their scale: `domain.slates.fuse`."""
    others = [each for each in listed if each.item_id not in known]
    basis = [act.item_id for act in query.visitor.basis]
    scores: Mapping[str, float] = {}
    if model is not None and basis and others:
        scores = model.scores(basis, list(dict.fromkeys(each.item_id for each in others)))
    best_of_session = max((each.score for each in proposed if each.source is Source.SESSION), default=0.0)
    best: dict[Source, float] = {}
    for each in listed:
        best[each.source] = max(best.get(each.source, 0.0), each.score)
    worth: dict[str, float] = {}
    for each in others:
        by_source = SOURCE_WEIGHTS[each.source] * (each.score / best[each.source] if best[each.source] > 0 else 0.0)
        by_session = scores.get(each.item_id, 0.0) / best_of_session if best_of_session > 0 else 0.0
        worth[each.item_id] = max(worth.get(each.item_id, 0.0), by_source + SOURCE_WEIGHTS[Source.SESSION] * by_session)
    return worth


def _with_reasons(query: Query, items: Sequence[Candidate], model: Model) -> tuple[Shown, ...]:
    """Each item with the act that it owes most to, where the session decided."""
    basis = query.visitor.basis
    newest = {act.item_id: act for act in basis}
    personal = [each.item_id for each in items if each.source is Source.SESSION]
    cited = dict(zip(personal, model.because([act.item_id for act in basis], personal), strict=True))
    return tuple(Shown(each, newest.get(cited.get(each.item_id) or "")) for each in items)
