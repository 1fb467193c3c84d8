"""How good and how fast is the session-kNN?

    python -m tests.benchmark.bench_session_knn [--split DIR] [--dedup] [--unseen] [--policy long-histories]

DIR holds `train.parquet` (user_or_session_id, item_id, timestamp in seconds) and `queries.parquet` (user_or_session_id,
prefix, target, rest). Without it, sessions are generated. Prints the popularity and sequential-rules baselines beside,
and writes the same numbers to bench/results/session_knn.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from domain.evaluation import EvaluationQuery, evaluate
from domain.recommenders.popularity import Popularity
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.sequential_rules import SequentialRules
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import LONG_HISTORIES, SessionKnnPolicy
from domain.recommenders.session_log import SessionLog

Built = TypeVar("Built")

RESULTS = Path("bench/results/session_knn.json")
POLICIES = {"sessions": SessionKnnPolicy(), "long-histories": LONG_HISTORIES}


@dataclass(frozen=True)
class Protocol:
    """See `domain.evaluation`."""

    k: int
    dedup: bool
    unseen: bool


@dataclass(frozen=True)
class Split:
    """A log to learn from and the queries that follow it in time."""

    name: str
    log: SessionLog
    items_count: int
    queries: list[EvaluationQuery]


def read_split(folder: Path) -> Split:
    """Items unknown to the log get distinct negative ids; an item's dense id is its place among the sorted ids."""
    from pyarrow import parquet

    train = parquet.read_table(folder / "train.parquet")
    key = train["user_or_session_id"].to_numpy()
    at_s = train["timestamp"].to_numpy()
    order = np.lexsort((np.arange(len(key)), at_s, key))
    item_ids, items = np.unique(train["item_id"].to_numpy(), return_inverse=True)
    starts = np.flatnonzero(np.concatenate(([True], key[order][1:] != key[order][:-1])))
    offsets = np.append(starts, len(key)).astype(np.int64)
    ended_at_ms = (at_s[order][offsets[1:] - 1] * 1000).astype(np.int64)
    dense = {item_id: number for number, item_id in enumerate(item_ids.tolist())}

    def ids(raw: Sequence[int]) -> tuple[int, ...]:
        return tuple(dense.setdefault(item_id, len(item_ids) - 1 - len(dense)) for item_id in raw)

    columns = parquet.read_table(folder / "queries.parquet").to_pydict()
    rows = zip(columns["user_or_session_id"], columns["prefix"], columns["target"], columns["rest"], strict=True)
    queries = [
        EvaluationQuery(s, Session(ids(prefix)), ids([target])[0], ids(rest)) for s, prefix, target, rest in rows
    ]
    return Split(folder.name, SessionLog(offsets, items[order].astype(np.int32), ended_at_ms), len(item_ids), queries)


def generate_split(sessions: int = 50_000, items_count: int = 10_000, queried: int = 1_000) -> Split:
    """Sessions that walk with small steps along a ring of items, popular places first."""
    generator = np.random.default_rng(20_261_122)
    lengths = np.minimum(2 + generator.geometric(0.25, size=sessions), 50)
    starts = (generator.zipf(1.3, size=sessions) * 7919) % items_count
    walks = [
        ((start + np.cumsum(generator.integers(-3, 4, size=length))) % items_count).tolist()
        for start, length in zip(starts, lengths, strict=True)
    ]
    log = SessionLog.of((number * 60_000, walk) for number, walk in enumerate(walks[:-queried]))
    queries = [
        EvaluationQuery(number, Session(tuple(walk[:cut])), walk[cut], tuple(walk[cut:]))
        for number, walk in enumerate(walks[-queried:])
        for cut in range(1, len(walk))
    ]
    return Split("generated", log, items_count, queries)


def measure_quality(recommender: Recommender, split: Split, protocol: Protocol) -> dict[str, object]:
    """Means with 95 % intervals over sessions."""
    k = protocol.k
    outcome = evaluate(recommender, split.queries, k, dedup=protocol.dedup, unseen=protocol.unseen)
    measures = {"hit_rate": f"HR@{k}", "reciprocal_rank": f"MRR@{k}", "ndcg": f"NDCG@{k}"}
    generator = np.random.default_rng(7)
    rounded = {name: [round(x, 4) for x in outcome.interval(m, generator)] for m, name in measures.items()}
    return {"queries": len(outcome), **rounded}


def measure_latency(call: Callable[[Session], object], queries: list[EvaluationQuery]) -> dict[str, float]:
    """Wall-clock time of one call after another, in microseconds."""
    taken_ns = []
    for query in queries:
        started_ns = time.perf_counter_ns()
        call(query.prefix)
        taken_ns.append(time.perf_counter_ns() - started_ns)
    p50, p99 = np.percentile(taken_ns, (50, 99)) / 1000
    return {"p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1)}


def timed(build: Callable[[], Built]) -> tuple[Built, float]:
    """The result, and the seconds it took."""
    started = time.perf_counter()
    return build(), round(time.perf_counter() - started, 3)


def environment() -> dict[str, object]:
    """What the figures depend on besides the code's text."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    described = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in described if "model name" in line), "unknown")
    load = round(os.getloadavg()[0], 2)
    machine = {"cpu": cpu, "cores": os.cpu_count(), "load": load, "python": platform.python_version()}
    return {"commit": commit.stdout.strip(), **machine}


def run(split: Split, policy: SessionKnnPolicy, protocol: Protocol) -> dict[str, object]:
    """Build, warm, rank, explain, and the baselines."""
    knn, build_s = timed(lambda: SessionKnn.build(split.log, split.items_count, policy))
    _, warm_s = timed(knn.warm)
    counts = np.bincount(split.log.items, minlength=split.items_count)
    rules, rules_s = timed(lambda: SequentialRules.build(split.log, split.items_count))
    return {
        "split": split.name,
        "protocol": asdict(protocol),
        "sessions": len(split.log),
        "items": split.items_count,
        "build_s": build_s,
        "warm_s": warm_s,
        "rank": measure_latency(lambda session: knn.rank(session, protocol.k), split.queries),
        "explain": measure_latency(
            lambda session: knn.because(session, knn.rank(session, protocol.k).items), split.queries
        ),
        "session_knn": measure_quality(knn, split, protocol),
        "sequential_rules": {"build_s": rules_s, **measure_quality(rules, split, protocol)},
        "popularity": measure_quality(Popularity(counts), split, protocol),
    }


def main() -> None:
    """Read the arguments, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", type=Path)
    parser.add_argument("--dedup", action="store_true")
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--policy", choices=POLICIES, default="sessions")
    parser.add_argument("--k", type=int, default=20)
    arguments = parser.parse_args()
    split = read_split(arguments.split) if arguments.split else generate_split()
    protocol = Protocol(arguments.k, arguments.dedup, arguments.unseen)
    numbers = environment() | {"policy": arguments.policy}
    numbers |= run(split, POLICIES[arguments.policy], protocol)
    for name, value in numbers.items():
        print(f"{name:18} {value}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
