"""`python -m serving`: the HTTP server, until SIGTERM or SIGINT; what it has taken in is flushed before it ends.

`python -m serving experiments list | report` tells which experiments run, and what came of them.
`python -m serving keys create | list | revoke` says who may ask the server, and for what.
"""

from __future__ import annotations

import argparse
import sys

from granian import Granian
from granian.constants import Interfaces, Loops

from infra.exits import run_command
from infra.settings import ServingSettings, load_settings
from serving import experiments_command, keys_command
from serving.adapters.experiments_file import read_experiments
from serving.adapters.keys_file import read_keys


def main() -> int:
    """Serve until told to stop. All that can be chosen is a setting (FIRTH_SERVING__* and others)."""
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    experiments_command.add_arguments(commands.add_parser("experiments", help="which experiments run"))
    keys_command.add_arguments(commands.add_parser("keys", help="who may ask, and for what"))
    options, rest = parser.parse_known_args()
    settings = load_settings()
    if options.command == "experiments":
        return experiments_command.run(settings, options, rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "keys":
        return keys_command.run(settings, options)
    read_experiments(settings.experiments_path)
    read_keys(settings.keys_path)
    return serve(settings.serving)


def serve(serving: ServingSettings) -> int:
    """The server, with as many worker processes as are set."""
    Granian(
        "serving.app:create_app",
        factory=True,
        address=serving.host,
        port=serving.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=serving.workers,
        websockets=False,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=15,
    ).serve()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
