"""A visitor's newest visits, and the session that is derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import msgspec

from domain.facts import Fact
from domain.policies import SessionPolicy, TimelinePolicy


class Visit(msgspec.Struct, frozen=True, order=True, array_like=True):
    """One interaction on the timeline. Ordered by instant, then event id; the other fields only break impossible ties.

    `session_id` is the session that the producer declared, empty when it declared none.
    """

    occurred_at_ms: int
    event_id: str
    item_id: str
    kind: str
    categories: tuple[str, ...] = ()
    session_id: str = ""


def to_visit(fact: Fact) -> Visit:
    """The visit of an admitted interaction."""
    return Visit(fact.occurred_at_ms, fact.event_id, fact.item_id, fact.kind, fact.categories, fact.session_id)


def opens_session(earlier: Visit, later: Visit, policy: SessionPolicy) -> bool:
    """Whether `later` starts a new session: a gap above the policy's, or a change of the declared session."""
    if later.occurred_at_ms - earlier.occurred_at_ms > policy.gap_ms:
        return True
    return bool(earlier.session_id and later.session_id and earlier.session_id != later.session_id)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A visitor's newest visits in event order: a bounded join-semilattice.

    `merge` is commutative, associative and idempotent, so arrival order and redelivery do not matter.
    """

    visits: tuple[Visit, ...] = ()

    def merge(self, other: Timeline, policy: TimelinePolicy) -> Timeline:
        """The newest visits of both, within the policy's count and horizon."""
        return Timeline(_bounded(sorted({*self.visits, *other.visits}), policy))

    def add(self, visit: Visit, policy: TimelinePolicy) -> Timeline:
        """`merge` with a timeline of one visit; the usual case, a newest visit, does not sort."""
        if self.visits and visit <= self.visits[-1]:
            return self.merge(Timeline((visit,)), policy)
        return Timeline(_bounded([*self.visits, visit], policy))

    def current_session(self, policy: SessionPolicy) -> tuple[Visit, ...]:
        """The last run of visits in which no step opens a new session, oldest first."""
        start = 0
        for index, (earlier, later) in enumerate(pairwise(self.visits), start=1):
            if opens_session(earlier, later, policy):
                start = index
        return self.visits[start:]

    def is_late(self, visit: Visit, policy: TimelinePolicy) -> bool:
        """Whether a visit is beyond the horizon of this timeline: counted in its bucket, absent from here."""
        return bool(self.visits) and visit.occurred_at_ms < self.visits[-1].occurred_at_ms - policy.horizon_ms


def _bounded(visits: list[Visit], policy: TimelinePolicy) -> tuple[Visit, ...]:
    if not visits:
        return ()
    oldest_kept_at_ms = visits[-1].occurred_at_ms - policy.horizon_ms
    first = max(len(visits) - policy.visits_max, 0)
    while visits[first].occurred_at_ms < oldest_kept_at_ms:
        first += 1
    return tuple(visits[first:])
