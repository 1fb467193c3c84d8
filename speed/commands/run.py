"""`python -m speed run`: the job in the foreground, as the supervisor starts it."""

from __future__ import annotations

import argparse

from infra.processes import programs
from infra.processes.launch import become
from infra.settings import Settings


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its part of the command line."""
    commands.add_parser(
        "run",
        help="run the job in the foreground, until it is interrupted",
        description=(
            "Run the Flink job in the foreground. It resumes from the newest readable checkpoint or savepoint; without "
            "one it reads the log again from where the published cutoff needs it."
        ),
    )


def run(settings: Settings, _: argparse.Namespace) -> int:
    """Become the job: never returns. Its exit codes are those of `infra.exits`."""
    become(programs.speed(settings))
