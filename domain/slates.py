"""From a query to a slate: what is known of who asks, what may be shown, in which order, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from domain.experiments.assigned import UNTREATED, Treatment
from domain.filters import Filter
from domain.merge import Cells
from domain.policies import BucketPolicy, SessionPolicy
from domain.rules import NO_RULES, RulesInForce

UNWELCOME_KINDS: Final = frozenset({"dislike", "hide"})
"""Interactions that say "not this": the item counts as seen, and nothing is derived from it."""


class Source(StrEnum):
    """Who proposed an item."""

    SESSION = "session"  # the line-up, on what the visitor did
    TASTE = "taste"  # what the visitor liked over all sessions
    CONTENT = "content"  # items on which nobody has acted, like those of the session
    SIMILAR = "similar"
    CATEGORY = "category"  # popular in a category that the visitor named
    TRENDING = "trending"
    POPULAR = "popular"
    NEW = "new"
    PINNED = "pinned"  # by a rule, when nobody else proposed it


SOURCE_WEIGHTS: Final[Mapping[Source, float]] = {
    Source.SESSION: 1.0,
    Source.TASTE: 0.1,
    Source.CONTENT: 0.05,
    Source.SIMILAR: 0.1,
    Source.CATEGORY: 0.05,
    Source.TRENDING: 0.02,
    Source.POPULAR: 0.01,
    Source.NEW: 0.01,
    Source.PINNED: 0.0,
}
"""The line-up on the session decides; the others order what these do not know, and fill the rest of the slate."""


class Placement(StrEnum):
    """Where a slate is shown."""

    HOME = "home"
    ITEM = "item"
    CART = "cart"
    EMAIL = "email"


class Tier(StrEnum):
    """How much is done for an answer: the whole line-up, or its session-kNN alone in a fraction of the time."""

    FULL = "full"
    INSTANT = "instant"


class Degradation(StrEnum):
    """A rung of the ladder that an answer stands on because something is away, or has not moved for too long."""

    NO_SPEED_FEATURES = "no_speed_features"
    NO_HISTORY = "no_history"
    HISTORY_GAP = "history_gap"
    NO_MODEL = "no_model"
    STALE_MODEL = "stale_model"
    STALE_SPEED = "stale_speed"


MISSED_BUCKETS: Final = 2
"""Periods after its cutoff in which a model is current: one for the next bucket to fill, one to run and repeat."""


class Removal(StrEnum):
    """Why a candidate was left out."""

    EXCLUDED = "excluded"
    SHOWN_BEFORE = "shown_before"
    SEEN = "seen"
    DELETED = "deleted"
    HIDDEN = "hidden"
    OUT_OF_STOCK = "out_of_stock"
    AGE = "age"
    FILTERED = "filtered"
    RULE = "rule"
    RESTED = "rested"
    VARIANT = "variant"
    CATEGORY_CAP = "category_cap"
    BELOW_THE_CUT = "below_the_cut"


class Act(NamedTuple):
    """One thing that the visitor did."""

    item_id: str
    kind: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Visitor:
    """What is known of who asks. `session` is empty when the visitor has been idle beyond the session policy's gap."""

    session: tuple[Act, ...] = ()  # oldest first
    past: tuple[Act, ...] = ()  # the newest over all sessions, oldest first
    session_length: int = 0  # all visits of the session, of which `session` holds the newest
    cart: tuple[str, ...] = ()
    at_hand: tuple[Act, ...] = ()  # what stands where the slate will stand: the item of the page, those of the cart
    features_as_of_ms: int = 0
    covered_to_ms: int = 0

    @property
    def basis(self) -> tuple[Act, ...]:
        """What to recommend from, oldest first: the running session, else what the visitor did before; then what is
        at hand.
        """
        acts = (*(self.session or self.past), *self.at_hand)
        return tuple(act for act in acts if act.kind not in UNWELCOME_KINDS)

    @property
    def liked(self) -> tuple[str, ...]:
        """The items of all sessions, oldest first, each where it was last: what a taste is told by."""
        acts = (act for act in (*self.past, *self.session) if act.kind not in UNWELCOME_KINDS)
        newest = {act.item_id: act.at_ms for act in acts}
        return tuple(sorted(newest, key=newest.__getitem__))

    @property
    def seen(self) -> frozenset[str]:
        """Items that need not be shown again."""
        return frozenset(act.item_id for act in (*self.session, *self.past, *self.at_hand))


