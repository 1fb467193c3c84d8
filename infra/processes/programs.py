"""Our own programs as commands: what each is started with and how it says that it is ready."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from infra.processes.java import jars_of, java_home
from infra.processes.launch import Command
from infra.processes.ports import ListenPort
from infra.processes.readiness import FlinkJobRuns, HeartbeatSeen, HttpAnswers, heartbeat_path
from infra.settings import PROJECT_ROOT, Settings
from schemas.errors import ConfigurationError
from schemas.topics import DEAD_LETTERS, INTERACTIONS, ITEM_STATES, VISITOR_STATES

SPEED_ENVIRONMENT: Final = PROJECT_ROOT / ".venv" / "speed"
LOOPBACK: Final = "127.0.0.1"
SPEED_TOPICS: Final = (INTERACTIONS, VISITOR_STATES, ITEM_STATES, DEAD_LETTERS)


def topics(settings: Settings) -> Command:
    """Create the topics; ends when they exist."""
    return _main_program(settings, "topics", "infra.processes.topics")


def features(settings: Settings) -> Command:
    """Register the feature views and create their tables; ends when that is done."""
    return _main_program(settings, "features", "feature_repo", "apply")


def speed(settings: Settings) -> Command:
    """The Flink job: what the supervisor starts, and `python -m speed run` becomes."""
    return flink_job("speed", settings, speed_job(settings))


def flink_job(name: str, settings: Settings, job: Mapping[str, Any]) -> Command:
    """A Flink job in its own Python environment, told its few settings in a file; see `speed_job`."""
    job_file = settings.run_dir / f"{name}-job.json"
    job_file.parent.mkdir(parents=True, exist_ok=True)
    job_file.write_text(json.dumps(job, indent=2) + "\n")
    port = job["rest_port"]
    return Command(
        name=name,
        argv=(str(_speed_python()), "-m", "speed.job", "--settings", str(job_file)),
        log_path=settings.logs_dir / f"{name}.log",
        ready=FlinkJobRuns(LOOPBACK, port),
        ports=(ListenPort("FIRTH_FLINK__REST_PORT", LOOPBACK, port),),
        environment={
            "JAVA_HOME": str(java_home()),
            "PYTHONPATH": os.pathsep.join((str(_speed_packages()), str(PROJECT_ROOT))),
            "PYTHONUNBUFFERED": "1",
        },
        ready_limit_s=300.0,  # a JVM that starts a Python that loads Flink's classes again
        grace_s=30.0,
    )


def writer(settings: Settings) -> Command:
    """The feature writer: changelog topics into the online store."""
    return _main_program(settings, "writer", "speed.writer", ready=_heartbeat(settings, "writer"))


def archiver(settings: Settings) -> Command:
    """The archiver: interactions into the lake."""
    return _main_program(settings, "archiver", "batch", "archive", ready=_heartbeat(settings, "archiver"))


def parity(settings: Settings) -> Command:
    """The gauge that compares the stores with the log."""
    every_s, sample = f"{settings.parity.every_s:g}", str(settings.parity.sample)
    arguments = ("parity", "--every", every_s, "--sample", sample)
    return _main_program(settings, "parity", "batch", *arguments, ready=_heartbeat(settings, "parity"))


def schedule(settings: Settings) -> Command:
    """What starts the daily run at its time of day."""
    return _main_program(settings, "schedule", "batch", "schedule", ready=_heartbeat(settings, "schedule"))


def serving(settings: Settings) -> Command:
    """The HTTP server."""
    host, port = settings.serving.host, settings.serving.port
    return dataclasses.replace(
        _main_program(settings, "serving", "serving", ready=HttpAnswers(_reachable(host), port, "/healthz")),
        ports=(ListenPort("FIRTH_SERVING__PORT", host, port),),
    )


def speed_job(settings: Settings, jars: Sequence[Path] | None = None) -> dict[str, Any]:
    """What the speed job is told: it runs where pydantic is not, so it gets plain values.

    `jars` stand in for those of this machine when the job runs on another.
    """
    prefix = settings.kafka.topic_prefix
    return {
        "bootstrap": settings.kafka.bootstrap,
        "group_id": f"{prefix}firth-speed",
        "topics": {topic.name.replace("-", "_"): topic.named(prefix).name for topic in SPEED_TOPICS},
        "checkpoint_dir": str(settings.flink_dir.absolute() / "checkpoints"),
        "savepoint_dir": str(settings.flink_dir.absolute() / "savepoints"),
        "artifacts_dir": str(settings.artifacts_dir.absolute()),
        "rest_port": settings.flink.rest_port,
        "metrics_port": settings.metrics.flink_port,
        "state_backend": settings.flink.state_backend,
        "taskmanagers": settings.flink.taskmanagers,
        "parallelism": settings.flink.parallelism,
        "checkpoint_interval_ms": settings.flink.checkpoint_interval_ms,
        "buffer_timeout_ms": settings.flink.buffer_timeout_ms,
        "managed_memory_mb": settings.flink.managed_memory_mb,
        "heap_mb": settings.flink.heap_mb,
        "heartbeat": str(heartbeat_path(settings.run_dir, "speed")),
        "policies": dataclasses.asdict(settings.policies),
        "jars": [str(jar) for jar in (_flink_jars(settings.jars_dir) if jars is None else jars)],
    }


def _main_program(
    settings: Settings, name: str, module: str, *arguments: str, ready: HeartbeatSeen | HttpAnswers | None = None
) -> Command:
    return Command(
        name=name,
        argv=(sys.executable, "-m", module, *arguments),
        log_path=settings.logs_dir / f"{name}.log",
        ready=ready,
        environment={"FIRTH_STATE_DIR": str(settings.state_dir), "PYTHONUNBUFFERED": "1"},
    )


def _heartbeat(settings: Settings, name: str) -> HeartbeatSeen:
    return HeartbeatSeen(heartbeat_path(settings.run_dir, name))


def _reachable(host: str) -> str:
    """Where to ask a server that may listen on all interfaces."""
    return LOOPBACK if host == "0.0.0.0" else host


def _flink_jars(jars_dir: Path) -> list[Path]:
    """The connector's jars and our own small one."""
    return [*sorted(jars_of(jars_dir, "flink").glob("*.jar")), jars_dir / "firth-flink.jar"]


def _speed_python() -> Path:
    python = SPEED_ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise ConfigurationError(str(SPEED_ENVIRONMENT), "the speed job's environment is missing", "run `make setup`")
    return python


def _speed_packages() -> Path:
    """Flink embeds the interpreter in its JVM, where the environment's packages must be named."""
    return next(SPEED_ENVIRONMENT.glob("lib/python3.*/site-packages"))
