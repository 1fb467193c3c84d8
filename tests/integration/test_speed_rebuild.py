"""`python -m speed rebuild` under the platform's supervisor, and with a log of which a part is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from infra.processes.control import ServiceStatus, status
from infra.processes.ports import PORT_VARIABLES
from infra.settings import PROJECT_ROOT, Settings
from schemas.events import encode
from schemas.topics import INTERACTIONS
from tests.builders import interaction
from tests.servers import instance_in
from tests.waiting import wait_until

LIMIT_S = 240.0
EVENTS = 40


class Platform:
    """Kafka, its topics and the job, under a supervisor."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._environment = {**os.environ, **variables_of(settings)}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", *command),
            cwd=PROJECT_ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT_S,
            check=False,
        )

    def found(self, *command: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(*command).stdout.splitlines()[-1])
        return found

    def job(self) -> ServiceStatus:
        return next(row for row in status(self.settings) if row.service == "speed")

    def send(self) -> None:
        with closing(KafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap)) as producer:
            for number in range(EVENTS):
                event = interaction(f"e{number}", visitor=f"v{number}", at_ms=int(time.time() * 1000))
                producer.send(INTERACTIONS.name, key=event.visitor_id.encode(), value=encode(event))
            producer.flush()

    def wait_level(self) -> None:
        def is_level() -> bool:
            told = self.found("speed", "status")
            return told["checkpoint"] is not None and told["lag"].get("records") == 0

        wait_until(is_level, LIMIT_S, "the job to be level")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(instance_in(tmp_path_factory.mktemp("platform")))
    try:
        done = platform.run("infra", "up", "--only", "speed")
        assert done.returncode == 0, done.stderr
        platform.send()
        platform.wait_level()
        yield platform
    finally:
        platform.run("infra", "down")


def variables_of(settings: Settings) -> dict[str, str]:
    """The settings' ports and state folder as environment variables."""
    ports = {}
    for variable in PORT_VARIABLES:
        branch, leaf = variable.removeprefix("FIRTH_").lower().split("__")
        ports[variable] = str(getattr(getattr(settings, branch), leaf))
    return {**ports, "FIRTH_STATE_DIR": str(settings.state_dir), "FIRTH_FLINK__CHECKPOINT_INTERVAL_MS": "1000"}


def test_a_rebuild_restarts_the_supervised_job_without_counting_as_a_crash(platform: Platform) -> None:
    before = platform.job()
    found = platform.found("speed", "rebuild")
    assert found["job"] == "restarted"
    assert found["from"] == "beginning"
    assert list(Path(found["aside"]).glob("checkpoints/*/chk-*/_metadata"))
    after = platform.job()
    assert (after.state, after.restarts) == ("ready", 0)
    assert after.pid != before.pid
    platform.wait_level()
    told = platform.found("speed", "status")
    assert told["counted"]["duplicate"] == 0  # a state that was not forgotten would know these events
    assert told["state"]["rebuild_is_asked_for"] is False


def test_a_job_that_is_killed_resumes_and_the_request_of_a_rebuild_before_is_done_with(platform: Platform) -> None:
    job = platform.job()
    assert job.pid is not None
    os.kill(job.pid, 9)
    wait_until(lambda: platform.job().restarts == 1 and platform.job().state == "ready", LIMIT_S, "the job to be back")
    log = (platform.settings.logs_dir / "speed.log").read_text()
    assert log.count("state.forgotten") == 1
    assert f'"resume_from": "{platform.settings.flink_dir}' in log.rsplit("job.submitted", 1)[1]


def test_a_log_that_lacks_what_a_rebuild_needs_is_told_with_the_remedy(platform: Platform) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=platform.settings.kafka.bootstrap)) as admin:
        admin.delete_records({TopicPartition(INTERACTIONS.name, 1): 2})
    done = platform.run("speed", "rebuild")
    assert done.returncode == 0
    assert "python -m batch daily" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["lacking_partitions"] == [1]
