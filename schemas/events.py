"""The events: one definition each, read alike by the gateway, the stream and the archiver.

They are msgspec structs, because one type must be decoded in the Flink environment and in the web server, at
tens of thousands a second; the JSON Schemas in `schemas/json/` are generated from them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from schemas.errors import Reason, RejectedEvent
from schemas.strict import strict, text

Kind = Literal["view", "click", "play", "cart", "purchase", "rating", "like", "dislike", "hide"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

EVENT_BYTES_MAX: Final = 16 * 1024
"""An interaction, item or impression of more bytes is refused as `oversize`."""

UNKNOWN_CATEGORY: Final = "unknown"
CRITIC: Final = "critic"
"""The `context.source` of a rating by a critic."""

IDENTIFIER_MAX: Final = 128
INSTANT_MAX: Final = 32_503_680_000_000
CATEGORIES_MAX: Final = 16
PRICE_MICROS_MAX: Final = 10**15
UTC_OFFSET_MIN_MAX: Final = 840
WEIGHT_MIN: Final = 0.001
WEIGHT_MAX: Final = 10
VALUE_MAX: Final = 1e9
AGE_MAX: Final = 21
SHOWN_MAX: Final = 500
ASSIGNED_MAX: Final = 32
"""Bounds that the lake's rows are held against, too."""

Identifier = Annotated[str, text(IDENTIFIER_MAX)]
Label = Annotated[str, text(64)]
Instant = Annotated[int, Meta(ge=0, le=INSTANT_MAX, description="UTC epoch milliseconds")]
Attributes = Annotated[dict[Label, str | int | float | bool | None], Meta(max_length=32)]


