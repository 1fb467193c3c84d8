"""`python -m batch COMMAND`: the batch layer. What a command finds is one JSON line on standard output."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from infra import logs, metrics
from infra.exits import run_command
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings, load_settings
from schemas.events import KINDS

if TYPE_CHECKING:
    from batch.parity_findings import Parity

Command = Callable[[Settings, argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the command; returns the exit code."""
    options, rest = parser().parse_known_args(arguments)
    if options.command == "daily":  # it knows its own arguments, and brings Spark
        from batch.daily import main as run_daily

        return run_daily(rest)
    if rest:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    settings = load_settings()
    logs.configure(options.command)
    return COMMANDS[options.command](settings, options)


def archive(settings: Settings, options: argparse.Namespace) -> int:
    """Archive for ever, or once."""
    from batch.lake.archiver import archive_to_end, archive_until

    if options.once:
        done = archive_to_end(settings)
    else:
        metrics.export("archiver", settings.metrics.archiver_port)
        done = archive_until(_stop_on_signal(), settings, heartbeat_path(settings.run_dir, "archiver"))
    _tell({table: dataclasses.asdict(archived) for table, archived in done.items()})
    return 0


def import_history(settings: Settings, options: argparse.Namespace) -> int:
    """Bring a file of history into the lake."""
    from batch.lake.archiver import now_ms
    from batch.lake.importer import import_file
    from batch.lake.mapping import ColumnMapping

    source = options.source or options.file.stem
    mapping = ColumnMapping(source, dict(options.map), options.kind, options.time_unit)
    done = import_file(options.file, mapping, settings, now_ms=now_ms(), rejected_share_max=options.max_rejected_share)
    _tell(dataclasses.asdict(done))
    return 0


def lake(settings: Settings, _: argparse.Namespace) -> int:
    """Tell what the lake holds."""
    from batch.lake.status import lake_status

    _tell(lake_status(settings))
    return 0


def parity(settings: Settings, options: argparse.Namespace) -> int:
    """Compare what the stores say with the log, once or for ever; 1 when anything differs."""
    from batch.parity_gauge import gauge_forever

    sample = None if options.all else options.sample

    def compare_once() -> Parity:
        from batch.parity import compare  # brings Feast, which a gauge that is switched off must not cost

        return compare(settings, sample=sample, is_at_rest=options.at_rest, settle_limit_s=options.settle)

    if options.every is not None:
        metrics.export("parity", settings.metrics.parity_port)
        gauge_forever(compare_once, options.every, heartbeat_path(settings.run_dir, "parity"))
    found = compare_once()
    _tell(dataclasses.asdict(found))
    return 1 if found.mismatches else 0


def models(settings: Settings, options: argparse.Namespace) -> int:
    """Show the versions of the model, or serve another one."""
    from batch.registry.commands import run

    _tell(run(settings, options))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m batch", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    archiving = commands.add_parser("archive", help="copy interactions and impressions into the lake, until stopped")
    archiving.add_argument("--once", "--until-end", action="store_true", help="stop when all that is there is archived")
    importing = commands.add_parser(
        "import", help="bring a file of history into the lake: Parquet, CSV, TSV or JSON lines"
    )
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument("--map", type=_pair, action="append", default=[], metavar="FIELD=COLUMN", help="repeatable")
    importing.add_argument("--kind", choices=KINDS, help="the kind of every row, when there is no column for it")
    importing.add_argument("--time-unit", choices=["s", "ms", "us"], default="ms", help="of numbers in the time column")
    importing.add_argument("--source", help="name of the source, of which this is one export (the file's stem)")
    importing.add_argument("--max-rejected-share", type=float, default=0.01, metavar="SHARE", help="(0.01)")
    lakes = commands.add_parser("lake", help="look at the lake")
    lakes.add_argument("action", choices=["status"])
    commands.add_parser("daily", add_help=False, help="recompute and publish all up to the newest closed bucket")
    _add_models(commands.add_parser("models", help="list, show, promote and roll back the models"))
    comparing = commands.add_parser("parity", help="compare what the stores say with a recomputation from the log")
    comparing.add_argument("--sample", type=int, default=200, metavar="N", help="visitors and items to compare (200)")
    comparing.add_argument("--all", action="store_true", help="every visitor and item")
    comparing.add_argument("--at-rest", action="store_true", help="nothing is being sent: what is unsettled is wrong")
    comparing.add_argument("--settle", type=_seconds, default=30.0, metavar="S", help="wait so long for a row (30)")
    comparing.add_argument("--every", type=_seconds, metavar="S", help="for ever, as a gauge; 0: be there and idle")
    return root


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every version, the newest first, and which one is served")
    shown = actions.add_parser("show", help="all that is known of a version")
    promoted = actions.add_parser("promote", help="serve a version, whatever the gate said of it")
    for action in (shown, promoted):
        action.add_argument("version", metavar="VERSION", help="as `list` shows it, or: current, previous, candidate")
    actions.add_parser("rollback", help="serve again what was served before")


def _seconds(text: str) -> float:
    seconds = float(text)
    if seconds < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return seconds


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"{text} is not FIELD=COLUMN")
    return name, column


COMMANDS: Final[Mapping[str, Command]] = {
    "archive": archive,
    "import": import_history,
    "lake": lake,
    "models": models,
    "parity": parity,
}


def _stop_on_signal() -> Event:
    """An event that SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _tell(found: Mapping[str, Any]) -> None:
    print(json.dumps(found, default=str), flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
