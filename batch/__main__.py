"""`python -m batch COMMAND`: the batch layer. What a command finds is one JSON line on standard output."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, Final

from infra import logs
from infra.exits import run_command
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings, load_settings

Command = Callable[[Settings, argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the command; returns the exit code."""
    options = parser().parse_args(arguments)
    settings = load_settings()
    logs.configure(options.command)
    return COMMANDS[options.command](settings, options)


def archive(settings: Settings, options: argparse.Namespace) -> int:
    """Archive for ever, or once."""
    from batch.lake.archiver import archive_to_end, archive_until

    if options.once:
        done = archive_to_end(settings)
    else:
        done = archive_until(_stop_on_signal(), settings, heartbeat_path(settings.run_dir, "archiver"))
    _tell({"rows": done.rows, "commits": done.commits, "overtaken": done.overtaken, "refused": dict(done.refused)})
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m batch", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    archiving = commands.add_parser("archive", help="copy the interactions topic into the lake, until stopped")
    archiving.add_argument("--once", "--until-end", action="store_true", help="stop when all that is there is archived")
    return root


COMMANDS: Final[Mapping[str, Command]] = {"archive": archive}


def _stop_on_signal() -> Event:
    """An event that SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _tell(found: Mapping[str, Any]) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
