"""What is a filter, what is none, and what the sender is told."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.filters.errors import FilterError
from domain.filters.fields import CATEGORY, PRICE, TAGS, TITLE, Operator, attribute
from domain.filters.parser import COMPARISONS_MAX, DEPTH_MAX, VALUES_MAX, parse
from domain.filters.syntax import All, AnyOf, Comparison, Not, render

DRAMA = Comparison(CATEGORY, Operator.HAS, ("drama",))
CHEAP = Comparison(PRICE, Operator.LESS, (Decimal(20),))


def test_a_sentence_of_all_kinds_is_read_as_it_is_meant() -> None:
    assert parse('category in ("drama", "comedy") and price < 20 and not tags has "x"') == All(
        (
            Comparison(CATEGORY, Operator.IN, ("drama", "comedy")),
            CHEAP,
            Not(Comparison(TAGS, Operator.HAS, ("x",))),
        )
    )


def test_and_binds_closer_than_or_and_not_closer_than_both() -> None:
    free = Comparison(PRICE, Operator.EQUAL, (Decimal(0),))
    assert parse('not price = 0 and category has "drama" or price < 20') == AnyOf((All((Not(free), DRAMA)), CHEAP))


def test_parentheses_group() -> None:
    assert parse('(category has "drama" or price < 20) and price < 20') == All((AnyOf((DRAMA, CHEAP)), CHEAP))


@pytest.mark.parametrize("negated", ['title != "x"', 'not title = "x"', 'NOT title == "x"'])
def test_unequal_is_not_equal(negated: str) -> None:
    assert parse(negated) == Not(Comparison(TITLE, Operator.EQUAL, ("x",)))


def test_not_may_stand_before_in_and_has() -> None:
    assert parse('tags not in ("x")') == Not(Comparison(TAGS, Operator.IN, ("x",)))
    assert parse('category not has "drama"') == Not(DRAMA)


def test_texts_are_quoted_either_way_and_escaped() -> None:
    assert parse(r"""title in ("a \"b\" \\", 'it''s')""".replace("''", r"\'")) == Comparison(
        TITLE, Operator.IN, ('a "b" \\', "it's")
    )


def test_attributes_have_plain_and_quoted_names_and_hold_anything() -> None:
    assert parse("attributes.hd = true") == Comparison(attribute("hd"), Operator.EQUAL, (True,))
    odd = Comparison(attribute("screen size"), Operator.AT_LEAST, (Decimal("5.5"),))
    assert parse('attributes["screen size"] >= 5.5') == odd
    assert render(odd) == 'attributes["screen size"] >= 5.5'


@pytest.mark.parametrize(
    ("text", "position", "problem", "remedy"),
    [
        ("", 1, "nothing where a field", "use item_id"),
        ("categry = 1", 1, "no field 'categry'", "did you mean `category`?"),
        ("colour = 1", 1, "no field 'colour'", "attributes.NAME"),
        ('category = "drama"', 10, "holds several texts", 'write category has "a"'),
        ('title has "x"', 7, "holds a text", 'write title = "a"'),
        ("title < 3", 7, "holds a text", "ask it with `=`, `in` or `exists`"),
        ('price < "20"', 9, "needs a number", "without quotes"),
        ('price = "20"', 9, "needs a number", "without quotes"),
        ('attributes.x > "a"', 16, "needs a number", "without quotes"),
        ("tags has x", 10, "'x' where a value", 'in quotes: "x"'),
        ("tags has 3", 10, "holds several texts", 'in quotes: "3"'),
        ("price < ", 9, "nothing where a value", "write 20"),
        ("price", 6, "nothing after price", "ask it with"),
        ("price 20", 7, "'20' after price", "ask it with"),
        ("price not < 20", 11, "'<' after price", "ask it with"),
        ('tags in "x"', 9, "'x' where '(' should be", 'tags in ("a", "b")'),
        ('tags in ("x"', 13, "nothing where ')' should be", "close the parenthesis"),
        ("(price < 20", 12, "nothing where ')' should be", "close the parenthesis"),
        ("price < 20 price > 3", 12, "after the end of a comparison", "join with `and` or `or`"),
        ("price < 20 && price > 3", 12, "'&' begins nothing", "write `and`"),
        ('title = "x', 9, "begins nothing", "end the text"),
        ("attributes = 1", 12, "'=' where '.' should be", 'attributes["name"]'),
        ("and price < 3", 1, "'and' where a field", "use item_id"),
        (f"price < {'9' * 19}", 9, "more than 18 digits", "round"),
        (f'title = "{"x" * 513}"', 9, "513 characters", "shorten"),
        (f'title = "{"x" * 2_000}"', 2_001, "at most 2000", "shorter"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_a_remedy(text: str, position: int, problem: str, remedy: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.position == position
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_the_deepest_tree_passes_and_one_level_more_does_not() -> None:
    parse("not " * (DEPTH_MAX - 1) + "price < 20")
    for opening, closing in (("not ", ""), ("(", ")")):
        with pytest.raises(FilterError, match="levels"):
            parse(opening * DEPTH_MAX + "price < 20" + closing * DEPTH_MAX)


def test_the_most_comparisons_pass_and_one_more_does_not() -> None:
    parse(" or ".join(["price < 20"] * COMPARISONS_MAX))
    with pytest.raises(FilterError, match="comparisons"):
        parse(" or ".join(["price < 20"] * (COMPARISONS_MAX + 1)))


def test_the_most_values_pass_and_one_more_does_not() -> None:
    parse(f"price in ({','.join('1' * VALUES_MAX)})")
    with pytest.raises(FilterError, match="values"):
        parse(f"price in ({','.join('1' * (VALUES_MAX + 1))})")
