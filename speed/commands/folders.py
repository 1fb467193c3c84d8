"""Where the job of these settings keeps its states."""

from __future__ import annotations

from pathlib import Path

from infra.processes.programs import speed_job
from infra.settings import Settings
from speed.job.checkpoints import StateFolders


def state_folders(settings: Settings) -> StateFolders:
    """As the job is told them."""
    job = speed_job(settings, jars=())
    return StateFolders(Path(job["checkpoint_dir"]), Path(job["savepoint_dir"]))
