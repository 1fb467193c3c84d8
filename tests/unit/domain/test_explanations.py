"""Every way of leaving a slate has a stage and words."""

from __future__ import annotations

import pytest

from domain.explanations import STAGES, WORDS, Stage, explain
from domain.slates import Candidate, Query, Removal, Removed, Shown, Slate, Source

KNN = Candidate("a", Source.SESSION, 1.0)
SLATE = Slate(
    "s1",
    Query(visitor_id="ada", count=1, asked_at_ms=0),
    (Shown(KNN),),
    (Removed(Candidate("b", Source.POPULAR, 1.0), Removal.BELOW_THE_CUT),),
    "m1",
)


@pytest.mark.parametrize("why", list(Removal))
def test_every_removal_has_a_stage_and_words(why: Removal) -> None:
    assert STAGES[why]
    assert WORDS[why]


def test_an_item_is_shown_removed_or_was_never_proposed() -> None:
    assert explain(SLATE, "a").position == 0
    assert explain(SLATE, "b").stage is Stage.COMPOSE
    assert explain(SLATE, "c").stage is Stage.RETRIEVE
