"""The JVM beside the job: how it is started, and how its classes are reached from Python."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from speed.job.settings import JobSettings

LOGGING: Final = Path(__file__).parent / "log4j2.properties"
ABSENT: Final = Path(__file__).parent / "absent"
PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent.parent
FLAGS: Final = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)
"""The hot code is Python: C2 takes most of a core for the first minute, and then saves little (ADR 13)."""

LEADING: Final = ("-Xmx320m",)
"""Of the JVM beside the job when the work is done elsewhere: no state passes through it."""


def prepare_environment(settings: JobSettings) -> None:
    """Set what the JVMs inherit; call it before PyFlink starts one.

    The interpreter that thread mode embeds in the JVM knows neither the virtual environment nor our project: both must
    stand in PYTHONPATH. The log configuration writes JSON lines to standard output, which the supervisor collects;
    what the JVM writes to standard error is read by nobody.

    Thread mode has no worker processes, so that neither Beam nor the server that PyFlink has for them need be loaded:
    that would be most of a start.
    """
    sys.path.insert(0, str(ABSENT))
    size = LEADING if settings.taskmanagers else (f"-Xmx{settings.heap_mb}m",)
    os.environ.update(  # noqa: TID251 - the one way to tell a child process that PyFlink starts
        PYTHONPATH=os.pathsep.join((str(ABSENT), sysconfig.get_path("purelib"), str(PROJECT_ROOT))),
        LOG4J_PROPERTIES=str(LOGGING),
        JVM_ARGS=" ".join((*size, *FLAGS)),
        _python_worker_execution_mode="process",
    )


def reporters() -> list[Path]:
    """The jars that show Flink's metrics. Inside one JVM it looks for no plugins, but takes what is on its path."""
    return sorted((Path(sysconfig.get_path("purelib")) / "pyflink" / "plugins").glob("metrics-prometheus/*.jar"))


def java_configuration(options: Mapping[str, str]) -> Any:
    """The options as an object of Flink's."""
    from pyflink.java_gateway import get_gateway

    configuration = get_gateway().jvm.org.apache.flink.configuration.Configuration()
    for name, value in options.items():
        configuration.setString(name, value)
    return configuration


def new_object(class_name: str, *arguments: Any) -> Any:
    """A Java object of one of the job's jars, made by the only constructor of its class: strings or Java objects."""
    from pyflink.java_gateway import get_gateway

    gateway = get_gateway()
    java = gateway.jvm.java.lang
    given = gateway.new_array(java.Object, len(arguments))
    for index, argument in enumerate(arguments):
        given[index] = argument
    loader = java.Thread.currentThread().getContextClassLoader()
    (constructor,) = loader.loadClass(class_name).getConstructors()
    return constructor.newInstance(given)
