"""Rules of the shop: what stands on the topic `rules`, one record a rule."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from schemas.errors import Reason, RejectedEvent
from schemas.events import Identifier, Instant, rejection_of

RULE_ID_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
RULE_ITEMS_MAX: Final = 100
RULE_BYTES_MAX: Final = 64 * 1024
POSITION_MAX: Final = 99

Action = Literal["pin", "boost", "hide", "filter"]
PlacementName = Literal["home", "item", "cart", "email"]
RuleId = Annotated[str, Meta(pattern=RULE_ID_PATTERN)]


class RuleTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a rule says.

    `pin`: `items` stand at `position` (from 0) and the places after it. `boost`: the scores of `items`, or of what
    fulfils `where`, are multiplied by `factor`; below 1 they sink. `hide`: `items`, or what fulfils `where`, are not
    shown. `filter`: nothing is shown but what fulfils `where`. A rule holds in all `placements` unless some are named,
    from `starts_at_ms` up to `ends_at_ms` where these are given, and only while it is `enabled`.
    """

    action: Action
    items: Annotated[tuple[Identifier, ...], Meta(max_length=RULE_ITEMS_MAX)] = ()
    where: Annotated[str, Meta(min_length=1, max_length=2_000, description="in the filter language")] | None = None
    position: Annotated[int, Meta(ge=0, le=POSITION_MAX)] | None = None
    factor: Annotated[float, Meta(ge=0.01, le=100)] | None = None
    placements: Annotated[tuple[PlacementName, ...], Meta(max_length=len(get_args(PlacementName)))] = ()
    starts_at_ms: Instant | None = None
    ends_at_ms: Instant | None = None
    enabled: bool = True
    note: Annotated[str, Meta(max_length=256)] = ""


class RuleEvent(RuleTerms, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule as it is stored. Each change of its terms makes a new, greater `version`: when it was made, unless two
    changes were made at once.
    """

    rule_id: RuleId
    version: Instant
    schema_version: Literal[1] = 1


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(RuleEvent)


def encode_rule(rule: RuleEvent) -> bytes:
    """JSON bytes of one rule, defaults left out."""
    return _ENCODER.encode(rule)


def decode_rule(raw: bytes) -> RuleEvent:
    """One rule from its JSON bytes. Raises RejectedEvent: `oversize`, `malformed` or `contract` (naming the field)."""
    if len(raw) > RULE_BYTES_MAX:
        raise RejectedEvent(Reason.OVERSIZE, "", f"{len(raw)} bytes, at most {RULE_BYTES_MAX}")
    try:
        return _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        raise rejection_of(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedEvent(Reason.MALFORMED, "", f"not JSON: {error}") from error
