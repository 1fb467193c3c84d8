"""Which process is meant: a pid alone is reused by the kernel, a pid with its start time is not.

Every process is launched as the leader of its own session, so that whatever it forks (a JVM, server workers) carries
the leader's pid as session id and can be found and ended even after the leader is gone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec
import psutil

START_TOLERANCE_MS = 2_000
"""The kernel tells the start in ticks since boot; the boot instant itself is only known to about a second."""

POLL_S = 0.05


class ProcessIdentity(msgspec.Struct, frozen=True):
    """A process that was started by us: its pid and when the kernel says it started."""

    pid: int
    started_at_ms: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The identity of a running process. Raises psutil.NoSuchProcess when there is none."""
        return cls(pid, _started_at_ms(psutil.Process(pid)))

    def is_running(self) -> bool:
        """True while exactly this process lives; a zombie and a later process with the same pid do not count."""
        try:
            process = psutil.Process(self.pid)
            return process.status() != psutil.STATUS_ZOMBIE and self.matches(_started_at_ms(process))
        except psutil.NoSuchProcess:
            return False

    def matches(self, started_at_ms: int) -> bool:
        """Whether a process with this pid that started then is the one meant."""
        return abs(started_at_ms - self.started_at_ms) <= START_TOLERANCE_MS


def session_members(leader: ProcessIdentity) -> Iterator[psutil.Process]:
    """The living processes of the leader's session, the leader included; none when its pid now belongs to another."""
    with suppress(psutil.NoSuchProcess):
        if not leader.matches(_started_at_ms(psutil.Process(leader.pid))):
            return  # asked before any member is: once pids have wrapped around, members may stand before their leader
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) != leader.pid or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if _started_at_ms(process) >= leader.started_at_ms - START_TOLERANCE_MS:
                yield process


def stop_session(leader: ProcessIdentity, grace_s: float, followers_grace_s: float = 5.0) -> bool:
    """Ask the leader to end, then end whatever is left of its session.

    The followers are not asked directly: a JVM or a worker is ended by its leader, in the leader's order.
    Returns False when something had to be killed.
    """
    if leader.is_running():
        with suppress(ProcessLookupError):
            os.kill(leader.pid, signal.SIGTERM)
    if _gone_within(grace_s, leader.is_running) and _gone_within(followers_grace_s, lambda: _any_member(leader)):
        return True
    kill_session(leader)
    return False


def kill_session(leader: ProcessIdentity) -> None:
    """End every process of the session at once, without asking."""
    for process in list(session_members(leader)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _gone_within(10.0, lambda: _any_member(leader))


def _any_member(leader: ProcessIdentity) -> bool:
    return next(session_members(leader), None) is not None


def _gone_within(limit_s: float, is_there: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + limit_s
    while is_there():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def _started_at_ms(process: psutil.Process) -> int:
    return int(process.create_time() * 1000)
