"""The schedule as a process: it starts a real daily run, tells how it ended, and ends well when asked to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings
from tests.waiting import wait_until

LIMIT_S = 120
DAYS_AGO_S = 3 * 86_400


def test_a_run_that_is_due_is_started_and_its_failure_survived_and_told(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    age_lake(settings)
    variables = {
        "FIRTH_STATE_DIR": str(tmp_path),
        "FIRTH_KAFKA__PORT": "1",  # nobody archives, so no bucket is closed and the run has to give up
        "FIRTH_METRICS__DAILY_PORT": "0",
    }
    command = [sys.executable, "-m", "batch", "schedule"]
    log = tmp_path / "schedule.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stderr=output)
    try:
        wait_until(lambda: "daily.failed" in events(log), LIMIT_S, "the end of a run")
        wait_until(lambda: "given_up" in log.read_text(), LIMIT_S, "what follows")
        assert heartbeat_path(settings.run_dir, "schedule").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    failed = next(line for line in lines(log) if line["event"] == "daily.failed")
    assert failed["exit_code"] == 78
    assert "no bucket is closed yet" in Path(str(failed["log"])).read_text()


def age_lake(settings: Settings) -> None:
    """A lake that was there long before today's time of day."""
    open_table(settings, INTERACTIONS)
    for path in (settings.lake_dir / "_delta_log").glob("*.json"):
        os.utime(path, (time.time() - DAYS_AGO_S,) * 2)


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def events(log: Path) -> list[object]:
    return [line["event"] for line in lines(log)]
