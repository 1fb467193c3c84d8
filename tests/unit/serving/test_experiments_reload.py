"""A server takes a changed file within two seconds."""

from __future__ import annotations

import asyncio
from pathlib import Path

from serving.adapters.experiments_file import POLL_S, ExperimentsWatcher
from tests.declared import as_file, experiment
from tests.waiting import wait_until_async


async def test_a_changed_file_is_in_use_two_seconds_later(tmp_path: Path) -> None:
    path = tmp_path / "experiments.json"
    watcher = ExperimentsWatcher(path, tmp_path)
    task = asyncio.create_task(watcher.watch())

    async def is_in_use() -> bool:
        return watcher.names == ("late",)

    try:
        await asyncio.to_thread(path.write_bytes, as_file(experiment("late")))
        await wait_until_async(is_in_use, 10.0, "the experiment of the new file")
    finally:
        task.cancel()
    assert POLL_S < 1.0, "so that a change takes less than two seconds on a machine that is not busy"
