"""Flink's REST interface, as far as the commands need it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from infra.processes.programs import LOOPBACK
from schemas.errors import DependencyError

ANSWER_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.2
REMEDY: Final = "is the job up? start it with `python -m infra up` or `python -m speed run`, and look at its log"

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Job:
    """A job that Flink lists: its id, its state in Flink's words, and since when, in epoch milliseconds."""

    id: str
    state: str
    since_ms: int


class FlinkClient:
    """Asks one Flink. Every method raises DependencyError when it does not answer."""

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        self.address = f"flink {host}:{port}"
        self._host = host
        self._port = port

    def job(self) -> Job:
        """The job that is there: the running one, else the last to have started."""
        jobs = [
            Job(job["jid"], job["state"], job["start-time"])
            for job in self.ask("GET", "/jobs/overview").get("jobs", ())
        ]
        if not jobs:
            raise DependencyError(self.address, "it has no job yet", "wait a moment: it is starting")
        return max(jobs, key=lambda job: (job.state == "RUNNING", job.since_ms))

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON answer to one request."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise DependencyError(self.address, str(error) or type(error).__name__, REMEDY) from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise DependencyError(self.address, f"{method} {path}: {response.status} {raw[:500]!r}", REMEDY)
        answer = json.loads(raw) if raw else {}
        return answer if isinstance(answer, dict) else {"values": answer}

    def await_answer(self, path: str, take: Callable[[dict[str, Any]], Found | None], limit_s: float) -> Found:
        """Ask until `take` finds what it looks for."""
        deadline = time.monotonic() + limit_s
        while (found := take(self.ask("GET", path))) is None:
            if time.monotonic() >= deadline:
                raise DependencyError(self.address, f"{path} was not done within {limit_s:.0f} s", REMEDY)
            time.sleep(POLL_S)
        return found
