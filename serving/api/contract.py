"""What is asked and answered over HTTP: one type each, from which OpenAPI is generated."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from domain.cursors import CURSOR_MAX
from domain.explanations import Stage
from domain.filters.lexer import TEXT_MAX
from domain.placements import COUNT_MAX
from domain.slates import Degradation, Placement, Removal, Source
from schemas.events import AGE_MAX, AssignedArm, Identifier, Instant, Kind
from schemas.rules import RuleEvent, RuleId, RuleTerms
from serving.adapters.gateway import Verdict
from serving.pipeline.rank import RankedBy

CLICKS_MAX: Final = 50
RANKED_MAX: Final = 500
AT_HAND_MAX: Final = 50

Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Age = Annotated[int, Meta(ge=0, le=AGE_MAX, description="years of the youngest who looks on")]
FilterText = Annotated[
    str,
    Meta(min_length=1, max_length=TEXT_MAX, description="what items must fulfil, in the filter language: docs/api.md"),
]


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What all answers share."""


class Click(_Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An act of the running session that may not have arrived yet. Send the event as well: this one is not kept.

    With the event's own `occurred_at_ms` it is known again when that has arrived; without `at_ms` it is one of now.
    """

    item_id: Identifier
    kind: Kind = "click"
    at_ms: Instant | None = None


class RecommendationsRequest(_Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for a slate, and where it will stand.

    `placement` decides which sources are asked, and `count` and `category_cap` unless they are given. `context_items`
    stand there already: the item of an item page (needed there), the items of a cart (what the visitor put there in
    this session unless given). `cursor` is `next_cursor` of the page before: no page repeats an item of another. With
    `personalise` false nothing that is known of the visitor is used.
    """

    visitor_id: Identifier
    placement: Placement = Placement.HOME
    count: Count | None = None
    context_items: Annotated[tuple[Identifier, ...], Meta(max_length=AT_HAND_MAX)] = ()
    clicks: Annotated[tuple[Click, ...], Meta(max_length=CLICKS_MAX)] = ()
    filter: FilterText | None = None
    age: Age | None = None
    exclude: Annotated[tuple[Identifier, ...], Meta(max_length=1_000)] = ()
    cursor: Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)] | None = None
    category_cap: Count | None = None
    explain: bool = False
    personalise: bool = True


