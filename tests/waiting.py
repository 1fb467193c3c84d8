"""Wait for something with a deadline: the only way in which a test waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

POLL_S = 0.05


def wait_until(predicate: Callable[[], Found | None], timeout_s: float, what: str) -> Found:
    """Return the first true thing that `predicate` returns; fail, saying what was waited for, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (found := predicate()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(POLL_S)
    return found


async def wait_until_async(predicate: Callable[[], Awaitable[Found]], timeout_s: float, what: str) -> Found:
    """The same for a predicate that must be awaited; others run meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not (found := await predicate()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        await asyncio.sleep(POLL_S)
    return found
