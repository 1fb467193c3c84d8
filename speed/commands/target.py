"""A Redis database named on the command line."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Where a replay writes."""

    host: str
    port: int
    database: int = 0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def parse_target(text: str) -> Target:
    """`HOST:PORT` or `HOST:PORT/DB`."""
    found = re.fullmatch(r"([^:/]+):(\d{1,5})(?:/(\d{1,4}))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT[/DB]")
    return Target(found[1], int(found[2]), int(found[3] or 0))
