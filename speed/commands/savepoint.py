"""`python -m speed savepoint`: a state that Flink does not delete, for an upgrade or a copy."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from infra.processes.readiness import every_task_runs
from infra.settings import Settings
from schemas.errors import DependencyError
from speed.commands.flink import FlinkClient
from speed.commands.folders import state_folders
from speed.commands.telling import tell
from speed.job.beginning import recall, remember
from speed.job.checkpoints import SAVEPOINTS, keep_newest
from speed.job.identity import read_identity, write_identity

KEPT_MAX: Final = 3
LIMIT_S: Final = 300.0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its part of the command line."""
    parser = commands.add_parser(
        "savepoint",
        help="have the running job write a savepoint, and wait for it",
        description=f"Write a savepoint of the running job. `run` resumes from it when nothing newer is there. "
        f"The newest {KEPT_MAX} are kept.",
    )
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, metavar="S", help=f"how long to wait ({LIMIT_S:.0f})")


def savepoint(settings: Settings, options: argparse.Namespace) -> int:
    """Trigger, wait, let the oldest go; the path is told."""
    started_at_s = time.monotonic()
    path = take(FlinkClient(settings.flink.rest_port), settings, limit_s=options.limit_s)
    removed = keep_newest(path.parent, SAVEPOINTS, KEPT_MAX)
    size = sum(file.stat().st_size for file in path.iterdir())
    took_s = round(time.monotonic() - started_at_s, 3)
    tell({"path": path, "bytes": size, "took_s": took_s, "removed": len(removed)})
    return 0


def take(flink: FlinkClient, settings: Settings, *, limit_s: float) -> Path:
    """The folder of a new savepoint of the running job; raises DependencyError when there is none."""
    folders = state_folders(settings)
    folder, identity = folders.savepoints, read_identity(folders.checkpoints)
    if identity is not None:  # the job's own word: our settings may be others by now
        write_identity(folder, identity)
    remember(folder, recall(folders.checkpoints))
    flink.await_answer("/jobs/overview", lambda overview: every_task_runs(overview) or None, limit_s)
    job = flink.job()
    asked = {"target-directory": f"file://{folder}", "cancel-job": False}
    trigger = flink.ask("POST", f"/jobs/{job.id}/savepoints", asked)["request-id"]

    def finished(answer: dict[str, Any]) -> Path | None:
        if answer["status"]["id"] != "COMPLETED":
            return None
        operation = answer["operation"]
        if "location" not in operation:
            cause = str(operation.get("failure-cause", {}).get("stack-trace", operation))
            raise DependencyError(flink.address, f"no savepoint: {cause.splitlines()[0]}", "look at the job's log")
        return Path(urlsplit(operation["location"]).path)

    return flink.await_answer(f"/jobs/{job.id}/savepoints/{trigger}", finished, limit_s)
