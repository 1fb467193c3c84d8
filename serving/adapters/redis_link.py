"""One connection to Redis that all requests of a process share.

Commands go out as they come, one behind the other, and answers come back in that order, so nobody waits for a free
connection and none has to be looked after. redis-py's asyncio client spends some ten times as long on a command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

import hiredis

CONNECT_LIMIT_S: Final = 2.0


class RedisLink:
    """Connects when it is first asked, and again when the connection has ended."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None

    async def ask(self, command: bytes) -> Any:
        """The answer to a packed command; asked once more when the connection ends meanwhile, for it may be an old one.

        Raises:
            OSError: Redis does not answer there.
            hiredis.ReplyError: it refuses the command.
            TimeoutError: the caller's deadline has passed. The connection is given up: what comes on it comes late.
        """
        try:
            return await self._ask(command)
        except ConnectionError:
            return await self._ask(command)

    async def close(self) -> None:
        """End the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.drop()

    async def _ask(self, command: bytes) -> Any:
        line = self._line
        if line is None or line.is_over:
            line = await self._connected()
        answer = line.send(command)
        try:
            reply = await answer
        except asyncio.CancelledError:
            if answer.cancelled():
                line.drop()
            raise
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    async def _connected(self) -> _Line:
        """A new connection, which all wait for who need one; it is not given up when one of them does not wait."""
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._note_connected)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Line:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            _, line = await asyncio.get_running_loop().create_connection(_Line, self._host, self._port)
        return line

    def _note_connected(self, done: asyncio.Task[_Line]) -> None:
        self._connecting = None
        if not done.cancelled() and done.exception() is None:
            self._line = done.result()


class _Line(asyncio.Protocol):
    """A connection, and who waits for an answer on it, in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.is_over = False

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Ask; raises ConnectionError when the connection has ended.

        What is asked within one step of the event loop goes out together: a system call costs more than a command.
        """
        if self.is_over or self._transport is None:
            raise ConnectionError("the connection has ended")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(answer)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)
        return answer

    def drop(self) -> None:
        """End it; who waits hears so."""
        if self._transport is not None:
            self._transport.abort()
        self._end(ConnectionError("the connection was given up"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(reply)
        except (hiredis.ProtocolError, IndexError):  # not Redis, or not what was asked
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionError(str(exc) if exc else "Redis has ended the connection"))

    def _flush(self) -> None:
        commands, self._unsent = self._unsent, []
        if not self.is_over and self._transport is not None:
            self._transport.write(b"".join(commands))

    def _end(self, error: ConnectionError) -> None:
        self.is_over = True
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)


def packed(parts: Sequence[bytes | str]) -> bytes:
    """A command as Redis reads it."""
    return b"*%d\r\n" % len(parts) + joined(parts)


def joined(parts: Sequence[bytes | str]) -> bytes:
    """Arguments of a command as Redis reads them, without their number."""
    encoded = (part.encode() if isinstance(part, str) else part for part in parts)
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded])
