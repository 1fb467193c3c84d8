"""A JobManager in the JVM beside this process, and TaskManagers as processes of their own.

They die with this one, however it dies, and one that dies alone is started again.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from infra.processes import tether
from infra.processes.restarts import RestartHistory, RestartPolicy
from schemas.errors import DependencyError
from speed.job.jvm import FLAGS, LOGGING, PROJECT_ROOT, java_configuration
from speed.job.settings import JobSettings

LOG = logging.getLogger("speed.job")

MAIN_CLASS: Final = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
CONFIGURATION: Final = "config.yaml"
STOP_LIMIT_S: Final = 10.0
POLICY: Final = RestartPolicy(delay_min_ms=250)
"""The job stands while one is away, so the first is started again at once."""


class Process(Protocol):
    """What is needed of `subprocess.Popen`."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class TaskManager:
    """One place of the cluster, and the process that fills it now."""

    def __init__(self, number: int, start: Callable[[int], Process]) -> None:
        self.number = number
        self._start = start
        self.start()

    def start(self) -> None:
        """Fill the place."""
        self.process = self._start(self.number)
        self.was_ready = False
        self.start_at_ms: int | None = None


class Cluster:
    """Keeps so many TaskManagers alive, by instants that come from outside; none at all is well too."""

    def __init__(self, count: int, start: Callable[[int], Process], policy: RestartPolicy = POLICY) -> None:
        self._policy = policy
        self._history = RestartHistory()
        self._places = [TaskManager(number, start) for number in range(1, count + 1)]
        self._leader: Any = None

    def lead(self, options: Mapping[str, str]) -> None:
        """Have the JVM beside this process lead the TaskManagers.

        Raises:
            DependencyError: it could not begin, most likely because a port of it was taken meanwhile.
        """
        from py4j.protocol import Py4JJavaError
        from pyflink.java_gateway import get_gateway

        entrypoint = get_gateway().jvm.org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint
        self._leader = entrypoint(java_configuration(options))
        try:
            self._leader.startCluster()
        except Py4JJavaError as error:
            raise DependencyError("flink jobmanager", str(error.java_exception), "start it again") from error

    def step(self, now_ms: int, *, job_runs: bool) -> None:
        """Start again what has died.

        Raises:
            DependencyError: that happens too often, or the JobManager has ended.
        """
        if self._leader is not None and self._leader.getTerminationFuture().isDone():
            raise DependencyError("flink jobmanager", "ended by itself", "the log above says why")
        for place in self._places:
            code = place.process.poll()
            if code is None:
                place.was_ready = place.was_ready or job_runs
            elif place.start_at_ms is None:
                self._mourn(place, code, now_ms)
            elif now_ms >= place.start_at_ms:
                self._history = self._history.restarted(now_ms)
                place.start()

    def stop(self) -> None:
        """Ask all of them to end, and end those that do not."""
        for place in self._places:
            place.process.terminate()
        deadline = time.monotonic() + STOP_LIMIT_S
        for place in self._places:
            try:
                place.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                place.process.kill()
                place.process.wait()

    def _mourn(self, place: TaskManager, code: int, now_ms: int) -> None:
        place.start_at_ms = self._history.next_start_at_ms(now_ms, was_ready=place.was_ready, policy=self._policy)
        if place.start_at_ms is None:
            raise DependencyError(
                f"flink taskmanager {place.number}",
                f"died again and again, at last with exit code {code}",
                "look at the log above; was its heap too small (FIRTH_FLINK__HEAP_MB)?",
            )
        LOG.warning(
            "taskmanager.died",
            extra={"number": place.number, "exit_code": code, "restart_in_ms": place.start_at_ms - now_ms},
        )


@contextmanager
def cluster_of(settings: JobSettings, options: Mapping[str, str], working: Path) -> Iterator[Cluster]:
    """The TaskManagers of these settings, as long as the block lasts; they wait for somebody to lead them."""
    (working / CONFIGURATION).write_text(json.dumps(options, indent=2) + "\n")  # JSON is YAML
    environment = _environment()

    def start(number: int) -> Process:
        argv = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *_command(environment, settings))
        argv = (*argv, "--configDir", str(working), "-D", f"taskmanager.resource-id=taskmanager-{number}")
        # A process group of its own: Ctrl-C at a terminal is for this process, which ends the others in its order.
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, cwd=PROJECT_ROOT, env=environment, process_group=0)

    cluster = Cluster(settings.taskmanagers, start)
    try:
        yield cluster
    finally:
        cluster.stop()


def _environment() -> dict[str, str]:
    """Of this process, with the folders of PyFlink's package in it, as PyFlink's own JVM gets them."""
    from pyflink.pyflink_gateway_server import prepare_environment_variables

    environment = dict(os.environ)  # noqa: TID251 - what a child inherits
    prepare_environment_variables(environment)
    return environment


def _command(environment: Mapping[str, str], settings: JobSettings) -> tuple[str, ...]:
    """A JVM as PyFlink starts its own, with another main class."""
    from pyflink.pyflink_gateway_server import construct_flink_classpath, find_java_executable, get_jvm_opts

    return (
        find_java_executable(),
        f"-Xmx{settings.heap_mb}m",
        *FLAGS,
        *get_jvm_opts(environment),
        f"-Dlog4j.configurationFile={LOGGING}",
        "-Dfirth.process=speed-taskmanager",
        "-cp",
        construct_flink_classpath(environment),
        MAIN_CLASS,
    )
