"""The Python client: what it sends, what it makes of answers, when it tries again, and what it keeps for later."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from clients.python.firth_client import AsyncFirth, Click, Event, EventSender, Firth, FirthError, Retries, Verdicts
from schemas.events import InteractionEvent
from schemas.events import decode as decode_event
from serving.api import application
from tests.builders import START_MS
from tests.unit.serving.conftest import world  # noqa: F401 - a fixture
from tests.unit.serving.fakes import World
from tests.waiting import wait_until

Answer = Callable[[httpx.Request], httpx.Response]
VERDICT = {"index": 0, "verdict": "accepted"}
GOOD = {"accepted": 1, "rejected": 0, "spooled": 0, "received_at_ms": 7, "verdicts": [VERDICT]}


def event(number: int = 1) -> Event:
    return Event(visitor_id="ada", item_id="alien", kind="view", event_id=f"e{number}", occurred_at_ms=START_MS)


class Server:
    """Gives these answers in turn, the last one for ever; remembers what was asked, and how long was waited."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.waited_s: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options: Any) -> Firth:
        retries = Retries(attempts_max=3, base_s=0.1, random=random.Random(7))
        transport = httpx.MockTransport(self)
        return Firth("http://firth", retries=retries, transport=transport, sleep=self.waited_s.append, **options)


def problem(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"title": "no", "detail": "because"}, headers=headers)


async def test_it_speaks_with_the_real_application(world: World) -> None:  # noqa: F811
    transport = httpx.ASGITransport(application.build(world.services()))
    async with AsyncFirth("http://firth", transport=transport) as firth:
        slate = await firth.recommend("ada", count=2, clicks=[Click(item_id="dune")], explain=True)
        assert [item.item_id for item in slate.items][:1] == ["aliens"]
        assert slate.items[0].because is not None
        assert (await firth.rank("ada", ["dune", "aliens"])).items[0].item_id == "aliens"
        assert [item.item_id for item in (await firth.similar("alien", count=1)).items] == ["aliens"]
        assert (await firth.trending(count=1)).items[0].item_id == "heat"
        assert (await firth.visitor("ada"))["profile"]["interactions"] == 1
        verdicts = await firth.send([event(number) for number in range(501)])
        assert (verdicts.accepted, [each.index for each in verdicts.verdicts]) == (501, list(range(501)))
        assert (await firth.put_items([{"item_id": "new", "title": "New"}])).accepted == 1
        with pytest.raises(FirthError, match="unheard") as refused:
            await firth.similar("unheard")
    assert (refused.value.status, refused.value.may_pass) == (404, False)
    sent = [record for record in world.publisher.records if record.topic == "interactions"]
    assert decode_event(InteractionEvent, sent[0].value or b"").event_id == "e0"


def test_a_failure_that_may_pass_is_tried_again_after_a_growing_random_pause() -> None:
    server = Server(httpx.ConnectError("no"), problem(503), httpx.Response(200, json=GOOD))
    assert server.client(key="firth_k").send([event()]).accepted == 1
    assert len(server.asked) == 3
    assert {request.headers["authorization"] for request in server.asked} == {"Bearer firth_k"}
    assert len({request.content for request in server.asked}) == 1, "the same events, with the same ids"
    assert 0 <= server.waited_s[0] <= 0.1
    assert 0 <= server.waited_s[1] <= 0.2


def test_the_server_is_given_the_time_that_it_asks_for() -> None:
    server = Server(problem(429, **{"Retry-After": "2"}), httpx.Response(200, json=GOOD))
    server.client().send([event()])
    assert 2 <= server.waited_s[0] <= 2.1


def test_it_gives_up_and_says_why() -> None:
    server = Server(problem(503))
    with pytest.raises(FirthError, match="because") as failed:
        server.client().send([event()])
    assert (failed.value.status, len(server.asked)) == (503, 3)


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422, 500])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    server = Server(problem(status))
    with pytest.raises(FirthError):
        server.client().recommend("ada")
    assert len(server.asked) == 1


def test_an_answer_of_something_else_is_an_error_and_no_crash() -> None:
    with pytest.raises(FirthError, match="no answer of Firth"):
        Server(httpx.Response(200, text="<html>")).client().recommend("ada")
    with pytest.raises(FirthError, match="HTTP 404"):
        Server(httpx.Response(404, text="<html>")).client().recommend("ada")


class Taking:
    """Takes events while it is `there`."""

    def __init__(self, *, there: bool = True, status: int | None = None) -> None:
        self.there = there
        self.status = status
        self.taken: list[str] = []

    def send(self, events: Sequence[Event]) -> Verdicts:
        if not self.there:
            raise FirthError("away", self.status)
        self.taken += [each.event_id for each in events]
        return Verdicts(accepted=len(events), rejected=0, received_at_ms=0, verdicts=())


def test_events_go_in_batches_and_in_order(tmp_path: Path) -> None:
    server, path = Taking(), tmp_path / "events"
    with EventSender(server, path, every_s=0.01) as sender:
        for number in range(1_200):
            sender.send(event(number))
        wait_until(lambda: len(server.taken) == 1_200, 10, "all events")
    assert server.taken == [f"e{number}" for number in range(1_200)]
    assert not path.exists()


def test_what_the_server_does_not_take_outlives_the_process_and_is_sent_once(tmp_path: Path) -> None:
    path, away = tmp_path / "events", Taking(there=False)
    with EventSender(away, path, every_s=0.01) as first:
        first.send(event(1))
        first.send(event(2))
        wait_until(path.exists, 10, "the file")
    server = Taking()
    with EventSender(server, path, every_s=0.01) as second:
        second.send(event(3))
        wait_until(lambda: len(server.taken) == 3, 10, "all events")
    assert server.taken == ["e1", "e2", "e3"]
    assert not path.exists()


def test_the_buffer_is_bounded_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "events"
    line = len(msgspec.json.encode(event(1))) + 1
    with EventSender(Taking(there=False), path, every_s=0.01, waiting_max=3, bytes_max=2 * line) as sender:
        for number in range(5):
            sender.send(event(number))
        wait_until(path.exists, 10, "the file")
    assert sender.dropped == 2
    assert path.stat().st_size <= 2 * line


def test_a_disk_that_takes_nothing_is_told_and_events_are_still_sent(tmp_path: Path) -> None:
    server, path = Taking(there=False), tmp_path / "nowhere" / "events"
    with EventSender(server, path, every_s=0.01) as sender:
        sender.send(event(1))
        wait_until(lambda: sender.disk_problem is not None, 10, "the problem")
        server.there = True
        wait_until(lambda: server.taken == ["e1"], 10, "the event")


def test_events_that_the_server_will_never_take_are_not_kept_for_ever(tmp_path: Path) -> None:
    with EventSender(Taking(there=False, status=422), tmp_path / "events", every_s=0.01) as sender:
        sender.send(event())
        wait_until(lambda: sender.rejected == 1, 10, "the refusal")
    assert sender.waiting == 0


def test_a_line_that_is_no_event_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"\xff{\n" + msgspec.json.encode(event(1)) + b"\n")
    server = Taking()
    with EventSender(server, path, every_s=0.01):
        wait_until(lambda: server.taken == ["e1"], 10, "the event")
