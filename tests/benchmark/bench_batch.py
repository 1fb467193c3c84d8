"""How long the daily batch takes as the log grows, how much memory it needs, and how fast its rows are published.

    python -m tests.benchmark.bench_batch [--events 1000000 3000000] [--items 100000] [--repeats 1] [--no-publish]

Each size runs in a process of its own, on a lake made for it. Writes bench/results/batch.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import stats

from tests.benchmark.machine import commit, end_when_told, keep, machine
from tests.benchmark.publish_run import publish_rows

FIT_FROM: Final = 3_000_000
"""Below it the start of everything hides the growth."""


def main() -> None:
    """Run every size, then publish the rows of the first."""
    options = parser().parse_args()
    end_when_told()
    runs: list[dict[str, Any]] = []
    found: dict[str, Any] = {"machine": machine(), "commit": commit(), "runs": runs}
    for number, events in enumerate(options.events * options.repeats):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            runs.append(run(Path(folder), events, options))
            print(json.dumps(runs[-1]), flush=True)
            if number == 0 and not options.no_publish:
                found["publish"] = publish_rows(Path(folder))
                print(json.dumps(found["publish"]), flush=True)
        found["growth"] = {name: growth(runs, name) for name in ("total", "covisitation", "duckdb")}
        keep("batch.json", found)
    print(json.dumps(found["growth"]))


def run(folder: Path, events: int, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one size."""
    command = ["-m", "tests.benchmark.batch_run", str(folder), str(events), str(options.items), options.spark_memory]
    told = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return figures


def growth(runs: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The exponent of time over events by least squares of their logarithms, with its 95 % interval (Student's t)."""
    large = [one for one in runs if one["events"] >= FIT_FROM]
    if len({one["events"] for one in large}) < 2:
        return None
    events = np.log([one["events"] for one in large])
    seconds = np.log([one["total_s"] if name == "total" else one["steps"][name]["s"] for one in large])
    fit = stats.linregress(events, seconds)
    told: dict[str, Any] = {"exponent": round(float(fit.slope), 3), "runs": len(large)}
    if len(large) > 2:
        half = float(stats.t.ppf(0.975, len(large) - 2) * fit.stderr)
        told["interval"] = [round(float(fit.slope) - half, 3), round(float(fit.slope) + half, 3)]
    return told


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--events", type=int, nargs="+", default=[1_000_000, 3_000_000], metavar="N")
    found.add_argument("--items", type=int, default=100_000, metavar="N", help="of the catalogue (100,000)")
    found.add_argument("--repeats", type=int, default=1, metavar="N", help="of all sizes; gives the fit its interval")
    found.add_argument("--spark-memory", default="5g", metavar="SIZE", help="heap of Spark's JVM (5g)")
    found.add_argument("--folder", type=Path, metavar="DIR", help="for lakes and scratch files (the system's)")
    found.add_argument("--no-publish", action="store_true", help="start no Cassandra")
    return found


if __name__ == "__main__":
    main()
