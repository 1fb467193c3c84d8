"""From a click to the slate that knows it, with the whole platform running on this machine.

    python -m tests.benchmark.bench_freshness [--rates 50 1000 5000] [--seconds 40]
        [--overload [--capacity EVENTS_PER_S] [--overload-seconds 300]]

Other visitors' events flow straight into Kafka at each rate, while visitors of our own click, in turn over HTTP and
straight into Kafka, and ask for their slate until it has the click. With `--overload` twice as many events as the
platform can take are sent. In the end rows of a sample are compared with the log: a mismatch fails the command. The
figures go to bench/results/freshness.json; docs/performance.md says what they mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from tests.benchmark.background import NO_PACE, Background, Flow
from tests.benchmark.machine import commit, end_when_told, keep, machine
from tests.benchmark.overload import Overload
from tests.benchmark.probes import ROUTES, Prober, Route
from tests.benchmark.row_log import percentiles
from tests.benchmark.whole_system import WholeSystem, whole_system
from tests.waiting import wait_until

WARM_UP_EVENTS: Final = 100_000
WARM_UP_PROBES: Final = 30
WARM_UP_LIMIT_S: Final = 300.0
PAUSE_S: Final = 0.05
SETTLING_S: Final = 3.0


def main() -> int:
    """Read the arguments, run, print and write; 1 when something is lost, differs or stays unseen."""
    options = arguments()
    end_when_told()
    found: dict[str, Any] = {"machine": machine(), "commit": commit(), "runs": []}
    with whole_system() as system, closing(Prober(system.settings)) as prober:
        found["first_click_ms"] = prober.probe("http")
        warm_up(system, prober)
        for rate in options.rates:
            found["runs"] += measure(system, prober, rate, options.seconds)
            keep("freshness.json", found)
        system.rest()
        found["parity"] = system.parity()
        found["degraded"], found["unseen"] = dict(prober.degraded), prober.unseen
        say(f"parity: {found['parity']}")
        if options.overload:
            found["overload"] = Overload(system, prober).run(options.capacity, options.overload_seconds)
            say(json.dumps(found["overload"]))
    keep("freshness.json", found)
    complaints = complain(found)
    for complaint in complaints:
        say(complaint)
    return 1 if complaints else 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="*", default=[50.0, 1_000.0, 5_000.0])
    parser.add_argument("--seconds", type=float, default=40.0, help="of each rate")
    parser.add_argument("--overload", action="store_true", help="also send twice what the platform can take")
    parser.add_argument("--capacity", type=float, default=0.0, help="what it can take; 0: find out by a burst")
    parser.add_argument("--overload-seconds", type=float, default=300.0)
    return parser.parse_args()


def warm_up(system: WholeSystem, prober: Prober) -> None:
    """A JVM that has just started is slow, and a platform is seldom that young: let it take in a burst, and ask it."""
    with Background(system.settings, Flow(NO_PACE, count=WARM_UP_EVENTS, seed=5)) as load:
        load.wait()
    wait_until(lambda: system.behind() <= 0, WARM_UP_LIMIT_S, "the burst of the warm-up to be taken in")
    for _ in range(WARM_UP_PROBES):
        prober.probe("kafka")


def measure(system: WholeSystem, prober: Prober, rate: float, seconds: float) -> list[dict[str, Any]]:
    """Probes over both routes, in turn, under one rate."""
    took_ms: dict[Route, list[float]] = {route: [] for route in ROUTES}
    load_average, unseen, began_ms = round(os.getloadavg()[0], 1), prober.unseen, time.time() * 1_000
    with Background(system.settings, Flow(rate)) as load:
        time.sleep(SETTLING_S)
        before, sent, started_s = system.cpu_s(), load.sent, time.monotonic()
        while time.monotonic() < started_s + seconds:
            for route in ROUTES:
                found = prober.probe(route)
                if found is not None:
                    took_ms[route].append(found)
                time.sleep(PAUSE_S)
        spent_s = time.monotonic() - started_s
        cores = {name: round((used - before[name]) / spent_s, 2) for name, used in system.cpu_s().items()}
        reached = (load.sent - sent) / spent_s
    shared = {
        "background_reached_per_s": round(reached),
        "unseen": prober.unseen - unseen,
        "row_age": system.row_ages(began_ms, time.time() * 1_000),
        "load": load_average,
        "cpu_cores": {name: used for name, used in cores.items() if used >= 0.01},
        "memory_mb": system.memory_mb(),
    }
    runs = [
        {"background_events_per_s": round(rate), "route": route, **percentiles(took_ms[route]), **shared}
        for route in ROUTES
    ]
    for run in runs:
        say(json.dumps(run))
    return runs


def complain(found: Mapping[str, Any]) -> list[str]:
    """What must not be, whatever the machine."""
    overload = found.get("overload")
    verdicts = [found["parity"], *([overload["parity"]] if overload else [])]
    complaints = [f"parity: {one}" for one in verdicts if one.get("mismatches") != 0 or not one.get("rows")]
    if found["unseen"]:
        complaints.append(f"{found['unseen']} clicks stayed unseen")
    if overload and overload["acknowledged"] != overload["archived"]:
        complaints.append(f"{overload['acknowledged']} events were acknowledged, {overload['archived']} are archived")
    return complaints


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
