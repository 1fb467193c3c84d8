"""What is summed, and by which key: names that the Python fold and the Spark plan both resolve."""

from __future__ import annotations

from typing import Literal, assert_never

from domain.facts import Fact

Quantity = Literal["one", "value_micros"]
Key = Literal["kind", "category", "local_hour"]


def quantity_of(quantity: Quantity, fact: Fact) -> int:
    """The integer that a fact adds."""
    match quantity:
        case "one":
            return 1
        case "value_micros":
            return fact.value_micros
        case _:
            assert_never(quantity)


def keys_of(key: Key, fact: Fact) -> tuple[str, ...]:
    """The keys under which a fact is counted; one that names several categories counts once under each."""
    match key:
        case "kind":
            return (fact.kind,)
        case "category":
            return tuple(dict.fromkeys(fact.categories))
        case "local_hour":
            return (f"{fact.local_hour:02d}",)
        case _:
            assert_never(key)
