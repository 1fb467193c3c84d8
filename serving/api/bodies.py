"""Request bodies in and answers out, by msgspec: bounded, typed, and several times as quick as the framework's."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from fastapi import Request, Response

from schemas.errors import Reason, RejectedEvent
from schemas.events import rejection_of
from serving.api.errors import BodyTooLarge

EVENTS_MAX: Final = 1_000
EVENT_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
QUERY_BODY_BYTES_MAX: Final = 256 * 1024

Shape = TypeVar("Shape")
_ENCODER = msgspec.json.Encoder()


class _Events(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


class _Items(msgspec.Struct, forbid_unknown_fields=True):
    items: list[msgspec.Raw]


_BARE = msgspec.json.Decoder(list[msgspec.Raw])
_WRAPPED: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "events": msgspec.json.Decoder(_Events),
    "items": msgspec.json.Decoder(_Items),
}


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The body. Raises BodyTooLarge as soon as it is, without reading on."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > bytes_max:
        raise BodyTooLarge(f"{declared} bytes, at most {bytes_max}")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > bytes_max:
            raise BodyTooLarge(f"over {bytes_max} bytes")
    return bytes(body)


def decode_body(decoder: msgspec.json.Decoder[Shape], body: bytes) -> Shape:
    """The body as its type. Raises RejectedEvent naming the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise rejection_of(error) from error
    except RecursionError as error:
        raise RejectedEvent(Reason.MALFORMED, "", "nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedEvent(Reason.MALFORMED, "", f"not JSON: {error}") from error


def split_events(body: bytes, name: str) -> list[msgspec.Raw]:
    """The events of a JSON array, or of an object that has the array under `name`; each still encoded.

    Raises:
        RejectedEvent: the body is neither.
        BodyTooLarge: more than `EVENTS_MAX` events.
    """
    if body.lstrip()[:1] == b"{":
        raws: list[msgspec.Raw] = getattr(decode_body(_WRAPPED[name], body), name)
    else:
        raws = decode_body(_BARE, body)
    if len(raws) > EVENTS_MAX:
        raise BodyTooLarge(f"{len(raws)} {name}, at most {EVENTS_MAX}")
    return raws


def answer(shape: msgspec.Struct, status: int = 200) -> Response:
    """The answer as JSON."""
    return Response(_ENCODER.encode(shape), status, media_type="application/json")
