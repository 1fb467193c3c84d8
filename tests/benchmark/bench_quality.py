"""How good are the models on public session logs? `make bench-quality DATA=folder` (docs/quality.md says how).

    python -m tests.benchmark.bench_quality --data DIR [--sets NAME ...] [--models NAME ...] [--minutes M]

DIR holds a folder for each log (`events.parquet`) or for each ready split (`train.parquet`, `queries.parquet`). Every
model answers through `python -m batch rank-sessions`, in a process of its own; all are judged by `domain.evaluation`.
Prints a table and writes bench/results/quality.json after each model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.benchmark.machine import commit, end_when_told, keep, machine
from tests.benchmark.quality_judging import Figures, K, Marked, Sheet, mark
from tests.benchmark.quality_splits import Split, splits_of
from tests.benchmark.sampled_protocol import both_protocols

RESULTS: Final = "quality.json"
MODELS: Final = ("popularity", "rules", "covisitation", "vstan", "gru4rec", "sasrec", "bert4rec", "auto")
PAIRED_WITH: Final = "vstan"
ASKED_FOR: Final = K + 1  # one more, for the current item may be struck
BOTH_PROTOCOLS: Final = "ml-latest-small_temporal"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything that is asked for; 1 when a model failed."""
    end_when_told()
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="firth-quality-") as scratch:
        folder = options.keep or Path(scratch)
        splits = [split for split in splits_of(options.data, folder) if not options.sets or split.name in options.sets]
        if not splits:
            sys.stderr.write(f"{options.data}: no folder with events.parquet or queries.parquet\n")
            return 1
        found: dict[str, Any] = {"machine": machine(), "commit": commit(), "minutes_max": options.minutes, "sets": {}}
        for split in splits:
            found["sets"][split.name] = {}
            _measure(split, options, folder / "predictions", found)
    return 1 if any("failed" in one for each in found["sets"].values() for one in each["models"].values()) else 0


def _measure(split: Split, options: argparse.Namespace, folder: Path, found: dict[str, Any]) -> None:
    """One set: all models, then each beside the session-kNN."""
    sheet = Sheet.of(split)
    told = found["sets"][split.name]
    told |= {"judged": split.judged, "queries": len(sheet.queries), "items": len(sheet.counts), "models": {}}
    print(f"\n{split.name} ({split.judged}): {len(sheet.queries):,} queries, {len(sheet.counts):,} items", flush=True)
    print(_line("model", [*sheet.measures.values(), "s", "MB", "µs"]), flush=True)
    marked: dict[str, Marked] = {}
    for model in options.models:
        answered = _answer(split, model, folder, options.minutes)
        if "failed" not in answered:
            marked[model] = mark(sheet, folder / f"{split.name}.{model}.parquet")
            answered |= marked[model].figures()
        told["models"][model] = answered
        print(_row(model, sheet, answered), flush=True)
        keep(RESULTS, found)
    told["paired"] = _paired(marked)
    for (model, other), gains in told["paired"].items():
        print(_line(f"{model} - {other}", [_interval(each) for each in gains.values()]), flush=True)
    told["paired"] = {f"{model} - {other}": gains for (model, other), gains in told["paired"].items()}
    if split.name == BOTH_PROTOCOLS:
        found["protocols"] = both_protocols(sheet)
        print(json.dumps(found["protocols"]), flush=True)
    keep(RESULTS, found)


def _answer(split: Split, model: str, folder: Path, minutes: float) -> Figures:
    """Let a model answer; what it cost and what it told of itself."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {
        "--train": split.folder / "train.parquet",
        "--queries": split.folder / "queries.parquet",
        "--out": folder / f"{split.name}.{model}.parquet",
        "--k": ASKED_FOR,
        "--model": model,
        "--minutes": minutes,
    }
    command = [
        sys.executable,
        "-m",
        "batch",
        "rank-sessions",
        *(str(part) for pair in arguments.items() for part in pair),
    ]
    started = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    taken = {"total_s": round(time.monotonic() - started, 1)}
    if ended.returncode:
        return {**taken, "failed": ended.stderr.strip().splitlines()[-1:]}
    return {**taken, "told": json.loads(ended.stdout.strip().splitlines()[-1])}


def _paired(marked: Mapping[str, Marked]) -> dict[tuple[str, str], Figures]:
    """The gain of each model over the session-kNN, and of the fusion over every single model."""
    pairs = [(model, PAIRED_WITH) for model in marked if model != PAIRED_WITH]
    pairs += [("auto", model) for model in marked if model not in ("auto", PAIRED_WITH)]
    pairs = [pair for pair in pairs if set(pair) <= marked.keys()]
    return {pair: marked[pair[0]].gain_over(marked[pair[1]]) for pair in pairs}


def _row(model: str, sheet: Sheet, answered: Figures) -> str:
    if "failed" in answered:
        return _line(model, ["failed:", *answered["failed"]])
    cells = [_interval(answered[f"{short}@{K}"]) for short in sheet.measures.values()]
    told = answered["told"]
    return _line(
        model, [*cells, f"{answered['total_s']:.0f}", told.get("peak_memory_mb", "-"), told.get("latency_us", "-")]
    )


def _interval(of: Sequence[float]) -> str:
    mean, low, high = of
    return f"{mean:.4f} [{low:.3f}, {high:.3f}]"


def _line(first: str, cells: Sequence[Any]) -> str:
    return f"{first:24} " + " ".join(f"{cell!s:>22}" for cell in cells)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="public logs or splits; without it one is made up")
    parser.add_argument("--sets", nargs="*", metavar="NAME", help="only these splits")
    parser.add_argument("--models", nargs="*", default=list(MODELS), metavar="NAME", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="for each model and set (30)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep splits and predictions there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
