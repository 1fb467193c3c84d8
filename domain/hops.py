"""What an item learns of an admitted interaction."""

from __future__ import annotations

import msgspec

from domain.facts import Fact, Stamp


class Hop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fact on its way from its visitor to its item: all that an item's folds use of it, and its stamp.

    Its fields are named as those of `Fact` and `Stamp`, so that folds take it for a fact. One that would read a field
    that is not here fails in the tests of `ItemState`, which fold every item feature from hops.
    """

    partition: int
    offset: int
    received_at_ms: int
    occurred_at_ms: int
    visitor_id: str
    kind: str
    value_micros: int
    critic_milli: int


def to_hop(fact: Fact, stamp: Stamp) -> Hop:
    """The hop of a fact; which item it is about stands beside it."""
    return Hop(
        stamp.partition,
        stamp.offset,
        fact.received_at_ms,
        fact.occurred_at_ms,
        fact.visitor_id,
        fact.kind,
        fact.value_micros,
        fact.critic_milli,
    )
