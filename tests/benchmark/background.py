"""Load straight into Kafka from a process of its own, so that it shares no interpreter lock with what measures."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Any, Final, Self

from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.topics import INTERACTIONS
from tests.benchmark.batches import Request, requests
from tests.benchmark.sending import Sender
from tests.benchmark.shop import Shop

TICKS_PER_S: Final = 100
TOGETHER_MAX: Final = 2_000
START_LIMIT_S: Final = 60.0
UNBOUNDED: Final = 10**9
NO_PACE: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Flow:
    """`rate` events a second of a shop's visitors, `count` of them at most; `NO_PACE`: as fast as they can be made."""

    rate: float
    visitors: int = 10_000
    seed: int = 1
    count: int = UNBOUNDED


class Background:
    """A flow, as long as the block runs. Afterwards `sent` events are acknowledged by the broker."""

    def __init__(self, settings: Settings, flow: Flow) -> None:
        context = multiprocessing.get_context("spawn")
        self._sent: Any = context.Value("q", 0)
        self._stopped, self._began = context.Event(), context.Event()
        self._process = context.Process(
            target=_flow, args=(settings, flow, self._sent, self._began, self._stopped), daemon=True
        )
        self._started_s = self._ended_s = 0.0

    def __enter__(self) -> Self:
        self._process.start()
        if not self._began.wait(START_LIMIT_S):
            raise DependencyError("the background load", "did not begin", "is the broker up?")
        self._started_s = time.monotonic()
        return self

    def __exit__(self, *failure: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stopped.set()
        self.wait()

    def wait(self) -> None:
        """Until all of the flow is sent.

        Raises:
            DependencyError: the broker refused something.
        """
        self._process.join()
        self._ended_s = self._ended_s or time.monotonic()
        if self._process.exitcode:
            raise DependencyError("the background load", f"ended with {self._process.exitcode}", "see what it printed")

    @property
    def is_running(self) -> bool:
        """Whether there is still something to send."""
        return bool(self._process.is_alive())

    @property
    def sent(self) -> int:
        """Events that the broker has acknowledged."""
        return int(self._sent.value)

    @property
    def rate(self) -> float:
        """Events a second so far."""
        return self.sent / max((self._ended_s or time.monotonic()) - self._started_s, 1e-9)


def _flow(settings: Settings, flow: Flow, sent: Any, began: Event, stopped: Event) -> None:
    shop = Shop(flow.visitors, seed=flow.seed)
    together = TOGETHER_MAX if flow.rate == NO_PACE else max(int(flow.rate / TICKS_PER_S), 1)
    made = requests(shop.live(flow.count, lambda: time.time_ns() // 1_000_000), together, lambda _: False)

    def goes_on() -> bool:
        sent.value = sender.log.count
        return not stopped.is_set()

    with Sender(settings.kafka, INTERACTIONS.named(settings.kafka.topic_prefix).name) as sender:
        first: Request = next(made)
        began.set()
        sender.send(first)
        sender.send_paced(made, flow.rate, goes_on)
        sent.value = sender.log.count
