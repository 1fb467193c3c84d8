"""Warnings of foreign packages that tell a data engineer nothing that can be done here."""

from __future__ import annotations

import warnings
from typing import Final

IGNORED: Final[tuple[tuple[str, type[Warning]], ...]] = (
    # Feast, at each apply. Ours are read online only.
    ("On demand feature view is an experimental feature", RuntimeWarning),
    # ibis, at each materialize: the call into DuckDB is its own.
    (r"fetch_arrow_table\(\) is deprecated", DeprecationWarning),
)


def ignore_foreign_warnings() -> None:
    """Add to the filters in force; `warnings.catch_warnings` bounds it."""
    for message, category in IGNORED:
        warnings.filterwarnings("ignore", message, category)
