"""Every visitor's sessions, a partition of visitors at a time: `domain.timeline.opens_session` over the whole log."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from batch.features.arrays import (
    Flags,
    Ints,
    Words,
    by_partition,
    codes_of,
    column_of,
    counts_of,
    ints_of,
    lists_of,
    starts_of,
)
from domain.policies import SessionPolicy

DISLIKES: Final = ("dislike", "hide")
"""Kinds that belong to a session but say nothing of what goes with its other items."""

VISITS: Final = ("visitor_id", "occurred_at_ms", "event_id", "item_id", "kind", "session_id", "value_micros")
SCHEMA: Final = (
    "visitor_id string, session bigint, started_at_ms bigint, ended_at_ms bigint, items array<string>, "
    "kinds array<string>, values_micros array<bigint>, moves array<boolean>"
)


def sessions_of(facts: DataFrame, policy: SessionPolicy) -> DataFrame:
    """[visitor_id, session, started_at_ms, ended_at_ms, items, kinds, values_micros, moves], oldest item first.

    `facts` are admitted facts, partitioned by visitor. An item that is repeated at once is taken once, and dislikes are
    left out, after the sessions have been cut: what a session is, does not depend on what is learnt from it. Sessions
    of one item are left out. `kinds` and `values_micros` are of every act, and `moves` says which of them begins the
    next of `items`.
    """
    visits = facts.where("personalise").select(*VISITS)
    return by_partition(visits, partial(_sessions, policy), SCHEMA)


def _sessions(policy: SessionPolicy, visits: pa.Table) -> pa.Table:
    """The sessions of visitors who have no visit anywhere else."""
    visitors = Words.of(column_of(visits, "visitor_id"))
    order = _in_order(visitors.places, visits)
    visitor, at_ms = visitors.places[order], ints_of(visits, "occurred_at_ms")[order]
    declared = column_of(visits, "session_id").take(pa.array(order))
    session: Ints = np.cumsum(_opens_session(policy, visitor, at_ms, declared))
    disliked = pc.is_in(column_of(visits, "kind"), pa.array(DISLIKES)).to_numpy(zero_copy_only=False)
    liked = np.flatnonzero(~disliked[order])
    items = Words.of(column_of(visits, "item_id").take(pa.array(order[liked])))
    moves = np.zeros(len(liked), np.bool_)
    moves[starts_of(session[liked], items.places)] = True
    starts = starts_of(session[liked])
    lengths = counts_of(starts, len(liked))
    several = np.add.reduceat(moves, starts, dtype=np.int64) > 1 if len(starts) else starts > 0
    first, last = liked[starts[several]], liked[(starts + lengths - 1)[several]]
    before = session[starts_of(visitor)][visitor[first]]  # visitors are numbered in their order
    act = np.flatnonzero(np.repeat(several, lengths))
    of_session = np.repeat(np.arange(len(first)), lengths[several])
    acts = visits.select(["kind", "value_micros"]).take(pa.array(order[liked[act]]))
    begins = moves[act]
    return pa.table(
        {
            "visitor_id": visitors.at(visitor[first]),
            "session": session[first] - before + 1,
            "started_at_ms": at_ms[first],
            "ended_at_ms": at_ms[last],
            "items": lists_of(of_session[begins], len(first), items.at(items.places[act][begins])),
            "kinds": lists_of(of_session, len(first), column_of(acts, "kind")),
            "values_micros": lists_of(of_session, len(first), column_of(acts, "value_micros")),
            "moves": lists_of(of_session, len(first), pa.array(begins)),
        }
    )


def _in_order(visitor: Ints, visits: pa.Table) -> Ints:
    """The order by visitor, instant, event, item, kind and value.

    Few visits share an instant with another one of their visitor, so no other words are compared.
    """
    at_ms = ints_of(visits, "occurred_at_ms")
    order = np.lexsort((at_ms, visitor))
    same = np.zeros(len(order) + 1, np.bool_)
    same[1:-1] = (np.diff(visitor[order]) == 0) & (np.diff(at_ms[order]) == 0)
    tied = order[same[1:] | same[:-1]]
    if not len(tied):
        return order
    places = np.zeros((3, len(order)), np.int64)
    for place, name in zip(places, ("kind", "item_id", "event_id"), strict=True):  # the last is looked at first
        place[tied] = Words.of(column_of(visits, name).take(pa.array(tied))).places
    return np.lexsort((ints_of(visits, "value_micros"), *places, at_ms, visitor))


def _opens_session(policy: SessionPolicy, visitor: Ints, at_ms: Ints, declared: pa.Array) -> Flags:
    """Which visits of each visitor, in their order, begin a session."""
    is_declared = pc.not_equal(declared, "").to_numpy(zero_copy_only=False)
    name = codes_of(declared)
    opens = np.ones(len(visitor), np.bool_)
    opens[1:] = (np.diff(visitor) != 0) | (np.diff(at_ms) > policy.gap_ms)
    opens[1:] |= is_declared[1:] & is_declared[:-1] & (np.diff(name) != 0)
    return opens
