"""The shared connection: answers in order, one that is late or lost, and a Redis that says no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest
import uvloop

from serving.adapters.redis_link import RedisLink, packed

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GET = packed(["GET", b"a"])


@asynccontextmanager
async def redis_that(acts: Script) -> AsyncIterator[RedisLink]:
    """A link to a server that acts so on each connection."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await acts(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(act, "127.0.0.1", 0)
    link = RedisLink("127.0.0.1", server.sockets[0].getsockname()[1])
    yield link
    await link.close()
    server.close()
    await asyncio.sleep(0.02)


async def asked(reader: asyncio.StreamReader) -> None:
    await reader.readexactly(len(GET))


def test_a_command_is_packed_as_redis_reads_it() -> None:
    assert packed(["GET", b"a\r"]) == b"*2\r\n$3\r\nGET\r\n$2\r\na\r\r\n"


async def test_answers_come_in_the_order_of_the_questions_whatever_the_pieces() -> None:
    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await asked(reader)
        for piece in (b"$1\r\n", b"a\r\n$1\r\nb\r\n*2\r\n$-1\r", b"\n:7\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        await asked(reader)

    async with redis_that(in_pieces) as link:
        found = await asyncio.gather(*(link.ask(GET) for _ in range(3)))
        assert found == [b"a", b"b", [None, 7]]


async def test_a_connection_that_has_died_is_made_anew_and_the_question_asked_again() -> None:
    connections = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await asked(reader)
        writer.write(b"$1\r\n%d\r\n" % connections)

    async with redis_that(once) as link:
        assert [await link.ask(GET) for _ in range(3)] == [b"1", b"2", b"3"]


async def test_one_that_ends_every_connection_is_an_error_and_not_tried_for_ever() -> None:
    connections = 0

    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await asked(reader)

    async with redis_that(end) as link:
        with pytest.raises(ConnectionError):
            await link.ask(GET)
    assert connections == 2


async def test_a_late_answer_is_nobodys() -> None:
    connections = 0

    async def first_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        name = b"late" if connections == 1 else b"soon"
        while True:
            await asked(reader)
            await asyncio.sleep(0.05 if name == b"late" else 0)
            writer.write(b"$4\r\n%b\r\n" % name)

    async with redis_that(first_late) as link:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await link.ask(GET)
        assert await link.ask(GET) == b"soon"


async def test_who_waits_behind_a_late_answer_asks_again_elsewhere() -> None:
    connections = 0

    async def first_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while connections > 1:
            await asked(reader)
            writer.write(b"$1\r\na\r\n")
        await reader.read()

    async with redis_that(first_silent) as link:
        impatient = asyncio.create_task(asyncio.wait_for(link.ask(GET), 0.03))
        patient = asyncio.create_task(link.ask(GET))
        with pytest.raises(TimeoutError):
            await impatient
        assert await asyncio.wait_for(patient, 2) == b"a"


async def test_a_refusal_is_raised_and_the_connection_kept() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
        await asked(reader)
        writer.write(b"$1\r\na\r\n")
        await reader.read()

    async with redis_that(refuse) as link:
        with pytest.raises(hiredis.ReplyError, match="LOADING"):
            await link.ask(GET)
        assert await link.ask(GET) == b"a"


async def test_what_is_not_redis_is_an_error() -> None:
    async def talk_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with redis_that(talk_http) as link:
        with pytest.raises(ConnectionError):
            await link.ask(GET)


async def test_nobody_there_is_an_error_at_once() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    link = RedisLink("127.0.0.1", port)
    with pytest.raises(OSError, match="onnect"):
        await link.ask(GET)
    await link.close()


@pytest.mark.parametrize(
    "scenario",
    [
        test_answers_come_in_the_order_of_the_questions_whatever_the_pieces,
        test_a_connection_that_has_died_is_made_anew_and_the_question_asked_again,
        test_one_that_ends_every_connection_is_an_error_and_not_tried_for_ever,
        test_a_late_answer_is_nobodys,
        test_who_waits_behind_a_late_answer_asks_again_elsewhere,
        test_a_refusal_is_raised_and_the_connection_kept,
        test_nobody_there_is_an_error_at_once,
    ],
)
def test_it_holds_on_the_servers_loop_too(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """uvloop's transports and order of events are its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
