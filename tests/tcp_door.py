"""A door to a real server on this machine: it can be shut, and it can keep answers waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 64 * 1024


class Door:
    """Passes on what comes to `port`. While `delay_s` is set every answer waits so long."""

    def __init__(self, port_behind: int) -> None:
        self._port_behind = port_behind
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0
        self.port = 0

    async def open(self) -> None:
        """Let connections in, always at the same port."""
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """End all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        writers = [writer]
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._port_behind)
            writers.append(behind_writer)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(reader, behind_writer, is_answer=False))
                ways.create_task(self._pass(behind_reader, writer, is_answer=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._passing.discard(task)
            for each in writers:
                each.close()
                with suppress(OSError):
                    await each.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while piece := await reader.read(PIECE_BYTES):
            if is_answer and self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError("one side has closed")


@asynccontextmanager
async def door_to(port: int) -> AsyncIterator[Door]:
    """An open door to this port."""
    door = Door(port)
    await door.open()
    try:
        yield door
    finally:
        await door.shut()
