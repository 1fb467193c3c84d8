"""What a slate costs and how long it takes, with a large model, at a fixed rate and at rising ones.

    python -m tests.benchmark.bench_serving [--tiers full instant] [--rate 1000] [--seconds 60] [--steps 8]
        [--step-seconds 20] [--items 100000] [--sessions 1000000] [--folder KEPT] [--visitors 20000] [--workers 2]
        [--beside 500] [--away cassandra kafka]

Starts servers of its own: Redis, Cassandra and Kafka with what is known of visitors and items, and the server with its
workers. Requests come on a fixed schedule, and latencies are from the instants of the schedule (`request_load`). After
the first rate each is half as much again, until one is not kept. With `--beside` the speed job, the feature writer and
so many events a second run beside all of it. The figures go to bench/results/serving.json; docs/performance.md says
what they mean.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from infra.settings import Settings
from tests.benchmark.background import Background, Flow
from tests.benchmark.machine import commit, end_when_told, keep, machine
from tests.benchmark.request_load import Schedule, figures, run
from tests.benchmark.serving_artifact import Size, ensure_artifact
from tests.benchmark.serving_rows import Profiles, fill_cassandra, fill_redis, fill_topics, known, now_ms, unknown
from tests.benchmark.serving_run import STORES, Servers, serving, stage_ms, state_folder, stores, streaming

TIERS: Final = {"full": "home", "instant": "email"}
"""The placement that each tier is asked for (`serving_run.PLACEMENTS`): as many items of the same sources."""

PATH: Final = "/v1/recommendations"
COUNT: Final = 20
KNOWN_SHARE: Final = 0.9
STEP: Final = 1.5
KEPT_SHARE: Final = 0.97
"""A rate is kept when at least so much of it is answered before the schedule is over, and nothing fails."""

PROFILES: Final = 300
TRENDING: Final = 500


def main() -> int:
    """Read the arguments, run, print and write. Nothing fails for being slow."""
    options = arguments()
    end_when_told()
    found: dict[str, Any] = {"machine": machine(), "commit": commit()}
    size = Size(options.items, options.sessions)
    with ExitStack() as stack:
        kept = options.folder or Path(stack.enter_context(TemporaryDirectory(prefix="bench-artifact-")))
        settings = stack.enter_context(state_folder(options.workers, kept))
        ensure_artifact(kept, size, now_ms())
        say("the artifact is there")
        running = stack.enter_context(stores(settings, options.away))
        fill(settings, size, options)
        say("the stores are filled")
        servers = stack.enter_context(serving(settings, running))
        say(f"the server is ready after {servers.ready_s} s")
        if options.beside:
            stack.enter_context(streaming(settings))
            stack.enter_context(Background(settings, Flow(options.beside)))
        warm_up(servers, options)
        found |= {"items": size.items, "sessions": size.sessions, "artifact": size.version}
        found |= {"visitors": options.visitors, "ready_s": servers.ready_s, "max_requests_per_s": {}, "runs": []}
        for one in (run for tier in options.tiers for run in measure(servers, options, tier)):
            found["runs"].append(one)
            found["max_requests_per_s"] = {tier: best_of(found["runs"], tier) for tier in TIERS}
            say(json.dumps(one))
            keep("serving.json", found)
    return 0


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiers", nargs="*", default=tuple(TIERS), choices=tuple(TIERS), help="what is measured")
    parser.add_argument("--rate", type=float, default=1_000.0, help="requests a second, to begin with")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the first rate")
    parser.add_argument("--steps", type=int, default=8, help="higher rates at most; 0: none")
    parser.add_argument("--step-seconds", type=float, default=20.0, help="of each of them")
    parser.add_argument("--warm-up", type=int, default=2_000, help="requests before, at half the rate")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the artifact here, and take it from here the next time")
    parser.add_argument("--visitors", type=int, default=20_000, help="visitors with rows in the stores")
    parser.add_argument("--profiles", type=int, default=PROFILES, help="different ones of them")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server")
    parser.add_argument("--away", nargs="*", default=(), choices=tuple(STORES), help="stores that are not started")
    parser.add_argument("--beside", type=float, default=0.0, help="events a second that the stream takes in meanwhile")
    return parser.parse_args()


def fill(settings: Settings, size: Size, options: argparse.Namespace) -> None:
    """What the server reads."""
    profiles = Profiles(size.items, now_ms())
    some = list(islice(profiles, options.profiles))
    if "redis" not in options.away:
        fill_redis(settings, some, options.visitors)
    if "cassandra" not in options.away:
        fill_cassandra(settings, some, options.visitors)
    if "kafka" not in options.away:
        fill_topics(settings, size.items, profiles.item_states(TRENDING))


def warm_up(servers: Servers, options: argparse.Namespace) -> None:
    """Rows into the cache and code into the processor's, at a rate that nobody measures."""
    if options.warm_up:
        rate = max(options.rate / 2, 1.0)
        for tier in options.tiers:
            run(schedule_of(servers, bodies(options.warm_up, options.visitors, tier, seed=0), rate))


