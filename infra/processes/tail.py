"""Show the end of a log file, and go on showing what is added."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final, TextIO

from schemas.errors import ConfigurationError

POLL_S: Final = 0.2
BLOCK_BYTES: Final = 64 * 1024


def show(path: Path, *, lines: int, follow: bool, out: TextIO = sys.stdout) -> None:
    """Print the last lines; with `follow`, print what is added until interrupted.

    Raises:
        ConfigurationError: there is no such log yet.
    """
    if not path.exists():
        raise ConfigurationError(str(path), "there is no such log yet", "start the service with `python -m infra up`")
    for line in last_lines(path, lines):
        print(line, file=out)
    if follow:
        _follow(path, out)


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines, read from the end in blocks."""
    with path.open("rb") as log:
        position = log.seek(0, 2)
        found = b""
        while position > 0 and found.count(b"\n") <= count:
            step = min(BLOCK_BYTES, position)
            position = log.seek(position - step)
            found = log.read(step) + found
    return found.decode(errors="replace").splitlines()[-count:] if count > 0 else []


def _follow(path: Path, out: TextIO) -> None:
    with path.open(errors="replace") as log:
        log.seek(0, 2)
        while True:
            added = log.read()
            if added:
                out.write(added)
                out.flush()
            else:
                time.sleep(POLL_S)
