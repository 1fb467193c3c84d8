"""The JavaScript client in a real browser: batches, attempts while the server is away, and the page that is left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.test_page import browser  # noqa: F401 - a fixture
from tests.waiting import wait_until

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "javascript" / "firth.js"
OPEN = """async (options) => {
  const { Events } = await import("/firth.js");
  window.events = new Events({ everyMs: 50, retryMs: 10, ...options });
}"""
SEND = "(name) => window.events.send({ event_id: name, visitor_id: 'ada', item_id: 'i', kind: 'view' }, { now: true })"


class Server(ThreadingHTTPServer):
    """Gives the page its script, and takes events while it is `there`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.batches: list[list[str]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        is_script = self.path == "/firth.js"
        self._answer(
            200, CLIENT.read_bytes() if is_script else b"<!doctype html>", "javascript" if is_script else "html"
        )

    def do_POST(self) -> None:
        events = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status == 200:
            self.server.batches.append([event["event_id"] for event in events])
            self.server.keys.append(self.headers["authorization"])
        verdicts = [
            {"index": index, "verdict": "rejected" if event["event_id"] == "bad" else "accepted"}
            for index, event in enumerate(events)
        ]
        answer = {"received_at_ms": 7, "verdicts": verdicts} if self.server.status == 200 else {"title": "no"}
        self._answer(self.server.status, json.dumps(answer).encode(), "json")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"text/{kind}" if kind != "json" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the class above
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:  # noqa: F811
    opened = browser.new_page()
    opened.goto(server.url)
    yield opened
    opened.close()


def test_events_go_together_and_each_hears_of_itself(page: Page, server: Server) -> None:
    page.evaluate(OPEN, {"key": "firth_k"})
    heard = page.evaluate(
        """() => Promise.allSettled(["e1", "bad", "e2"].map((name) =>
             window.events.send({ event_id: name, visitor_id: "ada", item_id: "i", kind: "view" })))"""
    )
    assert [each["status"] for each in heard] == ["fulfilled", "rejected", "fulfilled"]
    assert server.batches == [["e1", "bad", "e2"]]
    assert server.keys == ["Bearer firth_k"]


def test_what_a_server_that_is_away_does_not_take_is_sent_again(page: Page, server: Server) -> None:
    page.evaluate(OPEN, {})
    server.status = 503
    page.evaluate(f"(name) => {{ window.sent = ({SEND})(name) }}", "e1")
    page.wait_for_timeout(100)
    server.status = 200
    assert page.evaluate("() => window.sent") == 7
    assert server.batches == [["e1"]]


@pytest.mark.parametrize("options", [{"everyMs": 60_000}, {"everyMs": 60_000, "key": "firth_k"}])
def test_a_page_that_is_left_sends_what_waits(page: Page, server: Server, options: dict[str, Any]) -> None:
    page.evaluate(OPEN, options)
    page.evaluate("() => { window.events.send({ event_id: 'last', visitor_id: 'ada', item_id: 'i', kind: 'view' }) }")
    page.goto("about:blank")
    wait_until(lambda: server.batches == [["last"]], 10, "the last event")
