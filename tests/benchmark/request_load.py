"""Requests on a fixed schedule, whether or not the server keeps up, from a process of its own.

The kernel's timer wakes the client at the instants of the schedule, and a latency is from the instant at which the
request should have been sent: an answer that is late makes those behind it late as well, instead of making the client
ask less. Every connection is kept and has one request at a time; what finds none free waits, and its time runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec
import uvloop

from schemas.errors import DependencyError

CONNECTIONS: Final = 128
LEAD_S: Final = 0.5
DRAIN_S: Final = 10.0
UNANSWERED: Final = 0
OK: Final = 200
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"
NOT_DEGRADED: Final = b'"degraded":[]'
PERSONAL: Final = b'"source":"session"'


@dataclass(frozen=True, slots=True)
class Schedule:
    """`bodies` are posted to `path`, `rate` a second."""

    host: str
    port: int
    path: str
    bodies: Sequence[bytes]
    rate: float
    connections: int = CONNECTIONS


@dataclass(slots=True)
class Answers:
    """What came back, by request: its status (0: nothing) and its milliseconds since it should have been sent."""

    statuses: list[int] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    degraded: int = 0
    personal: int = 0
    within_schedule: int = 0
    """Answers that came before the schedule was over: how many the server can give when more are asked of it."""
    sent_late_ms_max: float = 0.0
    """How far behind its schedule the client was at most, with a connection free: then it measures itself."""
    client_cpu_s: float = 0.0
    seconds: float = 0.0
    began_ms: float = 0.0
    """When the first request was due, UTC epoch milliseconds."""


def run(schedule: Schedule) -> Answers:
    """Post everything from a process of its own, and wait for the answers.

    Raises:
        DependencyError: the server cannot be reached.
    """
    told = msgspec.msgpack.encode(schedule)
    client = subprocess.run([sys.executable, "-m", __name__], input=told, stdout=subprocess.PIPE, check=False)
    if client.returncode:
        raise DependencyError("the requests", f"ended with {client.returncode}", "see what was printed before")
    return msgspec.msgpack.decode(client.stdout, type=Answers)


def main() -> None:
    """The client: a schedule comes in, answers go out."""
    schedule = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Schedule)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers = runner.run(Client(schedule).post_all())
    sys.stdout.buffer.write(msgspec.msgpack.encode(answers))


class Client:
    """All requests of a schedule over its connections."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._requests = [request_of(schedule, body) for body in schedule.bodies]
        self._kept: list[_Kept] = []
        self._free: list[_Kept] = []
        self._waiting: deque[int] = deque()
        self._next = self._open = 0
        self._start_s = 0.0
        self._done = asyncio.Event()
        count = len(schedule.bodies)
        self._answers = Answers(statuses=[UNANSWERED] * count, ms=[0.0] * count)

    async def post_all(self) -> Answers:
        """Send each at its instant; answers that are not there some seconds after the last are given up."""
        loop, schedule, answers = asyncio.get_running_loop(), self._schedule, self._answers
        opened = [
            loop.create_connection(lambda: _Kept(self), schedule.host, schedule.port)
            for _ in range(min(schedule.connections, len(schedule.bodies)))
        ]
        self._kept = [kept for _, kept in await asyncio.gather(*opened)]
        self._free = self._kept.copy()
        answers.seconds = len(schedule.bodies) / schedule.rate
        cpu_s, self._start_s = time.process_time(), time.monotonic() + LEAD_S
        answers.began_ms = (time.time() + LEAD_S) * 1_000
        timer = _Timer(self._start_s, 1 / schedule.rate)
        loop.add_reader(timer.file, self._send_due, timer)
        try:
            async with asyncio.timeout(LEAD_S + answers.seconds + DRAIN_S):
                await self._done.wait()
        except TimeoutError:
            given_up_ms = (time.monotonic() - self._start_s) * 1_000
            for number, status in enumerate(answers.statuses):
                if status == UNANSWERED:
                    answers.ms[number] = given_up_ms - number / schedule.rate * 1_000
        finally:
            loop.remove_reader(timer.file)
            timer.close()
            for kept in self._kept:
                kept.close()
            await asyncio.sleep(0)
        answers.client_cpu_s = time.process_time() - cpu_s
        return answers

    def _send_due(self, timer: _Timer) -> None:
        timer.acknowledge()
        late_s = time.monotonic() - self._due_s(self._next)
        if self._free and self._next < len(self._requests):
            self._answers.sent_late_ms_max = max(self._answers.sent_late_ms_max, late_s * 1_000)
        while self._next < len(self._requests) and time.monotonic() >= self._due_s(self._next):
            number, self._next, self._open = self._next, self._next + 1, self._open + 1
            if self._free:
                self._free.pop().send(number, self._requests[number])
            else:
                self._waiting.append(number)

    def answered(self, kept: _Kept, number: int, status: int, body: bytes) -> None:
        """One is back; its connection takes the next that waits."""
        now_s, answers = time.monotonic(), self._answers
        answers.statuses[number] = status
        answers.ms[number] = (now_s - self._due_s(number)) * 1_000
        answers.degraded += status == OK and NOT_DEGRADED not in body
        answers.personal += PERSONAL in body
        answers.within_schedule += status == OK and now_s <= self._start_s + answers.seconds
        self._open -= 1
        if self._waiting:
            waiting = self._waiting.popleft()
            kept.send(waiting, self._requests[waiting])
        else:
            self._free.append(kept)
        self._end_when_over()

    def lost(self, number: int | None) -> None:
        """A connection has ended, and what was asked on it is lost with it."""
        if number is not None:
            self._answers.ms[number] = (time.monotonic() - self._due_s(number)) * 1_000
            self._open -= 1
            self._end_when_over()

    def _end_when_over(self) -> None:
        if self._next == len(self._requests) and not self._open:
            self._done.set()

    def _due_s(self, number: int) -> float:
        return self._start_s + number / self._schedule.rate


