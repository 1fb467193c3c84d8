"""`python -m infra COMMAND`: run the platform on this machine, and look at it."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Final

from infra.exits import run_command
from infra.processes import control, tail
from infra.processes.plan import SERVICES
from infra.settings import Settings, load_settings

ELSEWHERE: Final = {
    "demo": ("infra.demo.run", "demo", "the whole platform on real data, with a page to click on"),
    "smoke": ("infra.demo.run", "smoke", "the same without a person, in a bounded time; prints one JSON line last"),
    "capacity": ("infra.capacity", "main", "what so many visitors and events a day take"),
    "trace": ("infra.trace", "main", "follow one event through the logs of all stages"),
    "boards": ("infra.monitoring.grafana_json", "main", "write Grafana's boards from infra/monitoring/boards.py"),
    "check-compose": ("infra.compose", "main", "compare docker-compose.yml with the settings"),
}
"""Commands of modules that are slow to import: they get the rest of the command line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the command; returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given and given[0] in ELSEWHERE:
        module, function, _ = ELSEWHERE[given[0]]
        return int(getattr(importlib.import_module(module), function)(given[1:]))
    options = parser().parse_args(given)
    settings = load_settings()
    match options.command:
        case "up":
            control.up(settings, options.only, free_ports=options.free_ports)
            return 0
        case "down":
            control.down(settings)
            return 0
        case "restart":
            control.restart(settings, options.names)
            return 0
        case "status":
            return show_status(settings, as_json=options.json)
        case "logs":
            tail.show(settings.logs_dir / f"{options.name}.log", lines=options.lines, follow=options.follow)
            return 0
    raise AssertionError(options.command)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m infra", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start the services in the background and wait until they are ready")
    up.add_argument("--only", type=_names, default=(), metavar="NAME,…", help="only these and what they need")
    up.add_argument("--free-ports", action="store_true", help="take free ports and leave them in run/ports.env")
    commands.add_parser("down", help="stop everything that `up` started")
    restart = commands.add_parser("restart", help="stop and start services of a running platform once")
    restart.add_argument("names", nargs="+", choices=[service.name for service in SERVICES], metavar="NAME")
    status = commands.add_parser("status", help="show what runs")
    status.add_argument("--json", action="store_true", help="for programs")
    logs = commands.add_parser("logs", help="show the log of a service")
    logs.add_argument("name", choices=[*(service.name for service in SERVICES), "supervisor"], metavar="NAME")
    logs.add_argument("-n", "--lines", type=int, default=40, help="how many of the last lines (40)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    for name, (_, _, purpose) in ELSEWHERE.items():
        commands.add_parser(name, help=purpose)
    return root


def show_status(settings: Settings, *, as_json: bool) -> int:
    """Print the table; 0 when all that was brought up can be used."""
    rows = control.status(settings)
    if as_json:
        print(json.dumps([dataclasses.asdict(row) for row in rows]))
    elif not rows:
        print("nothing is up; start it with `python -m infra up`")
    else:
        print(f"{'service':<10} {'state':<12} {'pid':>7} {'uptime':>8} {'restarts':>8} {'memory':>8}  address")
        for row in rows:
            uptime = "" if row.uptime_s is None else f"{row.uptime_s} s"
            memory = "" if row.memory_mb is None else f"{row.memory_mb} MB"
            line = f"{row.service:<10} {row.state:<12} {row.pid or '':>7} {uptime:>8} {row.restarts:>8} {memory:>8}"
            print(f"{line}  {row.address}  {row.detail}".rstrip())
    return 0 if rows and all(row.state in ("ready", "done") for row in rows) else 1


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(run_command(main))