NOBODY: Final = Visitor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What we are asked; `visitor`, `treatment` and `degraded` are filled in on the way.

    `sources` are those that may propose. `at_hand` are items that stand where the slate will stand, `clicks` acts of
    the session, oldest first, that the stream may not have told yet. `shown_before` are checksums (`domain.cursors`).
    """

    visitor_id: str
    count: int
    asked_at_ms: int
    exclude: frozenset[str] = frozenset()
    shown_before: frozenset[int] = frozenset()
    category_cap: int | None = None
    filter: Filter | None = None
    rules: RulesInForce = NO_RULES
    placement: Placement = Placement.HOME
    tier: Tier = Tier.FULL
    sources: frozenset[Source] = frozenset(Source)
    at_hand: tuple[str, ...] = ()
    clicks: tuple[Act, ...] = ()
    age: int | None = None
    personalise: bool = True
    visitor: Visitor = NOBODY
    treatment: Treatment = UNTREATED
    degraded: tuple[Degradation, ...] = ()


@dataclass(slots=True, unsafe_hash=True)
class Candidate:
    """An item that may be shown. `score` is comparable within one source, and over all of them once fused.

    Nobody changes it. It is not frozen because a request makes hundreds, and a frozen one takes three times as long.

    `rule` is the rule of the shop that moved it, if one did.
    """

    item_id: str
    source: Source
    score: float
    rule: str = ""


@dataclass(slots=True, unsafe_hash=True)
class Removed:
    """A candidate that is not shown, and why; `rule` is the rule that hides it, if one does. Not frozen, as above."""

    candidate: Candidate
    why: Removal
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Filtered:
    """What a filter kept, in order, and what it removed."""

    kept: tuple[Candidate, ...]
    removed: tuple[Removed, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One place of a slate. `because` is the visitor's own act without which the item would score lower.

    `propensity` is the probability with which the item got this place, given the places before it.
    """

    candidate: Candidate
    because: Act | None = None
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Slate:
    """The ordered answer to one query. `policy` says by which rule it was made, so that rows are measured apart."""

    slate_id: str
    query: Query
    shown: tuple[Shown, ...]
    removed: tuple[Removed, ...]
    model_version: str
    policy: str = "session_first"


def recognise(session: Cells | None, profile: Cells, asked_at_ms: int, policy: SessionPolicy) -> Visitor:
    """The visitor behind a row of `visitor_session` and one of `visitor_profile`.

    A session that has been idle for longer than the policy's gap is over, whatever the store still holds.
    """
    running = session is not None and asked_at_ms - session["session_last_at_ms"] <= policy.gap_ms
    acts: tuple[Act, ...] = ()
    if session is not None and running:
        acts = _acts(session["session_items"], session["session_items_kinds"], session["session_items_at_ms"])
    return Visitor(
        session=acts,
        past=_acts(profile["seen_items_items"], profile["seen_items_kinds"], profile["seen_items_at_ms"]),
        session_length=session["session_length"] if session is not None and running else 0,
        cart=tuple(session["session_cart_items"]) if session is not None and running else (),
        features_as_of_ms=profile["as_of_ms"],
        covered_to_ms=profile["covered_to_ms"],
    )


def is_stale_model(cutoff_ms: int, asked_at_ms: int, policy: BucketPolicy, grace_ms: int) -> bool:
    """Whether a daily run is overdue: more than `MISSED_BUCKETS` could have been learnt from and were not."""
    return asked_at_ms - cutoff_ms > MISSED_BUCKETS * policy.period_ms + grace_ms


def fuse(candidates: Iterable[Candidate], weights: Mapping[Source, float] = SOURCE_WEIGHTS) -> tuple[Candidate, ...]:
    """One candidate an item, best first; equal scores are ordered by item.

    Each source's scores are divided by its best one and weighted; an item gets the sum of its parts, and the source of
    its largest part.
    """
    by_source: defaultdict[Source, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_source[candidate.source].append(candidate)
    totals: dict[str, float] = {}
    largest: dict[str, tuple[float, Source]] = {}
    for source in sorted(by_source, key=lambda each: -weights[each]):
        best = max(candidate.score for candidate in by_source[source])
        unit = weights[source] / best if best > 0 else 0.0
        for candidate in by_source[source]:
            part = candidate.score * unit
            totals[candidate.item_id] = totals.get(candidate.item_id, 0.0) + part
            if candidate.item_id not in largest or part > largest[candidate.item_id][0]:
                largest[candidate.item_id] = (part, source)
    ranked = sorted(totals.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(Candidate(item_id, largest[item_id][1], score) for item_id, score in ranked)


def choose(query: Query, ranked: Sequence[Candidate], categories_of: Callable[[str], Sequence[str]]) -> Filtered:
    """The best `count` candidates of which no category stands more often than the query's cap.

    An item of several categories counts in each of them; one without any is never capped. Pinned items come to their
    places whatever their scores; they count for the cap and are not held by it.
    """
    pins = {item_id: pin for item_id, pin in query.rules.pins.items() if pin.position < query.count}
    pinned = sorted((each for each in ranked if each.item_id in pins), key=lambda each: pins[each.item_id])
    removed = [Removed(each, Removal.BELOW_THE_CUT) for each in pinned[query.count :]]
    pinned = [replace(each, rule=pins[each.item_id].rule_id) for each in pinned[: query.count]]
    chosen: list[Candidate] = []
    taken = Counter(category for each in pinned for category in categories_of(each.item_id))
    for candidate in [each for each in ranked if each.item_id not in pins] if pins else ranked:
        if len(chosen) + len(pinned) == query.count:
            removed.append(Removed(candidate, Removal.BELOW_THE_CUT))
            continue
        if query.category_cap is not None:
            categories = categories_of(candidate.item_id)
            if any(taken[category] >= query.category_cap for category in categories):
                removed.append(Removed(candidate, Removal.CATEGORY_CAP))
                continue
            taken.update(categories)
        chosen.append(candidate)
    place = -1
    for each in pinned:
        place = max(place + 1, pins[each.item_id].position)
        chosen.insert(place, each)
    return Filtered(tuple(chosen), tuple(removed))


def _acts(items: Sequence[str], kinds: Sequence[str], at_ms: Sequence[int]) -> tuple[Act, ...]:
    return tuple(Act(*fields) for fields in zip(items, kinds, at_ms, strict=True))
