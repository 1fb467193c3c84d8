"""`python -m schemas write | check | release`: the JSON Schemas of the events.

`write` generates them; `check` proves that the committed ones are current and refuse nothing that the last released
ones accept; `release` makes the current ones the released ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Final

from schemas.json_schema import FOLDER, PUBLISHED, breaking_changes, generate, render


def write() -> int:
    """Write every schema; existing released ones stay as they are."""
    FOLDER.mkdir(exist_ok=True)
    for name in PUBLISHED:
        (FOLDER / f"{name}.schema.json").write_text(render(name))
    return 0


def check() -> int:
    """0 when the committed schemas are current and compatible with the released ones."""
    problems = []
    for name in PUBLISHED:
        path = FOLDER / f"{name}.schema.json"
        if not path.exists() or path.read_text() != render(name):
            problems.append(f"{path.name} is not what the types say: run `python -m schemas write` and commit it")
        released = FOLDER / "released" / path.name
        if released.exists():
            problems += [
                f"{name} {change}" for change in breaking_changes(json.loads(released.read_text()), generate(name))
            ]
    for problem in problems:
        print(f"schemas: {problem}", file=sys.stderr)
    return 1 if problems else 0


def release() -> int:
    """Freeze the schemas as they are: from now on every change is compared with them."""
    (FOLDER / "released").mkdir(parents=True, exist_ok=True)
    for name in PUBLISHED:
        (FOLDER / "released" / f"{name}.schema.json").write_text(render(name))
    return 0


COMMANDS: Final[Mapping[str, Callable[[], int]]] = {"write": write, "check": check, "release": release}


def main() -> int:
    """Dispatch to the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    return COMMANDS[parser.parse_args().command]()


if __name__ == "__main__":
    sys.exit(main())
