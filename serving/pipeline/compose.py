"""Compose: choose the places of the slate and say why each item is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.slates import Act, Candidate, Query, Removed, Shown, Slate, Source, choose
from serving.pipeline.retrieve import Model


class Compose:
    """Turns scored candidates into a slate."""

    def __init__(
        self,
        model_of: Callable[[], Model | None],
        categories_of: Callable[[str], Sequence[str]],
        new_slate_id: Callable[[], str],
    ) -> None:
        self._model_of = model_of
        self._categories_of = categories_of
        self._new_slate_id = new_slate_id

    def __call__(self, query: Query, ranked: Sequence[Candidate], removed: tuple[Removed, ...]) -> Slate:
        """The slate; `removed` is passed through with what the caps and the cut added to it."""
        chosen = choose(query, ranked, self._categories_of)
        model = self._model_of()
        return Slate(
            slate_id=self._new_slate_id(),
            query=query,
            shown=_with_reasons(query, chosen.kept, model),
            removed=(*removed, *chosen.removed),
            model_version=model.version if model is not None else "",
        )


def _with_reasons(query: Query, chosen: tuple[Candidate, ...], model: Model | None) -> tuple[Shown, ...]:
    """Name the act behind each personal item: found by leaving the visitor's acts out in turn, not guessed."""
    basis = query.visitor.basis
    if model is None or not basis:
        return tuple(Shown(candidate) for candidate in chosen)
    newest: dict[str, Act] = {act.item_id: act for act in basis}
    neighbours = [candidate.item_id for candidate in chosen if candidate.source is Source.SESSION_KNN]
    cited = dict(zip(neighbours, model.because([act.item_id for act in basis], neighbours), strict=True))
    cited |= {each.item_id: basis[-1].item_id for each in chosen if each.source is Source.SIMILAR}
    return tuple(Shown(each, newest.get(cited.get(each.item_id) or "")) for each in chosen)
