"""A shell for the tests of `python -m speed`, and an instance whose job and writer it starts and stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from redis import Redis

from infra.processes.ports import PORT_VARIABLES
from infra.settings import PROJECT_ROOT, Settings
from schemas.errors import DependencyError
from speed.commands.flink import FlinkClient
from speed.commands.status import lag
from tests.waiting import wait_until

LIMIT_S = 180.0


class Terminal:
    """A shell in which the variables of one instance are set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.environment = {**os.environ, **variables_of(settings)}

    def run(self, *arguments: str, module: str = "speed") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", module, *arguments),
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT_S,
            check=False,
        )

    def speed(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The JSON that a command ends with."""
        done = self.run(*arguments)
        assert done.returncode == code, (done.stdout[-3_000:], done.stderr[-3_000:])
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    @contextmanager
    def keeping(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program of ours that runs while the block does."""
        log = self.settings.state_dir / f"{command[0]}.log"
        with log.open("ab") as output:
            program = subprocess.Popen(
                (sys.executable, "-m", *command), cwd=PROJECT_ROOT, env=self.environment, stdout=output, stderr=output
            )
        try:
            yield program
        finally:
            program.terminate()
            program.wait(LIMIT_S)

    def is_running(self) -> bool:
        """Whether the job that runs now has made a checkpoint, so that its lag is its own and not of the one before."""
        flink = FlinkClient(self.settings.flink.rest_port)
        try:
            job = flink.job()
            counts = flink.ask("GET", f"/jobs/{job.id}/checkpoints")["counts"]
        except DependencyError:
            return False
        return job.state == "RUNNING" and bool(counts["completed"])

    def log(self) -> str:
        return (self.settings.state_dir / "speed.log").read_text()


class Shop(Terminal):
    """An instance whose job and writer can be stopped and started, and what its store says."""

    def __init__(self, settings: Settings, redis: Redis, target: Redis) -> None:
        super().__init__(settings)
        self.redis: Any = redis
        self.target: Any = target
        self._running = ExitStack()
        self._is_started = False

    def start(self) -> None:
        """Have a job and a writer running and level with the log."""
        if not self._is_started:
            self._running.enter_context(self.keeping("speed.writer"))
            self._running.enter_context(self.keeping("speed", "run"))
            self._is_started = True
        self.wait_level()

    def stop(self) -> None:
        self._running.close()
        self._is_started = False

    def wait_level(self) -> None:
        """Until a checkpoint has taken all of the log and the store stands still."""
        wait_until(self.is_running, LIMIT_S, "the job to run")
        wait_until(lambda: lag(self.settings)["records"] == 0, LIMIT_S, "the job to be level")
        last: list[Any] = [None]

        def is_still() -> bool:
            before, last[0] = last[0], self.rows()
            time.sleep(1.5)
            return bool(before) and before == last[0]

        wait_until(is_still, LIMIT_S, "the store to stand still")

    def rows(self) -> dict[bytes, dict[bytes, bytes]]:
        """Every hash of the project, without how its offsets are ordered."""
        project = self.settings.feast.project.encode()
        keys = [key for key in self.redis.scan_iter(count=10_000) if key.endswith(project) and b"epoch" not in key]
        return {
            key: {field: value for field, value in self.redis.hgetall(key).items() if not field.startswith(b"_offsets")}
            for key in keys
        }

    def replay(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        self.target.flushdb()
        database = self.target.connection_pool.connection_kwargs["db"]
        where = f"{self.settings.redis.host}:{self.settings.redis.port}/{database}"
        return self.speed("replay", "--redis", where, *arguments, code=code)


def variables_of(settings: Settings) -> dict[str, str]:
    """The environment under which `load_settings` gives these settings, as far as the stream reads them."""
    ports = {}
    for variable in PORT_VARIABLES:
        branch, leaf = variable.removeprefix("FIRTH_").lower().split("__")
        ports[variable] = str(getattr(getattr(settings, branch), leaf))
    bucket = settings.policies.bucket
    return {
        **ports,
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "FIRTH_FEAST__PROJECT": settings.feast.project,
        "FIRTH_FLINK__CHECKPOINT_INTERVAL_MS": "500",
        "FIRTH_POLICIES__BUCKET__PERIOD_MS": str(bucket.period_ms),
        "FIRTH_POLICIES__BUCKET__KEPT": str(bucket.kept),
        "FIRTH_POLICIES__BUCKET__DEDUP": str(bucket.dedup),
    }
