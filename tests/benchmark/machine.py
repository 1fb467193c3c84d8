"""What figures depend on besides the code's text, and where they are kept."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path("bench/results")


def commit() -> str:
    """The short name of the commit; `+` when files differ from it."""
    name = _git("rev-parse", "--short", "HEAD")
    return f"{name}+" if _git("status", "--porcelain", "--untracked-files=no") else name


def machine() -> dict[str, Any]:
    """The processor, its cores, and how busy it is: the load is of everybody, before the benchmark began."""
    described = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in described if "model name" in line), "unknown")
    memory_gb = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": memory_gb,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def end_when_told() -> None:
    """Let SIGTERM unwind the stack, so that the servers that were started are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def keep(name: str, found: Mapping[str, Any]) -> None:
    """Write the figures to `bench/results`; called after every run, so that an interrupted benchmark keeps them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / name).write_text(json.dumps(found, indent=1) + "\n")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
