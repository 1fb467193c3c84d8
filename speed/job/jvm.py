"""The JVM beside the job: how it is started, and how its classes are reached from Python."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from speed.job.settings import JobSettings
from speed.job.start import Start

LOGGING: Final = Path(__file__).parent / "log4j2.properties"
PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent.parent
SLOT_SHARING_GROUPS: Final = 2
"""Visitors and items; a slot holds one subtask of each operator of its group."""


def prepare_environment(settings: JobSettings) -> None:
    """Set what the JVM inherits; call it before PyFlink starts one.

    The interpreter that thread mode embeds in the JVM knows neither the virtual environment nor our project: both must
    stand in PYTHONPATH. The log configuration writes JSON lines to standard output, which the supervisor collects;
    what the JVM writes to standard error is read by nobody.
    """
    jvm_flags = (
        f"-Xmx{settings.heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
    )
    os.environ.update(  # noqa: TID251 - the one way to tell a child process that PyFlink starts
        PYTHONPATH=os.pathsep.join((sysconfig.get_path("purelib"), str(PROJECT_ROOT))),
        LOG4J_PROPERTIES=str(LOGGING),
        JVM_ARGS=" ".join(jvm_flags),
    )


def flink_configuration(settings: JobSettings, start: Start) -> dict[str, str]:
    """The options of the job; Flink takes a checkpoint over, and leaves a savepoint as it is."""
    options = {
        "pipeline.jars": ";".join(f"file://{jar}" for jar in settings.jars),
        "parallelism.default": str(settings.parallelism),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.execution-mode": "thread",
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": str(settings.rest_port),
        "rest.bind-port": str(settings.rest_port),
        "taskmanager.numberOfTaskSlots": str(SLOT_SHARING_GROUPS * settings.parallelism),
        "metrics.fetcher.update-interval": "1000",  # `speed status` asks for them; the default is 10 s old
        "taskmanager.memory.managed.size": f"{settings.managed_memory_mb}m",
        "execution.buffer-timeout.interval": f"{settings.buffer_timeout_ms}ms",
        "state.backend.type": "hashmap",
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_ms}ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": f"file://{settings.checkpoint_dir}",
        "execution.checkpointing.num-retained": "2",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # Ten failures within a minute of each other are a bug: the process ends, and its supervisor decides. While
        # Kafka is away failures come more slowly than that, and the job waits for it.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500ms",
        "restart-strategy.exponential-delay.max-backoff": "10s",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "1min",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": "10",
    }
    if start.state is not None:
        options["execution.state-recovery.path"] = f"file://{start.state}"
        options["execution.state-recovery.claim-mode"] = "NO_CLAIM" if start.is_savepoint else "CLAIM"
    return options


def new_object(class_name: str, *texts: str) -> Any:
    """A Java object of one of the job's jars, made by its constructor that takes these strings."""
    from pyflink.java_gateway import get_gateway

    gateway = get_gateway()
    java = gateway.jvm.java.lang
    kinds = gateway.new_array(java.Class, len(texts))
    arguments = gateway.new_array(java.Object, len(texts))
    for index, text in enumerate(texts):
        kinds[index] = java.Class.forName("java.lang.String")
        arguments[index] = text
    loader = java.Thread.currentThread().getContextClassLoader()
    return loader.loadClass(class_name).getDeclaredConstructor(kinds).newInstance(arguments)
