"""The steps that bring the platform up on real data: each is one command that an operator could type."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from infra.demo import movielens
from infra.settings import PROJECT_ROOT, Settings
from schemas.errors import DependencyError

Tell = Callable[[str], None]
STEP_TIMEOUT_S: Final = 1_200
TRAINING_MINUTES: Final = "2"
"""Enough for 100,000 ratings; a log of a shop gets what the settings say."""


class Steps:
    """Runs commands as children, shows what they print, and remembers how long each took."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._tell = tell
        self.seconds: dict[str, float] = {}

    @property
    def folder(self) -> Path:
        """What the demo keeps between two runs."""
        return self._settings.state_dir / "demo"

    def make_key(self) -> None:
        """`python -m serving keys create`: once, into a file for nobody's eyes; it is neither shown nor an argument."""
        path = self._settings.serving.access.page_key_file
        if path is not None and not path.exists():
            scopes = [part for scope in ("produce", "consume", "admin") for part in ("--scope", scope)]
            self._run("key", "serving", "keys", "create", *scopes, "--name", "demo", "--out", str(path))

    def start_services(self) -> None:
        """`python -m infra up`: idempotent."""
        self._run("services", "infra", "up")

    def stop_services(self) -> None:
        """`python -m infra down`."""
        self._run("stop", "infra", "down")

    def read_data(self) -> movielens.MovieLens:
        """Fetch and cut the data set."""
        started = time.monotonic()
        data = movielens.read(movielens.fetch(PROJECT_ROOT / ".firth" / "downloads"))
        self.seconds["data"] = round(time.monotonic() - started, 1)
        self._tell(f"MovieLens 100k: {len(data.history)} ratings as history, {len(data.live)} as live traffic")
        return data

    def import_history(self, data: movielens.MovieLens) -> None:
        """`python -m batch import`: the file is made once, so that a second demo imports nothing twice."""
        path = self.folder / "history.parquet"
        if not path.exists():
            bucket, grace_ms = self._settings.policies.bucket, self._settings.batch.closing_grace_ms
            closed_ms = bucket.last_closed_end(time.time_ns() // 1_000_000, grace_ms)
            movielens.write_history(data, closed_ms, path)
        self._run("import", "batch", "import", str(path), "--source", "movielens-100k")

    def run_daily(self) -> dict[str, Any]:
        """`python -m batch daily`: its last line, parsed. The schedule may have begun one, which is waited for."""
        return self._run("daily", "batch", "daily", "--minutes", TRAINING_MINUTES, "--wait", str(STEP_TIMEOUT_S))

    def check_parity(self, sample: int) -> dict[str, Any]:
        """`python -m batch parity` after the traffic: its last line, parsed; mismatches are the caller's to judge."""
        return self._run("parity", "batch", "parity", "--sample", str(sample), "--at-rest", may_fail=True)

    def _run(self, step: str, module: str, *arguments: str, may_fail: bool = False) -> dict[str, Any]:
        """Run `python -m module …` and show its lines; the last one is parsed when it is JSON.

        Raises:
            DependencyError: the command failed.
        """
        started, last = time.monotonic(), ""
        command = [sys.executable, "-m", module, *arguments]
        with subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                last = line.strip() or last
                if not last.startswith("{"):
                    self._tell(f"  {line.rstrip()}")
            code = child.wait(timeout=STEP_TIMEOUT_S)
        self.seconds[step] = round(time.monotonic() - started, 1)
        if code and not may_fail:
            name = f"python -m {module} {arguments[0]}"
            raise DependencyError(name, f"ended with code {code}: {last}", "see the lines above")
        parsed: dict[str, Any] = json.loads(last) if last.startswith("{") else {}
        return parsed
