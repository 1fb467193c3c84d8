"""The figures of `bench_quality` as the tables of docs/quality.md.

python -m tests.benchmark.quality_table [bench/results/quality.json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.benchmark.machine import RESULTS

SHOWN: Final = {"set": ("R@20", "P@20", "MAP@20", "NDCGset@20")}
SHOWN_NEXT: Final = ("HR@20", "MRR@20", "NDCG@20", "R@20", "MAP@20")
LISTS: Final = ("coverage", "gini", "novelty")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    given = sys.argv[1:] if arguments is None else arguments
    found = json.loads(Path(given[0] if given else RESULTS / "quality.json").read_text())
    print("\n".join(tables_of(found)))
    return 0


def tables_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Markdown, line by line."""
    for name, of in found["sets"].items():
        if of.get("models"):
            yield from _models(name, of)
            yield from _paired(of.get("paired", {}), _shown(of))
    if "protocols" in found:
        yield from _protocols(found["protocols"])


def _shown(of: Mapping[str, Any]) -> Sequence[str]:
    return SHOWN.get(of["judged"], SHOWN_NEXT)


def _models(name: str, of: Mapping[str, Any]) -> Iterator[str]:
    measures = _shown(of)
    yield f"### `{name}`: {of['queries']:,} queries, {of['items']:,} items, judged by `{of['judged']}`\n"
    yield _row(["model", *measures, *LISTS, "s in all", "peak MB", "µs a query"])
    yield _row(["---"] + ["--:"] * (len(measures) + len(LISTS) + 3))
    for model, found in of["models"].items():
        if "failed" in found:
            yield _row([model, *["failed"] * len(measures)])
            continue
        told = found["told"]
        cost = [f"{found['total_s']:.0f}", _number(told.get("peak_memory_mb")), _number(told.get("latency_us"))]
        lists = [f"{found['lists'][each]:.3g}" for each in LISTS]
        yield _row([model, *(_interval(found[measure]) for measure in measures), *lists, *cost])
    yield ""


def _paired(paired: Mapping[str, Any], measures: Sequence[str]) -> Iterator[str]:
    if not paired:
        return
    yield "Paired gains:\n"
    yield _row(["", *measures[:3]])
    yield _row(["---"] + ["--:"] * 3)
    for name, gains in paired.items():
        yield _row([name, *(_gain(gains[measure]) for measure in measures[:3])])
    yield ""


def _protocols(found: Mapping[str, Any]) -> Iterator[str]:
    ranked = found["items_ranked"]
    yield _row(["the same item-kNN on the same queries", "HR@10", "of targets that the log knows", "by chance"])
    yield _row(["---", "--:", "--:", "--:"])
    for protocol, items in (("full", f"all {ranked['full']:,} items"), ("sampled", f"{ranked['sampled'] - 1} drawn")):
        against = "ranked" if protocol == "full" else "against the target"
        rates = (found[f"{protocol}_HR@10{of}"] for of in ("", "_of_known_targets", "_by_chance"))
        yield _row([f"{items} {against}", *rates])


def _interval(of: Sequence[float]) -> str:
    mean, low, high = (f"{each:.3f}".removeprefix("0") for each in of)
    return f"{mean} ({low}–{high})"


def _gain(of: Sequence[float]) -> str:
    mean, low, high = of
    text = f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"**{text}**" if low > 0 else text


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())
