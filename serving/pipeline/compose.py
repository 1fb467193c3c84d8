"""Compose: choose the places of the slate and say why each item is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from domain.experiments.exploration import draw_by_lot
from domain.slates import Act, Candidate, Filtered, Query, Removed, Shown, Slate, Source, choose
from serving.pipeline.retrieve import Model


class Compose:
    """Turns scored candidates into a slate."""

    def __init__(
        self,
        model_of: Callable[[Query], Model | None],
        categories_of: Callable[[str], Sequence[str]],
        new_slate_id: Callable[[], str],
    ) -> None:
        self._model_of = model_of
        self._categories_of = categories_of
        self._new_slate_id = new_slate_id

    def __call__(self, query: Query, ranked: Sequence[Candidate], removed: tuple[Removed, ...]) -> Slate:
        """The slate; `removed` is passed through with what the caps and the cut added to it."""
        slate_id, model = self._new_slate_id(), self._model_of(query)
        chosen, propensities = self._chosen(query, ranked, slate_id)
        shown = _with_reasons(query, chosen.kept, model)
        return Slate(
            slate_id=slate_id,
            query=query,
            shown=shown if propensities is None else _with_propensities(shown, propensities),
            removed=(*removed, *chosen.removed),
            model_version=model.version if model is not None else "",
        )

    def _chosen(
        self, query: Query, ranked: Sequence[Candidate], slate_id: str
    ) -> tuple[Filtered, tuple[float, ...] | None]:
        """The items, and where an arm explores, how probable each place was; the lot is the slate's, so it is known."""
        chosen = choose(query, ranked, self._categories_of)
        if query.treatment.explore is None:
            return chosen, None
        drawn = draw_by_lot(query, chosen, query.treatment.explore, self._categories_of, Random(slate_id))
        return drawn.chosen, drawn.propensities


def _with_propensities(shown: Sequence[Shown], propensities: Sequence[float]) -> tuple[Shown, ...]:
    return tuple(replace(each, propensity=chance) for each, chance in zip(shown, propensities, strict=True))


def _with_reasons(query: Query, chosen: tuple[Candidate, ...], model: Model | None) -> tuple[Shown, ...]:
    """Name the act behind each personal item: found by leaving the visitor's acts out in turn, not guessed."""
    basis = query.visitor.basis
    if model is None or not basis:
        return tuple(Shown(candidate) for candidate in chosen)
    newest: dict[str, Act] = {act.item_id: act for act in basis}
    personal = [candidate.item_id for candidate in chosen if candidate.source is Source.SESSION]
    cited = dict(zip(personal, model.because([act.item_id for act in basis], personal), strict=True))
    cited |= {each.item_id: basis[-1].item_id for each in chosen if each.source is Source.SIMILAR}
    return tuple(Shown(each, newest.get(cited.get(each.item_id) or "")) for each in chosen)
