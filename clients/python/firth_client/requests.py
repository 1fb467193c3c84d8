"""The requests of the API and the reading of their answers, without any sending: both clients do that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from .errors import FirthError
from .shapes import Click, Event, ItemList, Ranking, Slate, Verdicts

EVENTS_AT_ONCE: Final = 500
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Request(Generic[Answer]):
    """One request and the type of its answer."""

    method: str
    path: str
    answer: type[Answer]
    body: bytes | None = None

    def read(self, status: int, content: bytes) -> Answer:
        """The answer. Raises FirthError with what the server said instead of one."""
        if 200 <= status < 300:
            try:
                return msgspec.json.decode(content, type=self.answer)
            except msgspec.MsgspecError as error:
                raise FirthError(f"{self.method} {self.path}: no answer of Firth: {error}", status) from error
        problem = _problem(content)
        detail = problem.get("detail") or problem.get("title") or f"HTTP {status}"
        raise FirthError(f"{self.method} {self.path}: {detail}", status, problem)


def recommend(visitor_id: str, **asked: Any) -> Request[Slate]:
    """`POST /v1/recommendations`."""
    return Request("POST", "/v1/recommendations", Slate, _body(visitor_id=visitor_id, **asked))


def rank(visitor_id: str, items: Sequence[str], clicks: Sequence[Click] = ()) -> Request[Ranking]:
    """`POST /v1/rank`."""
    return Request("POST", "/v1/rank", Ranking, _body(visitor_id=visitor_id, items=items, clicks=clicks))


def similar(item_id: str, count: int) -> Request[ItemList]:
    """`GET /v1/similar/{item}`."""
    return Request("GET", f"/v1/similar/{quote(item_id, safe='')}?count={count}", ItemList)


def trending(count: int, window: str, category: str | None) -> Request[ItemList]:
    """`GET /v1/trending`."""
    narrowed = "" if category is None else f"&category={quote(category, safe='')}"
    return Request("GET", f"/v1/trending?count={count}&window={window}{narrowed}", ItemList)


def visitor(visitor_id: str) -> Request[dict[str, Any]]:
    """`GET /v1/visitors/{visitor}`."""
    return Request("GET", f"/v1/visitors/{quote(visitor_id, safe='')}", dict[str, Any])


def batches(name: str, events: Sequence[Event] | Sequence[dict[str, Any]]) -> Iterator[Request[Verdicts]]:
    """`POST /v1/events` or `/v1/items`, some hundred at a time."""
    for start in range(0, len(events), EVENTS_AT_ONCE):
        batch = events[start : start + EVENTS_AT_ONCE]
        yield Request("POST", f"/v1/{name}", Verdicts, msgspec.json.encode({name: batch}))


def joined(answers: Sequence[Verdicts]) -> Verdicts:
    """The verdicts of several batches as of one."""
    verdicts = [verdict for answer in answers for verdict in answer.verdicts]
    return Verdicts(
        accepted=sum(answer.accepted for answer in answers),
        rejected=sum(answer.rejected for answer in answers),
        spooled=sum(answer.spooled for answer in answers),
        received_at_ms=max((answer.received_at_ms for answer in answers), default=0),
        verdicts=tuple(msgspec.structs.replace(verdict, index=index) for index, verdict in enumerate(verdicts)),
    )


def headers(key: str | None) -> dict[str, str]:
    """What every request says."""
    keyed = {} if key is None else {"Authorization": f"Bearer {key}"}
    return {"Content-Type": "application/json", "User-Agent": "firth-client/0.1", **keyed}


def _body(**fields: Any) -> bytes:
    return msgspec.json.encode({name: value for name, value in fields.items() if value not in (None, ())})


def _problem(content: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
