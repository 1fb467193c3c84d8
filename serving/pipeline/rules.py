"""Rules: which of the shop's rules hold for a query, and what they make of its candidates' scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from domain.rules import NO_RULES, RuleBook
from domain.slates import Candidate, Query
from domain.unwanted import ItemOf

Score = Callable[[Query, tuple[Candidate, ...]], tuple[Candidate, ...]]


class Govern:
    """Puts the rules in force into a query, unless it brings its own."""

    def __init__(self, book_of: Callable[[], RuleBook]) -> None:
        self._book_of = book_of

    def __call__(self, query: Query) -> Query:
        """The query with the rules of its placement and instant."""
        if query.rules is not NO_RULES:
            return query
        return replace(query, rules=self._book_of().in_force(query.placement, query.asked_at_ms))


class Boosted:
    """A score, and on top of it the boosts."""

    def __init__(self, score: Score, item_of: ItemOf) -> None:
        self._score = score
        self._item_of = item_of

    def __call__(self, query: Query, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """The candidates by their new scores, best first; each that was moved names the rule that moved it most."""
        ranked = self._score(query, candidates)
        if not query.rules.moves:
            return ranked
        return tuple(
            sorted((self._boosted(query, each) for each in ranked), key=lambda each: (-each.score, each.item_id))
        )

    def _boosted(self, query: Query, candidate: Candidate) -> Candidate:
        verdict = query.rules.verdict(candidate.item_id, self._item_of(candidate.item_id))
        if not verdict.boosted_by:
            return candidate
        return replace(candidate, score=candidate.score * verdict.factor, rule=verdict.boosted_by)
