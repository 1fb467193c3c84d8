"""From what the pipeline found to what is answered over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Final

from domain import slates
from domain.cursors import cursor_after
from domain.explanations import WORDS, Explained
from domain.reasons import reason_of
from domain.slates import Act, Candidate, Shown
from serving.adapters.catalogue import Catalogue
from serving.adapters.impressions import arms_of
from serving.api import contract, shapes_search
from serving.api.services import Services
from serving.pipeline.rank import Ranked, RankedBy, Ranking
from serving.pipeline.search import Found

REMOVED_SHOWN_MAX: Final = 200


def slate_answer(slate: slates.Slate, catalogue: Catalogue, explain: bool, started: float) -> contract.Slate:
    """The slate; `started` is the request's beginning by `perf_counter`."""
    visitor = slate.query.visitor
    removed = None
    if explain:
        removed = tuple(
            contract.RemovedItem(
                item_id=each.candidate.item_id, source=each.candidate.source, why=each.why, rule=each.rule or None
            )
            for each in slate.removed[:REMOVED_SHOWN_MAX]
        )
    return contract.Slate(
        slate_id=slate.slate_id,
        placement=slate.query.placement,
        items=tuple(item_answer(shown, catalogue) for shown in slate.shown),
        session=_session(visitor),
        features_as_of_ms=visitor.features_as_of_ms,
        covered_to_ms=visitor.covered_to_ms,
        model_version=slate.model_version,
        experiments=arms_of(slate),
        degraded=slate.query.degraded,
        took_ms=round((perf_counter() - started) * 1000, 3),
        next_cursor=_next_cursor(slate, catalogue),
        removed=removed,
    )


def ranking_answer(ranking: Ranking, catalogue: Catalogue, started: float) -> contract.RankedItems:
    """The given items in order."""
    visitor = ranking.query.visitor
    return contract.RankedItems(
        items=tuple(_ranked_answer(place, catalogue) for place in ranking.places),
        session=_session(visitor),
        features_as_of_ms=visitor.features_as_of_ms,
        covered_to_ms=visitor.covered_to_ms,
        model_version=ranking.model_version,
        degraded=ranking.query.degraded,
        took_ms=round((perf_counter() - started) * 1000, 3),
    )


def found_answer(found: Found, catalogue: Catalogue, started: float) -> shapes_search.FoundItems:
    """What a search found."""
    ranking = found.ranking
    return shapes_search.FoundItems(
        items=tuple(
            shapes_search.FoundItem(
                item_id=place.item_id,
                title=catalogue.title(place.item_id),
                categories=catalogue.categories(place.item_id),
                ranked_by=place.by,
                score=round(place.score, 6),
            )
            for place in found.places
        ),
        total=found.total,
        features_as_of_ms=ranking.query.visitor.features_as_of_ms,
        model_version=ranking.model_version,
        degraded=ranking.query.degraded,
        took_ms=round((perf_counter() - started) * 1000, 3),
    )


def explanation_answer(slate: slates.Slate, item_id: str, fate: Explained, services: Services) -> contract.Explanation:
    """What became of one item on its way to the slate, in words, too."""
    catalogue, model = services.catalogue, services.model_of()
    removed, shown = fate.removed, fate.shown
    candidate = shown.candidate if shown else removed.candidate if removed else None
    if shown is not None:
        words = reason_of(shown, catalogue.title)
    elif removed is not None:
        words = WORDS[removed.why]
    elif catalogue.item(item_id) is None and (model is None or not model.knows(item_id)):
        words = "neither the catalogue nor the model has heard of it"
    else:
        words = "none of the sources that were asked proposed it"
    return contract.Explanation(
        item_id=item_id,
        title=catalogue.title(item_id),
        is_shown=shown is not None,
        stage=fate.stage,
        detail=words,
        position=fate.position,
        source=candidate.source if candidate else None,
        score=round(candidate.score, 6) if candidate else None,
        why=removed.why if removed else None,
        rule=(removed.rule if removed else candidate.rule if candidate else "") or None,
        because=because_answer(shown.because if shown else None, catalogue),
        model_version=slate.model_version,
        degraded=slate.query.degraded,
    )


def list_answer(found: Iterable[Candidate], services: Services) -> contract.ItemList:
    """A list for everybody."""
    model = services.model_of()
    return contract.ItemList(
        items=tuple(item_answer(Shown(candidate), services.catalogue) for candidate in found),
        model_version=model.version if model else "",
        degraded=services.footing.rungs(services.now_ms()),
    )


def item_answer(shown: Shown, catalogue: Catalogue) -> contract.SlateItem:
    """One place, with its reason."""
    candidate = shown.candidate
    return contract.SlateItem(
        item_id=candidate.item_id,
        title=catalogue.title(candidate.item_id),
        categories=catalogue.categories(candidate.item_id),
        score=round(candidate.score, 6),
        source=candidate.source,
        reason=reason_of(shown, catalogue.title),
        because=because_answer(shown.because, catalogue),
        rule=candidate.rule or None,
        propensity=shown.propensity,
    )


def because_answer(act: Act | None, catalogue: Catalogue) -> contract.Because | None:
    """The act that is cited."""
    if act is None:
        return None
    return contract.Because(item_id=act.item_id, title=catalogue.title(act.item_id), kind=act.kind, at_ms=act.at_ms)


def _ranked_answer(place: Ranked, catalogue: Catalogue) -> contract.RankedItem:
    return contract.RankedItem(
        item_id=place.item_id,
        title=catalogue.title(place.item_id),
        ranked_by=place.by,
        is_known=place.by is not RankedBy.UNKNOWN,
        score=round(place.score, 6),
        because=because_answer(place.because, catalogue),
    )


def _session(visitor: slates.Visitor) -> contract.SessionSummary:
    return contract.SessionSummary(items=tuple(act.item_id for act in visitor.session), length=visitor.session_length)


def _next_cursor(slate: slates.Slate, catalogue: Catalogue) -> str | None:
    if len(slate.shown) < slate.query.count:
        return None
    shown = (catalogue.group_of(each.candidate.item_id) for each in slate.shown)
    return cursor_after(slate.query.shown_before, shown)
