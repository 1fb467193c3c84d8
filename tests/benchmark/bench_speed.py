"""How fast is the speed layer's job, with everything on this machine?

    python -m tests.benchmark.bench_speed [--visitors 1000 10000 100000] [--backends hashmap rocksdb]
        [--taskmanagers 0] [--events 400000] [--rate 15000] [--seconds 15] [--no-writer]

For each combination, on a Kafka of its own: fill the log, let the job catch up with it, send at a fixed rate, kill the
job and start it again from its checkpoint. Then compare rows of a sample of visitors and items with the naive
reference: a mismatch fails the command. The figures go to bench/results/speed.json; docs/performance.md says what they
mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from infra.processes import kafka
from schemas.topics import INTERACTIONS
from tests.benchmark.exactness import Exactness
from tests.benchmark.figures import RunFigures, Window
from tests.benchmark.job_run import JobRun, Shape
from tests.benchmark.load import Load, count, make_load, state_bytes_at
from tests.benchmark.machine import commit, end_when_told, keep, machine
from tests.benchmark.process_tree import ProcessTree
from tests.benchmark.sending import Sender
from tests.benchmark.writer_run import measure_writer
from tests.servers import instance_in

SETTLING_MS: Final = 2_000
BACKENDS: Final = ("hashmap", "rocksdb")
DIFFERENCES_SHOWN: Final = 20


def main() -> int:
    """Read the arguments, run, print and write; 1 when a row differs from the reference."""
    options = arguments()
    end_when_told()
    found: dict[str, Any] = {"machine": machine(), "commit": commit(), "runs": []}
    differences: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-speed-") as folder, ExitStack() as running:
        settings = instance_in(Path(folder))
        found["state_bytes_at_50_events"] = state_bytes_at(50, settings.policies)
        broker = kafka.start(settings)
        running.callback(broker.stop)
        broker.wait_ready()
        for shape, load in plan(options):
            say(f"{shape.visitors} visitors, {shape.state_backend}, {shape.taskmanagers} task managers")
            figures, exactness = run_one(JobRun(settings, shape), load, options)
            found["runs"].append(figures)
            differences += exactness.differences
            keep("speed.json", found)
            say(json.dumps(figures))
    for difference in differences[:DIFFERENCES_SHOWN]:
        say(difference)
    say(f"{sum(run['parity']['rows'] for run in found['runs'])} rows compared, {len(differences)} mismatches")
    return 1 if differences else 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--backends", choices=BACKENDS, nargs="+", default=list(BACKENDS))
    parser.add_argument("--taskmanagers", type=int, nargs="+", default=[0])
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--events", type=int, default=400_000, help="the backlog, without the warm-up")
    parser.add_argument("--rate", type=float, default=15_000, help="events per second while sustained")
    parser.add_argument("--seconds", type=float, default=15, help="how long; 0: not at all")
    parser.add_argument("--no-restart", action="store_true", help="do not kill the job and start it again")
    parser.add_argument("--no-writer", action="store_true", help="do not measure the writer and the archiver")
    return parser.parse_args()


def plan(options: argparse.Namespace) -> Iterator[tuple[Shape, Load]]:
    """Every combination, with the load that those of as many visitors share."""
    for visitors in options.visitors:
        load = make_load(visitors, options.events, options.rate, options.seconds)
        for backend in options.backends:
            for taskmanagers in options.taskmanagers:
                yield Shape(visitors, backend, taskmanagers, options.parallelism), load


def run_one(run: JobRun, load: Load, options: argparse.Namespace) -> tuple[dict[str, Any], Exactness]:
    """The figures of one run, and what its rows say against the reference."""
    run.create_topics()
    try:
        with Sender(run.settings.kafka, run.topic(INTERACTIONS)) as sender:
            sender.send_all(load.warm_up)
            sender.send_all(load.backlog)
            figures = RunFigures(run, load)
            figures.launched_ms = now_ms()
            with run.started() as job, ProcessTree(job) as figures.tree:
                run.wait_drained(job, sender.log.ends)
                say(f"  caught up {(now_ms() - figures.launched_ms) / 1e3:.0f} s after the start")
                run.assert_as_asked()
                figures.checkpoint = run.last_checkpoint()
                if load.live:
                    figures.live = send_live(sender, load)
                    run.wait_drained(job, sender.log.ends)
                    say(f"  sent {figures.live.rate:.0f} a second live")
                if not options.no_restart:
                    job.kill()
            if not options.no_restart:
                restart(run, sender, load, figures)
                say(f"  restarted, and caught up {(now_ms() - figures.relaunched_ms) / 1e3:.0f} s after that")
        exactness = figures.read(sender.log)
        found = figures.report() | {"parity": exactness.report()}
        if not options.no_writer:
            options.no_writer = True  # once is enough
            found["writer"] = measure_writer(run, count(load.warm_up, load.backlog, load.live))
        return found, exactness
    finally:
        run.delete_topics()


def send_live(sender: Sender, load: Load) -> Window:
    """The live part at its rate."""
    started_ms = now_ms()
    sent = count(load.live)
    rate = sender.send_paced(load.live, load.rate)
    return Window(started_ms, now_ms() + SETTLING_MS, sent, rate)


def restart(run: JobRun, sender: Sender, load: Load, figures: RunFigures) -> None:
    """What a killed job finds when it comes back from its checkpoint."""
    sender.send_all(load.afterwards)
    run.wait_gone()
    figures.relaunched_ms = now_ms()
    with run.started() as job:
        run.wait_drained(job, sender.log.ends)
        figures.resumed = '"resume_from": "' in "".join(job.last_log_lines(10_000))


def now_ms() -> int:
    """The wall clock, which is the broker's too."""
    return time.time_ns() // 1_000_000


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
