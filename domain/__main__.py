"""`python -m domain write | check`: generate `docs/features.md` from the catalogue, or prove that it is current."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from domain.features import (
    AGGREGATED,
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


def render() -> str:
    """The document: one table of features, then the columns of every view."""
    lines = [
        "# Features",
        "",
        "Generated from `domain/features.py` by `python -m domain write`; do not edit.",
        "",
        "| feature | entity | layer | aggregate | what it says | unit | owner |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{f.name}` | {f.entity} | both | `{f.aggregate!r}` | {f.description} | {f.unit} | {f.owner} |"
        for f in AGGREGATED
    ]
    lines += [f"| `{f.name}` | visitor | stream | session | {f.description} | {f.unit} | {f.owner} |" for f in SESSION]
    for name, writer, columns in VIEWS:
        lines += ["", f"## `{name}`, written by {writer}", "", *_table(columns)]
    return "\n".join(lines) + "\n"


def _table(columns: Iterable[tuple[str, object]]) -> list[str]:
    return ["| column | type |", "|---|---|", *(f"| `{name}` | {kind} |" for name, kind in columns)]


def main(arguments: list[str]) -> int:
    """0 when the document was written or is current."""
    if arguments == ["write"]:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(render())
        return 0
    if arguments == ["check"]:
        if DOCUMENT.exists() and DOCUMENT.read_text() == render():
            return 0
        print("docs/features.md is not what the catalogue says: run `python -m domain write`", file=sys.stderr)
        return 1
    print("usage: python -m domain write | check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
