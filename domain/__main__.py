"""`python -m domain write | check`: generate `docs/features.md` from the catalogue, or prove that it is current."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from domain import rates
from domain.aggregates import BucketRate, DecayedSum, Histogram, KMinValues, LastN, MinMax, Sum, Windowed
from domain.aggregates.windowed import label_of
from domain.context import CONTEXT
from domain.derived import DERIVED
from domain.features import (
    AGGREGATED,
    BATCH_ONLY,
    SESSION,
    batch_view_columns,
    merged_view_columns,
    session_view_columns,
    stream_view_columns,
)

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "features.md"
VIEWS: Final = (
    ("visitor_session", "the stream", session_view_columns()),
    ("visitor_recent", "the stream", stream_view_columns("visitor")),
    ("visitor_history", "the batch layer", batch_view_columns("visitor")),
    ("visitor_profile", "the merge of history and recent", merged_view_columns("visitor")),
    ("item_trend", "the stream", stream_view_columns("item")),
    ("item_profile", "the batch layer", batch_view_columns("item")),
    ("item_stats", "the merge of profile and trend", merged_view_columns("item")),
)


AGGREGATES: Final = (Sum, DecayedSum, MinMax, LastN, Histogram, KMinValues, Windowed, BucketRate)
FORMULAS: Final = (
    rates.mean,
    rates.rate_with_prior,
    rates.weighted_rating,
    rates.positive_share,
    rates.critic_score,
    rates.trend,
    rates.shares,
)


def render() -> str:
    """The document: tables of features, how they are defined, then the columns of every view."""
    lines = [
        "# Features",
        "",
        "Generated from `domain/features.py` by `python -m domain write`; do not edit. To add one: "
        "[add-a-feature.md](add-a-feature.md).",
        "",
        *_catalogue(),
        "",
        "## Derived when a row is read",
        "",
        "| feature | entity | from | what it says | unit | owner |",
        "|---|---|---|---|---|---|",
        *(
            f"| `{f.name}` | {f.entity} | {', '.join(f'`{name}`' for name in f.inputs)} | {f.description} | {f.unit} "
            f"| {f.owner} |"
            for f in DERIVED
        ),
        "",
        "## Definitions",
        "",
        *(line for each in (*AGGREGATES, *FORMULAS) for line in _definition(each)),
    ]
    for name, writer, columns in VIEWS:
        lines += ["", f"## `{name}`, written by {writer}", "", *_table(columns)]
    return "\n".join(lines) + "\n"


def _catalogue() -> list[str]:
    rows: list[tuple[str, ...]] = [
        (f.name, f.entity, "batch and stream", f"`{_spelled(f.aggregate)}`", f.description, f.unit, f.owner)
        for f in AGGREGATED
    ]
    rows += [(f.name, f.entity, "batch", "counts", f.description, f.unit, f.owner) for f in BATCH_ONLY]
    rows += [(f.name, "visitor", "stream", "session", f.description, f.unit, f.owner) for f in SESSION]
    rows += [(f.name, "request", "at request", "context", f.description, f.unit, f.owner) for f in CONTEXT]
    head = ["| feature | entity | layer | aggregate | what it says | unit | owner |", "|---|---|---|---|---|---|---|"]
    return head + [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in rows]


def _spelled(value: object) -> str:
    """An aggregate by what it does not leave to its defaults, durations as people say them."""
    if not (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return str(value)
    said = []
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        if given == field.default:
            continue
        if field.name.endswith("_ms"):
            given = ", ".join(map(label_of, given)) if isinstance(given, tuple) else label_of(given)
            said.append(f"{field.name.removesuffix('_ms')} = {given}")
        elif field.name in ("of", "key", "quantity", "member", "n"):
            said.append(_spelled(given) if field.name == "of" else str(given))
        else:
            said.append(f"{field.name} = {', '.join(given) if isinstance(given, tuple) else given}")
    return f"{type(value).__name__}({', '.join(said)})"


def _definition(thing: type | Callable[..., object]) -> list[str]:
    """Name and docstring; of an aggregate also what its module says, where the formula and its source stand."""
    said = inspect.getdoc(thing) or ""
    if isinstance(thing, type):
        _, _, module_rest = (inspect.getdoc(inspect.getmodule(thing)) or "").partition("\n\n")
        said = f"{said}\n\n{module_rest}".strip()
    return [f"**{thing.__name__}.** {said}", ""]


def _table(columns: Iterable[tuple[str, object]]) -> list[str]:
    return ["| column | type |", "|---|---|", *(f"| `{name}` | {kind} |" for name, kind in columns)]


def main() -> int:
    """0 when the document was written or is current."""
    parser = argparse.ArgumentParser(prog="python -m domain", description=__doc__)
    parser.add_argument("command", choices=["write", "check"])
    if parser.parse_args().command == "write":
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(render())
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text() == render():
        return 0
    print("docs/features.md is not what the catalogue says: run `python -m domain write`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
