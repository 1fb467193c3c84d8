"""How a command tells what it found: lines for a person, and one JSON line last for a program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO


def say(line: str) -> None:
    """A line for a person, at once."""
    _write(sys.stdout, line)


def warn(line: str) -> None:
    """A line that must not be overlooked: on standard error."""
    _write(sys.stderr, f"firth: warning: {line}")


def tell(found: Mapping[str, Any]) -> None:
    """The last line."""
    _write(sys.stdout, json.dumps(found, default=str))


def clock(at_ms: int) -> str:
    """An instant for a person: ISO 8601, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_ms() -> int:
    """This instant, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _write(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()
