"""Filters: every tree survives its text, no text does more than fail, and an obviously right evaluation agrees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.filters import FilterError, parse, predicate_of
from domain.filters.fields import FIELDS, OPERATORS, ORDERING, Field, FieldType, Operator, attribute
from domain.filters.syntax import All, AnyOf, Comparison, Expression, Not, render
from schemas.events import ItemEvent

names = st.text(min_size=1, max_size=5)
few_texts = st.sampled_from(["a", "b", 'say "c"', "d\\", "é\n"])
few_numbers = st.sampled_from([Decimal(n) for n in ("0", "1", "-1", "1.5", "2.000001", "0.1")])
fields = st.sampled_from(sorted(set(FIELDS.values()), key=lambda field: field.name)) | st.builds(
    attribute, names | st.sampled_from(["x", "screen size"])
)


def values(field: Field, operator: Operator) -> st.SearchStrategy[Any]:
    if field.type is FieldType.NUMBER or operator in ORDERING:
        return few_numbers
    return few_texts | few_numbers | st.booleans() if field.type is FieldType.ANY else few_texts


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    field = draw(fields)
    operator = draw(st.sampled_from(OPERATORS[field.type]))
    size = {Operator.EXISTS: 0, Operator.IN: draw(st.integers(1, 3))}.get(operator, 1)
    return Comparison(field, operator, tuple(draw(values(field, operator)) for _ in range(size)))


expressions: st.SearchStrategy[Expression] = st.recursive(
    comparisons(),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
held = few_texts | st.sampled_from([0, 1, -1, 1.5, 0.1]) | st.booleans() | st.none()
items = st.builds(
    ItemEvent,
    item_id=few_texts,
    title=few_texts | st.just(""),
    categories=st.lists(few_texts, max_size=2).map(tuple),
    tags=st.lists(few_texts, max_size=2).map(tuple),
    price_micros=st.none() | st.sampled_from([0, 1_000_000, 1_500_000, 2_000_001]),
    published_at_ms=st.none() | st.sampled_from([0, 1]),
    attributes=st.dictionaries(names | st.sampled_from(["x", "screen size"]), held, max_size=3),
)


@given(expressions)
def test_a_tree_survives_its_text(expression: Expression) -> None:
    assert parse(render(expression)) == expression


@given(expressions, items)
def test_evaluation_is_what_an_obviously_right_one_says(expression: Expression, item: ItemEvent) -> None:
    assert predicate_of(expression)(item) == holds(expression, item)


words = st.sampled_from(
    [*FIELDS, "attributes", ".", "[", "]", "and", "or", "not", "in", "(", ")", ",", "=", "<", "has"]
)
scraps = st.lists(words | few_texts.map(repr) | st.sampled_from(['"a"', "1", "true", "exists"]), max_size=12)


@given(st.text(max_size=60) | scraps.map(" ".join))
def test_a_text_is_a_filter_or_is_refused_with_its_place_and_a_remedy(text: str) -> None:
    outcome = outcome_of(text)
    if isinstance(outcome, FilterError):
        assert 1 <= outcome.position <= len(text) + 1
        assert outcome.problem
        assert outcome.remedy
    else:
        assert parse(render(outcome)) == outcome


def outcome_of(text: str) -> Expression | FilterError:
    try:
        return parse(text)
    except FilterError as error:
        return error


def holds(expression: Expression, item: ItemEvent) -> bool:
    """What the language's words mean, without a thought of speed."""
    match expression:
        case Not(term):
            return not holds(term, item)
        case All(terms):
            return all(holds(term, item) for term in terms)
        case AnyOf(terms):
            return any(holds(term, item) for term in terms)
        case Comparison(field, operator, values):
            return any(fulfils(one, operator, values) for one in facts(field, item))


def facts(field: Field, item: ItemEvent) -> list[Any]:
    """All that the item says under the field: numbers as decimals."""
    if field.attribute:
        said: list[Any] = [item.attributes.get(field.attribute)]
    else:
        price = None if item.price_micros is None else Decimal(item.price_micros) / 10**6
        of_name: dict[str, list[Any]] = {
            "item_id": [item.item_id],
            "title": [item.title or None],
            "category": list(item.categories),
            "tags": list(item.tags),
            "price": [price],
            "published_at_ms": [item.published_at_ms],
        }
        said = of_name[field.name]
    numbers = [Decimal(str(one)) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in said]
    return [one for one in numbers if one is not None]


def fulfils(one: Any, operator: Operator, values: tuple[Any, ...]) -> bool:
    alike = [value for value in values if type(value) is type(one)]
    match operator:
        case Operator.EXISTS:
            return True
        case Operator.EQUAL | Operator.IN | Operator.HAS:
            return one in alike
        case Operator.LESS:
            return any(one < value for value in alike)
        case Operator.AT_MOST:
            return any(one <= value for value in alike)
        case Operator.MORE:
            return any(one > value for value in alike)
        case Operator.AT_LEAST:
            return any(one >= value for value in alike)
