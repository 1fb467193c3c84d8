"""Places drawn by lot: as often as was said, with the propensity that was said, and within the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from domain.experiments.assigned import Exploration
from domain.experiments.exploration import POOL_MAX, Drawn, draw_by_lot
from domain.slates import Candidate, Query, Source, choose
from tests.builders import START_MS


def drawn(seed: str, exploration: Exploration, *, items: int = 12, count: int = 5, cap: int | None = None) -> Drawn:
    query = Query(visitor_id="ada", count=count, asked_at_ms=START_MS, category_cap=cap)
    ranked = [Candidate(f"i{number:02}", Source.POPULAR, float(-number)) for number in range(items)]
    chosen = choose(query, ranked, categories_of)
    return draw_by_lot(query, chosen, exploration, categories_of, Random(seed))


def categories_of(item_id: str) -> Sequence[str]:
    return ["even" if int(item_id[1:]) % 2 == 0 else "odd"]


def items(found: Drawn) -> list[str]:
    return [candidate.item_id for candidate in found.chosen.kept]


def test_only_the_last_places_are_drawn() -> None:
    for number in range(100):
        found = drawn(str(number), Exploration(2, 0.5))
        assert items(found)[:3] == ["i00", "i01", "i02"]
        assert found.propensities[:3] == (1.0, 1.0, 1.0)
        assert len(set(items(found))) == 5


def test_the_propensity_of_a_place_is_how_often_it_gets_the_item() -> None:
    counts, told = Counter[str](), dict[str, float]()
    for number in range(4_000):
        found = drawn(str(number), Exploration(1, 0.5), items=7)
        counts[items(found)[-1]] += 1
        told[items(found)[-1]] = found.propensities[-1]
    assert told == pytest.approx({"i04": 0.5 + 0.5 / 3, "i05": 0.5 / 3, "i06": 0.5 / 3})
    for item, propensity in told.items():
        assert counts[item] / 4_000 == pytest.approx(propensity, abs=0.03)


def test_two_places_are_drawn_one_after_the_other() -> None:
    counts, told = Counter[tuple[str, ...]](), dict[tuple[str, ...], float]()
    for number in range(4_000):
        found = drawn(str(number), Exploration(2, 0.5), items=6)
        pair = tuple(items(found)[-2:])
        counts[pair] += 1
        told[pair] = found.propensities[-2] * found.propensities[-1]
    assert sum(told.values()) == pytest.approx(1.0)
    for pair, propensity in told.items():
        assert counts[pair] / 4_000 == pytest.approx(propensity, abs=0.03)


def test_what_lost_its_place_is_reported_and_nothing_is_lost() -> None:
    for number in range(50):
        found = drawn(str(number), Exploration(3, 0.5))
        left = [each.candidate.item_id for each in found.chosen.removed]
        assert sorted(items(found) + left) == [f"i{each:02}" for each in range(12)]


def test_a_draw_keeps_to_the_cap_of_the_categories() -> None:
    seen = set()
    for number in range(200):
        found = drawn(str(number), Exploration(2, 0.5), count=4, cap=2)
        seen.add(items(found)[-1])
        assert Counter(categories_of(item)[0] for item in items(found)) == {"even": 2, "odd": 2}
    assert len(seen) > 2


def test_without_anything_to_draw_from_the_slate_stays() -> None:
    found = drawn("1", Exploration(3, 0.5), items=4)
    assert (items(found), found.propensities) == (["i00", "i01", "i02", "i03"], (1.0,) * 4)


def test_only_the_next_best_are_drawn_and_the_same_lot_draws_the_same() -> None:
    last = {items(drawn(str(number), Exploration(1, 0.5), items=200))[-1] for number in range(150)}
    assert max(last) <= f"i{4 + POOL_MAX:02}"
    assert drawn("7", Exploration(2, 0.5)) == drawn("7", Exploration(2, 0.5))
