"""`python -m speed COMMAND`: the speed layer. What a command finds is one JSON line, the last on standard output.

Exit codes: 0 well, 1 the answer is no (`status`: not running, `replay --compare`: different), else those of
`infra.exits`: 65 what was asked for is not there, 69 a server did not answer, 70 our own pieces disagree, 78 a setting
must be changed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Final

from infra import logs
from infra.exits import run_command
from infra.settings import Settings, load_settings
from speed.commands import dead_letters, rebuild, replay, run, savepoint, status

Command = Callable[[Settings, argparse.Namespace], int]

MODULES: Final[tuple[ModuleType, ...]] = (run, rebuild, savepoint, status, dead_letters, replay)
COMMANDS: Final[Mapping[str, Command]] = {
    "run": run.run,
    "rebuild": rebuild.rebuild,
    "savepoint": savepoint.savepoint,
    "status": status.status,
    "dead-letters": dead_letters.dead_letters,
    "replay": replay.replay,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the command; returns the exit code."""
    options = parser().parse_args(arguments)
    settings = load_settings()
    logs.configure(options.command)
    return COMMANDS[options.command](settings, options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(
        prog="python -m speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in MODULES:
        module.add_to(commands)
    return root


if __name__ == "__main__":
    sys.exit(run_command(main))
