"""Newcomers: of who has hardly done anything, what everybody takes says more than it does of others.

One click is little for a model to go on from. Beside it popularity counts five times as much as usual, which gains much
where all like the same, and costs little where they do not (docs/quality.md, New visitors). Where something stands
already, on an item page or in a cart, what goes with that is wanted, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from domain.onboarding import named_category
from domain.slates import SOURCE_WEIGHTS, UNWELCOME_KINDS, Placement, Query, Source

ACTS_MAX: Final = 3
"""Different items that a newcomer has acted on, at most; the categories that they named do not count."""

LOOKED_AT_MAX: Final = 30
"""Acts, of a newcomer at most, so that nobody else's are looked at one by one."""

WEIGHTS: Final[Mapping[Source, float]] = {**SOURCE_WEIGHTS, Source.POPULAR: 0.05, Source.CATEGORY: 0.025}


def is_newcomer(query: Query) -> bool:
    """Whether so little is known of who asks, and that is something, that popularity should count."""
    acts = (*query.visitor.past, *query.visitor.session)
    if not acts or len(acts) > LOOKED_AT_MAX or query.placement not in (Placement.HOME, Placement.EMAIL):
        return False
    items = {act.item_id for act in acts if act.kind not in UNWELCOME_KINDS}
    return sum(named_category(item_id) is None for item_id in items) <= ACTS_MAX


def weights_for(query: Query) -> Mapping[Source, float]:
    """What the sources weigh for who asks."""
    return WEIGHTS if is_newcomer(query) else SOURCE_WEIGHTS