class _Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all events share: immutable, named fields, nothing unknown, defaults left out on the wire."""


class InteractionContext(_Contract, frozen=True, kw_only=True):
    """Facts about the moment, stamped by the gateway, the importer or the producer: folds use nothing else."""

    categories: Annotated[tuple[Label, ...], Meta(max_length=CATEGORIES_MAX)] = ()
    price_micros: Annotated[int, Meta(ge=0, le=PRICE_MICROS_MAX)] | None = None
    utc_offset_min: Annotated[
        int,
        Meta(ge=-UTC_OFFSET_MIN_MAX, le=UTC_OFFSET_MIN_MAX, description="visitor's local time minus UTC, minutes"),
    ] = 0
    device: Label | None = None
    source: Annotated[Label, Meta(description="who speaks; `critic` marks a rating by a critic")] | None = None
    weight: (
        Annotated[float, Meta(ge=WEIGHT_MIN, le=WEIGHT_MAX, description="the weight of a critic's rating")] | None
    ) = None
    attributes: Attributes = {}


class InteractionEvent(_Contract, frozen=True, kw_only=True):
    """A visitor acted on an item.

    `event_id` makes delivery idempotent. `value` is a rating, a quantity, a price or watched milliseconds, by kind; its
    bound keeps the sum of a full bucket, in micros, within the 64 bits of every store.
    With `personalise` false the interaction counts for the item and never for the visitor.
    """

    event_id: Identifier
    visitor_id: Identifier
    item_id: Identifier
    kind: Kind
    occurred_at_ms: Instant
    user_id: Identifier | None = None
    session_id: Identifier | None = None
    value: Annotated[float, Meta(ge=-VALUE_MAX, le=VALUE_MAX)] | None = None
    slate_id: Identifier | None = None
    position: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    personalise: bool = True
    context: InteractionContext = InteractionContext()
    schema_version: Literal[1] = 1


class ItemEvent(_Contract, frozen=True, kw_only=True):
    """The catalogue's newest word on one item: an upsert, or a deletion when `deleted`.

    A `hidden` item is known and not shown, nor is one that is not `in_stock` or whose `age_min` (years) is above the
    age that a query names. Items with one `variant_of`, and the item that it names, count as one item. A `repeatable`
    one may come back in a later session after the visitor has acted on it.
    """

    item_id: Identifier
    title: Annotated[str, Meta(max_length=512)] = ""
    categories: Annotated[tuple[Label, ...], Meta(max_length=CATEGORIES_MAX)] = ()
    tags: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    price_micros: Annotated[int, Meta(ge=0, le=PRICE_MICROS_MAX)] | None = None
    published_at_ms: Instant | None = None
    attributes: Attributes = {}
    variant_of: Identifier | None = None
    age_min: Annotated[int, Meta(ge=0, le=AGE_MAX)] = 0
    in_stock: bool = True
    repeatable: bool = False
    hidden: bool = False
    deleted: bool = False
    schema_version: Literal[1] = 1


class AssignedArm(_Contract, frozen=True, kw_only=True):
    """The arm of one experiment that the visitor was in; `propensity` is the probability of that arm."""

    experiment: Label
    arm: Label
    propensity: Annotated[float, Meta(gt=0, le=1)]


class ImpressionEvent(_Contract, frozen=True, kw_only=True):
    """A slate was shown: `items` in shown order, `propensities` aligned with them.

    `assigned` names every experiment that the visitor is in; `arm` the first of them, for whoever knows one at most.
    """

    slate_id: Identifier
    visitor_id: Identifier
    items: Annotated[tuple[Identifier, ...], Meta(max_length=SHOWN_MAX)]
    shown_at_ms: Instant
    policy: Label
    arm: Label
    propensities: Annotated[tuple[Annotated[float, Meta(ge=0, le=1)], ...], Meta(max_length=500)]
    model_version: Annotated[str, Meta(max_length=128)]
    degraded: Annotated[tuple[Label, ...], Meta(max_length=16)] = ()
    assigned: Annotated[tuple[AssignedArm, ...], Meta(max_length=ASSIGNED_MAX)] = ()
    schema_version: Literal[1] = 1


class DeadLetter(_Contract, frozen=True, kw_only=True):
    """A refused record, whole: `raw_base64` is what stood on `topic` at (`partition`, `offset`).

    `key_base64` is its key, None when it had none.
    """

    reason: Reason
    detail: Annotated[str, Meta(max_length=1024)]
    topic: str
    partition: int
    offset: int
    received_at_ms: Instant
    raw_base64: str
    key_base64: str | None = None
    schema_version: Literal[1] = 1


Event = InteractionEvent | ItemEvent | ImpressionEvent
EventT = TypeVar("EventT", InteractionEvent, ItemEvent, ImpressionEvent, DeadLetter)

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (InteractionEvent, ItemEvent, ImpressionEvent, DeadLetter)
}
_STRICT: dict[type, msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(strict(kind)) for kind in _DECODERS}
_PATH = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")


def encode(event: _Contract) -> bytes:
    """JSON bytes of one event, defaults left out."""
    return _ENCODER.encode(event)


def decode(kind: type[EventT], raw: bytes | memoryview) -> EventT:
    """One event from its JSON bytes.

    Raises:
        RejectedEvent: `oversize`, `malformed` (not JSON) or `contract` (naming the field).
    """
    if len(raw) > EVENT_BYTES_MAX and kind is not DeadLetter:
        raise RejectedEvent(Reason.OVERSIZE, "", f"{len(raw)} bytes, at most {EVENT_BYTES_MAX}: send a smaller context")
    try:
        if b"\\" in bytes(raw):
            _STRICT[kind].decode(raw)
        event: EventT = _DECODERS[kind].decode(raw)
    except msgspec.ValidationError as error:
        raise rejection_of(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedEvent(Reason.MALFORMED, "", f"not JSON: {error}") from error
    return event


def decode_interaction(raw: bytes | memoryview) -> InteractionEvent:
    """`decode(InteractionEvent, raw)`: the hot path's spelling."""
    return decode(InteractionEvent, raw)


def convert(kind: type[EventT], value: object) -> EventT:
    """One event from already parsed JSON (for batches, where each event gets a verdict of its own).

    Raises:
        RejectedEvent: `contract`, naming the field.
    """
    try:
        msgspec.convert(value, strict(kind))
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise rejection_of(error) from error


def rejection_of(error: msgspec.ValidationError) -> RejectedEvent:
    """What msgspec found wrong, as a `contract` rejection that names the field."""
    text = str(error)
    path = _PATH.search(text)
    unknown = re.search(r"unknown field `([^`]*)`|required field `([^`]*)`", text)
    field = path.group(1) if path else ""
    if unknown:
        name = unknown.group(1) or unknown.group(2)
        field = f"{field}.{name}" if field else name
    return RejectedEvent(Reason.CONTRACT, field, text[: path.start()] if path else text)
