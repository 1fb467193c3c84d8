"""`python -m batch lake ACTION`: look at the lake, and keep it."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import Any, Final

from infra.settings import Settings

RETENTION_H: Final = 7 * 24
COMMITS_SHOWN: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and what they take."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("status", help="rows, buckets and files of each table, and how far it is behind Kafka")
    compact = actions.add_parser("compact", help="join the small files of closed buckets; safe beside an archiver")
    compact.add_argument("--open-buckets", action="store_true", help="of the buckets that still grow as well")
    vacuum = actions.add_parser("vacuum", help="delete files that are in no version that anybody needs")
    vacuum.add_argument(
        "--retention-hours",
        type=int,
        default=RETENTION_H,
        metavar="H",
        help=f"keep what left a table since ({RETENTION_H})",
    )
    vacuum.add_argument("--dry-run", action="store_true", help="only tell how many")
    history = actions.add_parser("history", help="the newest commits of each table: when, what, rows and files")
    history.add_argument(
        "--limit", type=int, default=COMMITS_SHOWN, metavar="N", help=f"so many of each ({COMMITS_SHOWN})"
    )


def run(settings: Settings, options: argparse.Namespace, pinned: Mapping[str, Collection[int]]) -> Mapping[str, Any]:
    """What the action found; `pinned` are the versions of each table that daily runs may read again."""
    from batch.lake.status import lake_status  # brings deltalake, which other commands do not need
    from batch.lake.upkeep import compact_lake, lake_history, vacuum_lake

    match options.action:
        case "status":
            return lake_status(settings)
        case "compact":
            return compact_lake(settings, open_buckets=options.open_buckets)
        case "vacuum":
            return vacuum_lake(settings, pinned, retention_h=options.retention_hours, dry_run=options.dry_run)
        case "history":
            return lake_history(settings, options.limit)
    raise AssertionError(options.action)
