"""Treat: what the arms of a visitor's experiments change, before anything else is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from domain.experiments.assigned import Treatment
from domain.new_items import with_new_items
from domain.newcomers import weights_for
from domain.slates import Candidate, Query, fuse


class Treat:
    """Puts a visitor's treatment into the query. One that must not be personal is in no experiment."""

    def __init__(self, assign: Callable[[str], Treatment]) -> None:
        self._assign = assign

    def __call__(self, query: Query) -> Query:
        """The query with its treatment. An arm's cap takes the place of any other."""
        if not query.personalise:
            return query
        treatment = self._assign(query.visitor_id)
        if not treatment.arms:
            return query
        cap = query.category_cap if treatment.category_cap is None else treatment.category_cap
        return replace(query, treatment=treatment, category_cap=cap)


def score(query: Query, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The candidates fused by the weights of their sources, where arms have not put others, with new items between."""
    weights, usual = query.treatment.weights, weights_for(query)
    if not weights:
        return with_new_items(fuse(candidates, usual))
    weighted = {source: weights.get(source, weight) for source, weight in usual.items()}
    return with_new_items(fuse(candidates, weighted))