class _Kept(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None
        self._read = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class

    def send(self, number: int, request: bytes) -> None:
        """Ask; the answer goes to the client."""
        assert self._transport is not None, "a connection is used when it is open"
        self._number = number
        self._transport.write(request)

    def close(self) -> None:
        """End it."""
        assert self._transport is not None, "a connection is closed when it was open"
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._read += data
        found = whole_answer(self._read)
        if found is not None and self._number is not None:
            number, self._number = self._number, None
            self._read.clear()
            self._client.answered(self, number, *found)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self._number)
        self._number = None


class _Timer:
    """A timer of the kernel that can be waited for as a file, and is exact to microseconds; asyncio's to one or two ms.

    Python has it from 3.13 on.
    """

    def __init__(self, start_s: float, every_s: float) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.file = int(libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK))
        spec = (ctypes.c_long * 4)(*_split(every_s), *_split(start_s))
        if self.file < 0 or libc.timerfd_settime(self.file, 1, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "no timer")

    def acknowledge(self) -> None:
        """Take note of the instants that have passed."""
        try:
            os.read(self.file, 8)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop."""
        os.close(self.file)


def request_of(schedule: Schedule, body: bytes) -> bytes:
    """The bytes of one request."""
    head = (
        f"POST {schedule.path} HTTP/1.1\r\nhost: {schedule.host}:{schedule.port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def whole_answer(read: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body when all of the answer is there; the server names the length of what it answers here."""
    end = read.find(HEAD_END)
    if end < 0:
        return None
    head = bytes(read[:end]).lower()
    at = head.find(LENGTH)
    length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    body = bytes(read[end + len(HEAD_END) :])
    return (int(head[9:12]), body) if len(body) >= length else None


def _split(seconds: float) -> tuple[int, int]:
    """Whole seconds and nanoseconds."""
    return divmod(round(seconds * 1e9), 1_000_000_000)


def figures(answers: Answers) -> dict[str, Any]:
    """Percentiles of all requests, those that failed included, and what kept the schedule."""
    ordered = sorted(answers.ms)

    def at(share: float) -> float:
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3)

    return {
        "p50_ms": at(0.5),
        "p90_ms": at(0.9),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "errors": sum(status != OK for status in answers.statuses),
        "served_per_s": round(answers.within_schedule / answers.seconds, 1),
        "degraded": answers.degraded,
        "personal": answers.personal,
        "client_cores": round(answers.client_cpu_s / answers.seconds, 3),
        "client_late_ms_max": round(answers.sent_late_ms_max, 3),
    }


if __name__ == "__main__":
    main()
