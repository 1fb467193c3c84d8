"""`python -m speed rebuild` under the platform's supervisor, and with a log of which a part is gone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from infra.processes.control import ServiceStatus, status
from schemas.events import encode
from schemas.topics import INTERACTIONS
from speed.commands.status import lag
from tests.builders import interaction
from tests.integration.speed_shop import LIMIT_S, Terminal
from tests.servers import instance_in
from tests.waiting import wait_until

EVENTS = 40


class Platform(Terminal):
    """Kafka, its topics and the job, under a supervisor."""

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
            return self.is_running() and bool(lag(self.settings)["records"] == 0)

        wait_until(is_level, LIMIT_S, "the job to be level")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(instance_in(tmp_path_factory.mktemp("platform")))
    try:
        done = platform.run("up", "--only", "speed", module="infra")
        assert done.returncode == 0, done.stderr
        platform.send()
        platform.wait_level()
        yield platform
    finally:
        platform.run("down", module="infra")


def test_a_rebuild_restarts_the_supervised_job_without_counting_as_a_crash(platform: Platform) -> None:
    before = platform.job()
    found = platform.speed("rebuild")
    assert found["job"] == "restarted"
    assert found["from"] == "beginning"
    assert list(Path(found["aside"]).glob("checkpoints/*/chk-*/_metadata"))
    after = platform.job()
    assert (after.state, after.restarts) == ("ready", 0)
    assert after.pid != before.pid
    platform.wait_level()
    wait_until(lambda: "duplicate" in platform.speed("status")["counted"], LIMIT_S, "Flink to tell its counters")
    told = platform.speed("status")
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
    done = platform.run("rebuild")
    assert done.returncode == 0
    assert "python -m batch daily" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["lacking_partitions"] == [1]
