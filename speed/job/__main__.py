"""`python -m speed.job --settings FILE.json`: run the job until it fails or is told to stop."""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import logs
from infra.exits import run_command
from infra.processes.ports import free_ports
from infra.processes.readiness import FlinkJobRuns
from schemas.errors import DependencyError
from speed.job.checkpoints import StateFolders, is_readable
from speed.job.cluster import Cluster, cluster_of
from speed.job.flink_options import LOOPBACK, cluster_options, job_options
from speed.job.forgetting import forget_when_asked
from speed.job.jvm import java_configuration, prepare_environment, reporters
from speed.job.settings import JobSettings, read_settings
from speed.job.start import decide
from speed.job.working import working_folder

if TYPE_CHECKING:
    from pyflink.common import JobClient

LOG = logging.getLogger("speed.job")
WATCH_PERIOD_S = 1.0
STARTING_PERIOD_S = 0.2
TRACE_ABOVE = "the log above has the whole trace"
CHATTY_LIBRARIES = ("apache_beam", "pyflink")


def main() -> int:
    """0 after a stop; see `infra.exits` for the rest."""
    parser = argparse.ArgumentParser(prog="python -m speed.job", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="JSON, see speed/job/settings.py")
    settings = read_settings(parser.parse_args().settings)
    logs.configure("speed-job")
    for library in CHATTY_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    run(settings, stopped)
    LOG.info("job.stopped")
    return 0


def run(settings: JobSettings, stopped: threading.Event) -> None:
    """Until it is told to stop. TaskManagers start first: they take as long as all that must be done here."""
    prepare_environment(settings)
    with working_folder(StateFolders.of(settings).checkpoints.parent / "working") as working:
        options = cluster_options(settings, working, rpc_port=next(free_ports(random.Random())))
        with cluster_of(settings, options, working) as cluster:
            client = submit(settings, options, cluster)
            watch(client, cluster, settings, stopped)


def submit(settings: JobSettings, options: dict[str, str], cluster: Cluster) -> JobClient:
    """Start Flink, as far as it runs in this process's JVM, and hand it the job."""
    from py4j.protocol import Py4JJavaError
    from pyflink.util.java_utils import add_jars_to_context_class_loader

    from speed.job import topology

    now_ms = time.time_ns() // 1_000_000
    aside = forget_when_asked(StateFolders.of(settings), now_ms)
    if aside is not None:
        LOG.info("state.forgotten", extra={"aside": aside})
    start = decide(settings, is_readable, now_ms)
    LOG.info("job.submitted", extra={"resume_from": start.state, "else_from_ms": start.at_ms})
    if settings.taskmanagers:
        cluster.lead(options)
    environment = new_environment(java_configuration(options | job_options(settings, start)), settings)
    add_jars_to_context_class_loader([f"file://{jar}" for jar in (*settings.jars, *reporters())])
    topology.build(environment, settings, start)
    try:
        return environment.execute_async("firth-speed")
    except Py4JJavaError as error:
        raise DependencyError("flink", root_cause(str(error)), TRACE_ABOVE) from error


def new_environment(configuration: Any, settings: JobSettings) -> Any:
    """A job's environment; the one that PyFlink makes runs all that it is given inside this process's JVM."""
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.java_gateway import get_gateway

    java = get_gateway().jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
    made = java(configuration) if settings.taskmanagers else java.getExecutionEnvironment(configuration)
    return StreamExecutionEnvironment(made)


def watch(client: JobClient, cluster: Cluster, settings: JobSettings, stopped: threading.Event) -> None:
    """Return when told to stop.

    Raises:
        DependencyError: the job or its JVM has ended by itself, or a TaskManager dies again and again.
    """
    from py4j.protocol import Py4JError

    try:
        _watch(client, cluster, settings, stopped)
    except Py4JError as error:
        raise DependencyError(
            "flink", f"its JVM is gone: {error}", "was its heap too small (FIRTH_FLINK__HEAP_MB)?"
        ) from error
    with suppress(Py4JError):  # whoever told us to stop may have told the JVM too
        client.cancel().result()


def root_cause(trace: str) -> str:
    """The last cause of a Java stack trace, on one line."""
    causes = [line for line in trace.splitlines() if line.startswith("Caused by: ")]
    return (causes[-1:] or trace.splitlines()[:1] or ["no cause was given"])[0].removeprefix("Caused by: ")


def _watch(client: JobClient, cluster: Cluster, settings: JobSettings, stopped: threading.Event) -> None:
    execution, runs = client.get_job_execution_result(), FlinkJobRuns(LOOPBACK, settings.rest_port)
    was_running = False
    while not stopped.wait(WATCH_PERIOD_S if was_running else STARTING_PERIOD_S):
        now_ms = time.time_ns() // 1_000_000
        if execution.done():
            raise DependencyError("flink job", root_cause(str(execution.exception())), TRACE_ABOVE)
        is_running = runs.holds(now_ms)
        cluster.step(now_ms, job_runs=is_running)
        if is_running and not was_running:
            LOG.info("job.running")
        was_running = is_running
        if is_running and settings.heartbeat is not None:
            heartbeat = Path(settings.heartbeat)
            heartbeat.parent.mkdir(parents=True, exist_ok=True)
            heartbeat.touch()


if __name__ == "__main__":
    sys.exit(run_command(main))
