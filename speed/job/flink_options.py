"""What Flink is told: the options of the job, and of the processes in which it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from speed.job.settings import JobSettings
from speed.job.start import Start

LOOPBACK: Final = "127.0.0.1"
SLOT_SHARING_GROUPS: Final = 2
"""Visitors and items; a slot holds one subtask of each operator of its group."""

FRAMEWORK_HEAP_MB: Final = 128
RECOVERY_TRIES_MAX: Final = 10

ALWAYS: Final = {
    "python.executable": sys.executable,
    "python.client.executable": sys.executable,
    "python.execution-mode": "thread",
    "metrics.fetcher.update-interval": "1000",  # `speed status` asks for them; the default is 10 s old
    "web.submit.enable": "false",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "execution.checkpointing.storage": "filesystem",
    "execution.checkpointing.num-retained": "2",  # the newest may be cut off by whatever ended the job
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    # Ten failures within a minute of each other are a bug: the process ends, and its supervisor decides. While
    # Kafka is away failures come more slowly than that, and the job waits for it.
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "500ms",
    "restart-strategy.exponential-delay.max-backoff": "10s",
    "restart-strategy.exponential-delay.reset-backoff-threshold": "1min",
    "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(RECOVERY_TRIES_MAX),
}

ROCKSDB: Final = {
    "execution.checkpointing.incremental": "true",
    "state.backend.rocksdb.use-bloom-filter": "true",  # a visitor who was never here is not looked for on disk
    # All managed memory is RocksDB's: Python in threads takes none of it.
    "taskmanager.memory.managed.consumer-weights": "STATE_BACKEND:100",
}

IN_PROCESSES: Final = {
    "execution.target": "remote",
    "jobmanager.rpc.address": LOOPBACK,
    "taskmanager.host": LOOPBACK,
    "taskmanager.bind-host": LOOPBACK,
    # A process that died is missed within seconds, and its successor waited for however long it takes.
    "heartbeat.interval": "2000",
    "cluster.registration.error-delay": "500",
    "resourcemanager.standalone.start-up-time": str(100 * 86_400_000),
    "taskmanager.load-balance.mode": "SLOTS",
    # What Flink's scripts would work out. But for the network's it is only told on Flink's page.
    "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_HEAP_MB}m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.off-heap.size": "0",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}

REPORTER: Final = "metrics.reporter.prometheus"


def slots_per_process(settings: JobSettings) -> int:
    """A slot for every subtask of each group, spread over the processes that there are."""
    return -(-SLOT_SHARING_GROUPS * settings.parallelism // max(1, settings.taskmanagers))


def _ports(settings: JobSettings) -> str:
    """One a process; Flink takes no range of one port for a range."""
    first, last = settings.metrics_port, settings.metrics_port + settings.taskmanagers
    return str(first) if first == last else f"{first}-{last}"


def cluster_options(settings: JobSettings, working: Path, rpc_port: int) -> dict[str, str]:
    """The options of the processes; `working` is a folder that need not outlive them."""
    options = {
        **ALWAYS,
        "jobmanager.bind-host": LOOPBACK,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": str(settings.rest_port),
        "rest.bind-port": str(settings.rest_port),
        "io.tmp.dirs": str(working),
        "taskmanager.numberOfTaskSlots": str(slots_per_process(settings)),
        "taskmanager.memory.managed.size": f"{settings.managed_memory_mb}m",
    }
    if settings.state_backend == "rocksdb":
        options |= ROCKSDB
    if settings.metrics_port:
        options |= {
            f"{REPORTER}.factory.class": "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
            f"{REPORTER}.port": _ports(settings),
        }
    if settings.taskmanagers:
        options |= IN_PROCESSES | {
            "jobmanager.rpc.port": str(rpc_port),
            "taskmanager.cpu.cores": str(float(slots_per_process(settings))),
            "taskmanager.memory.task.heap.size": f"{settings.heap_mb - FRAMEWORK_HEAP_MB}m",
        }
    return options


def job_options(settings: JobSettings, start: Start) -> dict[str, str]:
    """The options of the job.

    Flink takes a checkpoint over, and leaves a savepoint as it is. It leaves an incremental checkpoint too: its files
    may be used for long by the checkpoints after it, and lie in the folder of a run that the next start removes.
    """
    options = {
        "pipeline.jars": ";".join(f"file://{jar}" for jar in settings.jars),
        "parallelism.default": str(settings.parallelism),
        "execution.buffer-timeout.interval": f"{settings.buffer_timeout_ms}ms",
        "state.backend.type": settings.state_backend,
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms}ms",
        "execution.checkpointing.dir": f"file://{settings.checkpoint_dir}",
    }
    if start.state is not None:
        is_left = start.is_savepoint or settings.state_backend == "rocksdb"
        options["execution.state-recovery.path"] = f"file://{start.state}"
        options["execution.state-recovery.claim-mode"] = "NO_CLAIM" if is_left else "CLAIM"
    return options