class RankRequest(_Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for an order of `items`, such as the results of a search; the rest is as in a query for a slate."""

    visitor_id: Identifier
    items: Annotated[tuple[Identifier, ...], Meta(min_length=1, max_length=RANKED_MAX)]
    context_items: Annotated[tuple[Identifier, ...], Meta(max_length=AT_HAND_MAX)] = ()
    clicks: Annotated[tuple[Click, ...], Meta(max_length=CLICKS_MAX)] = ()
    explain: bool = False
    personalise: bool = True


class Because(_Shape, frozen=True, kw_only=True):
    """The visitor's own act behind an item: without it the item would score lower."""

    item_id: str
    title: str
    kind: str
    at_ms: int


class SlateItem(_Shape, frozen=True, kw_only=True):
    """One place of a slate. `rule` is the rule of the shop that moved the item, null when none did; `propensity` is
    below 1 where an experiment draws the item by lot.
    """

    item_id: str
    title: str
    categories: tuple[str, ...]
    score: float
    source: Source
    reason: str
    because: Because | None = None
    rule: str | None = None
    propensity: float = 1.0


class RemovedItem(_Shape, frozen=True, kw_only=True):
    """A candidate that is not shown, and why; `rule` is the rule of the shop that hides it."""

    item_id: str
    source: Source
    why: Removal
    rule: str | None = None


class SessionSummary(_Shape, frozen=True, kw_only=True):
    """The running session: its newest items, oldest first, and all its visits counted. Empty when it is over."""

    items: tuple[str, ...]
    length: int


class Slate(_Shape, frozen=True, kw_only=True):
    """The answer to `POST /v1/recommendations`.

    `features_as_of_ms` is the newest fact that the answer knows of the visitor, `covered_to_ms` the cutoff of the batch
    layer. `experiments` are those that the visitor is in, `degraded` names what the answer had to do without. `removed`
    is null unless `explain` was asked for, `next_cursor` where no page follows: fewer items were left than asked for,
    or 1,000 have been shown.
    """

    slate_id: str
    placement: Placement
    items: tuple[SlateItem, ...]
    session: SessionSummary
    features_as_of_ms: int
    covered_to_ms: int
    model_version: str
    experiments: tuple[AssignedArm, ...]
    degraded: tuple[Degradation, ...]
    took_ms: float
    next_cursor: str | None = None
    removed: tuple[RemovedItem, ...] | None = None


class RankedItem(_Shape, frozen=True, kw_only=True):
    """One of the given items. `is_known` is false where neither the catalogue nor the model has heard of it.

    `ranked_by`: the session decided (then by `score`), else popularity; `nothing` says of a known item that neither
    could. In this order they stand. `because` is null unless `explain` was asked for.
    """

    item_id: str
    title: str
    ranked_by: RankedBy
    is_known: bool
    score: float
    because: Because | None = None


class RankedItems(_Shape, frozen=True, kw_only=True):
    """The answer to `POST /v1/rank`: each different item once; the rest as in a slate."""

    items: tuple[RankedItem, ...]
    session: SessionSummary
    features_as_of_ms: int
    covered_to_ms: int
    model_version: str
    degraded: tuple[Degradation, ...]
    took_ms: float


class Explanation(_Shape, frozen=True, kw_only=True):
    """The answer to `GET /v1/explain`: the item is shown at `position` (from 0), or was dropped at `stage`.

    `why` is the reason of the stage that dropped it, null at `retrieve`: there no source proposed it. `detail` says it
    in words.
    """

    item_id: str
    title: str
    is_shown: bool
    stage: Stage
    detail: str
    position: int | None
    source: Source | None
    score: float | None
    why: Removal | None
    rule: str | None
    because: Because | None
    model_version: str
    degraded: tuple[Degradation, ...]


class Rules(_Shape, frozen=True, kw_only=True):
    """The answer to `GET /v1/rules`."""

    rules: tuple[RuleEvent, ...]
    rules_max: int


class PreviewRequest(_Shape, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule to try on the slate of a query; in the place of the stored one of the same name, if there is one."""

    rule: RuleTerms
    query: RecommendationsRequest
    rule_id: RuleId = "preview"


class Preview(_Shape, frozen=True, kw_only=True):
    """The answer to `POST /v1/rules/preview`: the slate without and with the rule, and which candidates it hides.

    `holds_now` is false where the rule would change nothing yet: other placements, another time, not enabled.
    """

    replaces_version: int | None
    holds_now: bool
    before: tuple[SlateItem, ...]
    after: tuple[SlateItem, ...]
    hidden: tuple[str, ...]


class ItemList(_Shape, frozen=True, kw_only=True):
    """The answer to `/v1/similar` and `/v1/trending`."""

    items: tuple[SlateItem, ...]
    model_version: str
    degraded: tuple[Degradation, ...]


class Verdicts(_Shape, frozen=True, kw_only=True):
    """The answer to `POST /v1/events` and `POST /v1/items`: one verdict an event, in their order.

    `received_at_ms` is Kafka's newest timestamp: an answer with `features_as_of_ms` at or past it knows these events.
    """

    accepted: int
    rejected: int
    spooled: int
    received_at_ms: int
    verdicts: tuple[Verdict, ...]


class VisitorFeatures(_Shape, frozen=True, kw_only=True):
    """What is known of a visitor: the rows as the stores have them, and their merge.

    `unknown_items` are those of its acts that the catalogue does not know.
    """

    visitor_id: str
    session: dict[str, Any] | None
    session_is_current: bool
    recent: dict[str, Any] | None
    history: dict[str, Any] | None
    profile: dict[str, Any]
    features_as_of_ms: int
    covered_to_ms: int
    age_ms: int | None
    now_ms: int
    titles: dict[str, str]
    unknown_items: tuple[str, ...]
    degraded: tuple[Degradation, ...]


class Readiness(_Shape, frozen=True, kw_only=True):
    """What this server can use right now. It is ready when it can answer, on whatever rung."""

    ready: bool
    checks: dict[str, str]


class Health(_Shape, frozen=True, kw_only=True):
    """The process is alive."""

    status: Literal["alive"] = "alive"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 has it.

    `field` is the field of the request that is wrong, and where that is a filter `position` the first wrong character,
    counted from 1, and `remedy` what to write instead. `verdicts` when some events of the request were judged all the
    same.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str = ""
    reason: str = ""
    position: int | None = None
    remedy: str = ""
    verdicts: tuple[Verdict, ...] = ()
