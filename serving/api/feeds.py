"""A body of any length as lines: read piece by piece, and never held as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import Request

from schemas.events import EVENT_BYTES_MAX
from serving.api.errors import BodyTooLarge

FEED_BYTES_MAX: Final = 4 * 1024**3
FEED_LINES_MAX: Final = 2_000_000
SILENCE_MAX_S: Final = 30.0
"""How long a sender may pause."""


async def lines_of(request: Request) -> AsyncIterator[bytes]:
    """The lines, without their ends. Of one that is longer than an event may be, as much as tells that.

    Raises:
        BodyTooLarge: more bytes or lines than a feed may have.
        TimeoutError: the sender has paused for too long.
    """
    line = bytearray()
    bytes_count = lines_count = 0
    async for piece in _pieces(request):
        bytes_count += len(piece)
        first, *others = piece.split(b"\n")
        _append(line, first)
        for other in others:
            lines_count += 1
            yield bytes(line)
            line.clear()
            _append(line, other)
        if bytes_count > FEED_BYTES_MAX or lines_count > FEED_LINES_MAX:
            raise BodyTooLarge(f"over {FEED_LINES_MAX} lines or {FEED_BYTES_MAX} bytes")
    if line:
        yield bytes(line)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE_MAX_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        yield piece


def _append(line: bytearray, piece: bytes) -> None:
    line += piece[: EVENT_BYTES_MAX + 1 - len(line)]
