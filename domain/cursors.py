"""Cursors: what a visitor has been shown on the pages before, small enough to travel with the next query.

A cursor holds a 32-bit checksum of each item, so a later page never repeats one. It may leave out an item that has the
checksum of another: one in four million at the longest cursor.
"""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Final
from zlib import crc32

from schemas.errors import ContractError

SHOWN_MAX: Final = 1_000
"""Items over all pages of one cursor."""

CURSOR_MAX: Final = 5_335
"""Characters of the longest cursor."""

_FORM: Final = b"\x01"


class CursorError(ContractError):
    """What was sent as a cursor is none of ours."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}: send `next_cursor` of the page before as it was, or none for the first page")


def checksum(item_id: str) -> int:
    """What a cursor knows of an item."""
    return crc32(item_id.encode())


def cursor_after(shown_before: frozenset[int], shown: Iterable[str]) -> str | None:
    """The cursor for the page after these items, None when it would be too long."""
    known = sorted(shown_before | {checksum(item_id) for item_id in shown})
    if len(known) > SHOWN_MAX:
        return None
    return urlsafe_b64encode(_FORM + struct.pack(f"<{len(known)}I", *known)).decode().rstrip("=")


def shown_before(cursor: str) -> frozenset[int]:
    """The checksums of what was shown. Raises CursorError."""
    if len(cursor) > CURSOR_MAX:
        raise CursorError(f"{len(cursor)} characters, at most {CURSOR_MAX}")
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (Base64Error, UnicodeEncodeError, ValueError) as error:
        raise CursorError("no base64") from error
    if raw[:1] != _FORM or len(raw) % 4 != 1:
        raise CursorError("no cursor")
    return frozenset(struct.unpack(f"<{len(raw) // 4}I", raw[1:]))