def measure(servers: Servers, options: argparse.Namespace, tier: str) -> Iterator[dict[str, Any]]:
    """The first rate, then higher ones until one is not kept."""
    rate, seconds = options.rate, options.seconds
    for number in range(1 + options.steps):
        found = measure_rate(servers, Load(tier, rate, seconds, seed=number + 1), options)
        yield found
        if not is_kept(found):
            return
        rate, seconds = rate * STEP, options.step_seconds


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked."""

    tier: str
    rate: float
    seconds: float
    seed: int


def measure_rate(servers: Servers, load: Load, options: argparse.Namespace) -> dict[str, Any]:
    """One rate."""
    loadavg = round(os.getloadavg()[0], 1)
    asked = bodies(max(round(load.rate * load.seconds), 1), options.visitors, load.tier, seed=load.seed)
    stages, before = servers.scrape(), servers.usage()
    answers = run(schedule_of(servers, asked, load.rate))
    after = servers.usage()
    spent_s = {name: after[name].cpu_s - before[name].cpu_s for name in after}
    answered = sum(status != 0 for status in answers.statuses)
    return {
        "tier": load.tier,
        "rate": round(load.rate, 1),
        **figures(answers),
        "cpu_ms_per_request": round(spent_s["serving"] / max(answered, 1) * 1_000, 3),
        "cores": round(spent_s["serving"] / answers.seconds, 3),
        "rss_mb": after["serving"].rss_mb,
        "pss_mb": after["serving"].pss_mb,
        "stages_ms": stage_ms(stages, servers.scrape()),
        "workers": servers.settings.serving.workers,
        "requests": len(asked),
        "seconds": round(answers.seconds, 1),
        "beside_events_per_s": options.beside,
        "away": list(options.away),
        "cpu_ms_of_stores_per_request": {
            name: round(used / max(answered, 1) * 1_000, 3) for name, used in spent_s.items() if name != "serving"
        },
        "load": loadavg,
    }


def schedule_of(servers: Servers, asked: Sequence[bytes], rate: float) -> Schedule:
    """These bodies at this rate."""
    serving_settings = servers.settings.serving
    return Schedule(serving_settings.host, serving_settings.port, PATH, asked, rate)


def bodies(count: int, visitors: int, tier: str = "full", *, seed: int) -> list[bytes]:
    """Nine of ten of known visitors, by Zipf's law; the others come for the first time."""
    generator = np.random.default_rng(seed)
    mass = np.cumsum(1.0 / np.arange(1, visitors + 1))
    numbers = np.minimum(np.searchsorted(mass, generator.random(count) * mass[-1]), visitors - 1)
    is_known = generator.random(count) < KNOWN_SHARE
    asked = {"count": COUNT, "placement": TIERS[tier]}
    names = (
        known(number) if has_rows else unknown(seed * 10**8 + place)
        for place, (number, has_rows) in enumerate(zip(numbers.tolist(), is_known.tolist(), strict=True))
    )
    return [json.dumps({**asked, "visitor_id": name}, separators=(",", ":")).encode() for name in names]


def is_kept(found: Mapping[str, Any]) -> bool:
    """Whether the server kept up with the rate."""
    return bool(found["errors"] == 0 and found["served_per_s"] >= KEPT_SHARE * found["rate"])


def best_of(runs: Sequence[Mapping[str, Any]], tier: str) -> float | None:
    """The most requests a second that were answered in time in any run of the tier; None while it kept all rates."""
    ours = [one for one in runs if one["tier"] == tier]
    return None if all(map(is_kept, ours)) else max(one["served_per_s"] for one in ours)


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
