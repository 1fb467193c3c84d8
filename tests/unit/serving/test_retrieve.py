"""Which sources are asked, for how many, and who judges what they propose."""

from __future__ import annotations

from domain.slates import Act, Query, Source, Visitor
from serving.pipeline.retrieve import NEW_QUOTA, TASTE_QUOTA, Retrieve
from tests.builders import START_MS
from tests.unit.serving.fakes import FakeModel, FakeTrends

HISTORY = tuple(Act(f"old{number}", "view", START_MS + number) for number in range(5))
SESSION = (Act("a", "view", START_MS + 9),)


def proposed(model: FakeModel, visitor: Visitor, sources: frozenset[Source] = frozenset(Source)) -> dict[str, set[str]]:
    query = Query(visitor_id="v", count=10, asked_at_ms=START_MS, visitor=visitor, sources=sources)
    found: dict[str, set[str]] = {}
    for each in Retrieve(lambda _: model, FakeTrends(["hot"]))(query):
        found.setdefault(each.source, set()).add(each.item_id)
    return found


def test_each_source_that_knows_the_visitor_has_a_quota_however_much_the_line_up_proposes() -> None:
    many = [f"near{number}" for number in range(300)]
    model = FakeModel({"a": many}, new=[f"n{at}" for at in range(50)], liked=[f"l{at}" for at in range(50)])
    found = proposed(model, Visitor(session=SESSION, past=HISTORY))
    assert len(found[Source.CONTENT]) == NEW_QUOTA
    assert len(found[Source.TASTE]) == TASTE_QUOTA
    assert Source.TRENDING not in found


def test_the_line_up_judges_what_is_to_somebodys_taste() -> None:
    model = FakeModel({"a": ["b"], "b": ["a"], "old1": ["c"]}, liked=["a", "old2", "b", "x", "y"])
    found = proposed(model, Visitor(session=SESSION, past=(*HISTORY, *SESSION)))
    assert found[Source.SESSION] == {"b"}
    assert found[Source.TASTE] == {"x", "y"}
    known = FakeModel({"a": ["b"]}, best=["x"], liked=["x"])
    known.scores = lambda item_ids, candidates: {"x": 0.7}  # type: ignore[method-assign]
    found = proposed(known, Visitor(session=SESSION, past=HISTORY))
    assert found[Source.SESSION] == {"b", "x"}
    assert found[Source.TASTE] == {"x"}


def test_a_taste_needs_a_history_and_new_items_something_to_be_like() -> None:
    model = FakeModel({"a": ["b"]}, new=["n"], liked=["x"])
    assert Source.TASTE not in proposed(model, Visitor(session=SESSION, past=HISTORY[:3]))
    assert proposed(model, Visitor()) == {Source.TRENDING: {"hot"}}


def test_a_source_that_may_not_propose_is_not_asked() -> None:
    model = FakeModel({"a": ["b"]}, new=["n"], liked=["x"])
    allowed = frozenset({Source.TASTE, Source.POPULAR})
    assert proposed(model, Visitor(session=SESSION, past=HISTORY), allowed) == {Source.TASTE: {"x"}}
