"""How a server says that it is ready. A check asks once, quickly, and never raises."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ASK_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 5.0
"""Longer, because on a loaded machine a request that is given up only makes the server's next answer later."""


class ReadyCheck(Protocol):
    """Asks a process whether it can be used."""

    def holds(self, launched_at_ms: int) -> bool:
        """True when the process that was launched then is ready."""
        ...


@dataclass(frozen=True, slots=True)
class PortAnswers:
    """A connection is accepted. Kafka and Cassandra open their port as the last step of starting."""

    host: str
    port: int

    def holds(self, launched_at_ms: int) -> bool:
        try:
            socket.create_connection((self.host, self.port), ASK_TIMEOUT_S).close()
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class RedisAnswers:
    """PING is answered with PONG; while Redis still loads its file it answers with an error."""

    host: str
    port: int

    def holds(self, launched_at_ms: int) -> bool:
        try:
            with socket.create_connection((self.host, self.port), ASK_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class HttpAnswers:
    """GET is answered with 200."""

    host: str
    port: int
    path: str

    def holds(self, launched_at_ms: int) -> bool:
        return _get(self.host, self.port, self.path) is not None


@dataclass(frozen=True, slots=True)
class FlinkJobRuns:
    """Flink's REST server lists a running job of which every task runs."""

    host: str
    port: int

    def holds(self, launched_at_ms: int) -> bool:
        body = _get(self.host, self.port, "/jobs/overview")
        return body is not None and every_task_runs(json.loads(body))


@dataclass(frozen=True, slots=True)
class HeartbeatSeen:
    """The process has touched its heartbeat file since it was launched."""

    path: Path

    def holds(self, launched_at_ms: int) -> bool:
        try:
            return self.path.stat().st_mtime * 1000 >= launched_at_ms
        except FileNotFoundError:
            return False


def heartbeat_path(run_dir: Path, service: str) -> Path:
    """The file that a service without a port touches when it is ready, and then at least every few seconds."""
    return run_dir / f"{service}.heartbeat"


def every_task_runs(overview: dict[str, Any]) -> bool:
    """Whether the answer of `/jobs/overview` shows a job at work. A source that has read its part has finished."""
    running = [job["tasks"] for job in overview.get("jobs", []) if job["state"] == "RUNNING"]
    return any(
        tasks["running"] > 0 and tasks["running"] + tasks.get("finished", 0) == tasks["total"] for tasks in running
    )


def _get(host: str, port: int, path: str) -> bytes | None:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == http.client.OK else None
