"""`python -m speed status`: what the job does, how far behind it is, and what was refused."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra.processes.programs import speed_job
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.topics import INTERACTIONS
from speed.commands.flink import FlinkClient, Job
from speed.commands.folders import state_folders
from speed.commands.letters import Letterbox
from speed.commands.log import reading
from speed.commands.telling import now_ms, say, tell
from speed.job.checkpoints import newest_first
from speed.job.forgetting import is_asked_to_forget

Found = dict[str, Any]
COUNTERS: Final = ("Events", "States")
"""How the names of our counters in Flink end; they begin with `num`."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its part of the command line."""
    commands.add_parser(
        "status",
        help="show the job, its last checkpoint, its lag and the dead letters",
        description="Show what the job does. Exit code 0 when it is running, else 1. It works when the job is down.",
    )


def status(settings: Settings, _: argparse.Namespace) -> int:
    """0 when the job is running."""
    found = {**_of_job(FlinkClient(settings.flink.rest_port)), "state": _of_folders(settings), **_of_kafka(settings)}
    for name, value in found.items():
        say(f"{name:<13} {_in_words(value)}")
    tell(found)
    return 0 if found["job"]["state"] == "RUNNING" else 1


def _of_job(flink: FlinkClient) -> Found:
    """What Flink says; when it says nothing, that."""
    try:
        job = flink.job()
        return {
            "job": {"state": job.state, "id": job.id, "age_s": (now_ms() - job.since_ms) // 1_000},
            "checkpoint": _checkpoint(flink, job),
            "counted": _counted(flink, job),
        }
    except DependencyError as error:
        return {"job": {"state": "DOWN", "problem": error.problem}, "checkpoint": None, "counted": None}


def _checkpoint(flink: FlinkClient, job: Job) -> Found | None:
    answer = flink.ask("GET", f"/jobs/{job.id}/checkpoints")
    newest = answer["latest"]["completed"]
    failed = answer["counts"]["failed"]
    if newest is None:
        return {"failed": failed} if failed else None
    return {
        "number": newest["id"],
        "age_ms": now_ms() - newest["latest_ack_timestamp"],
        "took_ms": newest["end_to_end_duration"],
        "bytes": newest["state_size"],
        "failed": failed,
    }


def _counted(flink: FlinkClient, job: Job) -> Found:
    """Our counters, summed over the subtasks, since the job was started."""
    counted: Counter[str] = Counter()
    for vertex in flink.ask("GET", f"/jobs/{job.id}")["vertices"]:
        path = f"/jobs/{job.id}/vertices/{vertex['id']}/subtasks/metrics"
        names = [metric["id"] for metric in flink.ask("GET", path)["values"] if is_counter(metric["id"])]
        if names:
            for metric in flink.ask("GET", f"{path}?get={','.join(names)}&agg=sum")["values"]:
                counted[short_name(metric["id"])] += int(metric["sum"])
    return dict(sorted(counted.items()))


def is_counter(metric: str) -> bool:
    """Whether a metric of Flink's is one that our operators count."""
    name = metric.rpartition(".")[2]
    return name.startswith("num") and name.endswith(COUNTERS)


def short_name(metric: str) -> str:
    """`visitor.numLateEvents` as `late`, `visitor.reason.flood.numRejectedEvents` as `flood`."""
    parts = metric.split(".")
    if "reason" in parts[:-1]:
        return parts[parts.index("reason") + 1]
    name = parts[-1].removeprefix("num")
    for ending in COUNTERS:
        name = name.removesuffix(ending)
    return name.lower()


def _of_folders(settings: Settings) -> Found:
    """What a start would find."""
    folders = state_folders(settings)
    newest = next(iter(newest_first(folders)), None)
    made_at_ms = None if newest is None else (newest / "_metadata").stat().st_mtime_ns // 1_000_000
    return {
        "resumes_from": None if newest is None or is_asked_to_forget(folders) else newest,
        "age_ms": None if made_at_ms is None else now_ms() - made_at_ms,
        "bytes": None if newest is None else _bytes_in(newest),
        "rebuild_is_asked_for": is_asked_to_forget(folders),
    }


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _of_kafka(settings: Settings) -> Found:
    try:
        return {"lag": lag(settings), "dead_letters": _dead_letters(settings)}
    except DependencyError as error:
        return {"lag": {"problem": str(error)}, "dead_letters": None}


def lag(settings: Settings) -> Found:
    """Records behind the last checkpoint, by partition; the job may be further already."""
    topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
    with reading(settings.kafka, topic, speed_job(settings, jars=())["group_id"]) as log:
        committed, bounds = log.committed(), log.bounds()
    behind = {
        partition: bound.until - max(committed.get(partition, bound.first), bound.first)
        for partition, bound in bounds.items()
    }
    return {"records": sum(behind.values()), "by_partition": behind}


def _dead_letters(settings: Settings) -> Found:
    with Letterbox(settings.kafka) as box:
        reasons, redriven = Counter[str](), 0
        for letter in box.letters():
            reasons[letter.content.reason] += 1
            redriven += letter.redriven_at_ms is not None
    return {"letters": reasons.total(), "redriven": redriven, "by_reason": dict(sorted(reasons.items()))}


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    return "-" if value is None else str(value)
