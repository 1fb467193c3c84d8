"""A running platform as seen from outside: its commands and its HTTP interface."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND_LIMIT_S: Final = 420
GENRES: Final = ("drama", "comedy", "thriller")
ITEMS: Final = tuple(f"film-{number:02d}" for number in range(30))

Json = dict[str, Any]


def genre_of(item: str) -> str:
    """Films come in three genres, in turn."""
    return GENRES[ITEMS.index(item) % len(GENRES)]


class FirthSystem:
    """One instance, told its ports and folders by `environment`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.url = f"http://127.0.0.1:{environment['FIRTH_SERVING__PORT']}"
        self.http = httpx.Client(base_url=self.url, timeout=10)
        self._numbers = itertools.count()

    def command(self, module: str, *arguments: str, may_fail: bool = False) -> Json:
        """Run `python -m module …`; its last line, parsed when it is JSON."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        print(done.stdout, done.stderr, sep="\n")
        assert may_fail or done.returncode == 0, (
            f"python -m {module} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}"
        )
        last = done.stdout.strip().splitlines()[-1:] or [""]
        parsed: Json = json.loads(last[0]) if last[0].startswith("{") else {}
        return parsed

    def put_catalogue(self) -> None:
        """Thirty films."""
        items = [{"item_id": item, "title": f"The {item}", "categories": [genre_of(item)]} for item in ITEMS]
        assert self.http.post("/v1/items", json=items).json()["rejected"] == 0

    def event(self, visitor: str, item: str, kind: str = "view", **fields: Any) -> Json:
        """An event that happens now."""
        return {
            "event_id": f"e{next(self._numbers)}",
            "visitor_id": visitor,
            "item_id": item,
            "kind": kind,
            "occurred_at_ms": time.time_ns() // 1_000_000,
            **fields,
        }

    def send(self, events: Sequence[Json]) -> Json:
        """Post events; the verdicts."""
        response = self.http.post("/v1/events", json=list(events))
        assert response.status_code in (200, 202), response.text
        answer: Json = response.json()
        return answer

    def recommend(self, visitor: str, **fields: Any) -> Json:
        """A slate."""
        response = self.http.post("/v1/recommendations", json={"visitor_id": visitor, "count": 10, **fields})
        assert response.status_code == 200, response.text
        answer: Json = response.json()
        return answer

    def wait_for_click(self, visitor: str, item: str) -> Json:
        """The first slate that knows of a click."""

        def slate() -> Json | None:
            found = self.recommend(visitor)
            return found if item in found["session"]["items"] else None

        return wait_until(slate, 30, f"the slate of {visitor} to know {item}")

    def visitor(self, visitor: str) -> Json:
        """What the stores have of a visitor."""
        answer: Json = self.http.get(f"/v1/visitors/{visitor}").json()
        return answer

    @contextmanager
    def traffic(self, *, events_per_s: float = 20, seed: int = 7) -> Iterator[list[Json]]:
        """Events that flow as long as the block runs: visitors of one taste, a twentieth of them sent twice."""
        sent: list[Json] = []
        stopped = threading.Event()

        def flow() -> None:
            generator = random.Random(seed)
            while not stopped.wait(1 / events_per_s):
                visitor = f"visitor-{generator.randrange(40)}"
                taste = GENRES[hash_of(visitor) % len(GENRES)]
                event = self.event(visitor, generator.choice([item for item in ITEMS if genre_of(item) == taste]))
                self.send([event, event] if generator.random() < 0.05 else [event])
                sent.append(event)

        thread = threading.Thread(target=flow, daemon=True)
        thread.start()
        try:
            yield sent
        finally:
            stopped.set()
            thread.join(timeout=15)


def hash_of(text: str) -> int:
    """A hash that is the same in every run."""
    return sum(text.encode())
