"""Toy services for the tests of the supervisor: shell scripts that are ready when they have touched a file."""

from __future__ import annotations

from pathlib import Path

from infra.processes.launch import Command
from infra.processes.plan import Service


class FileExists:
    """Ready when a file is there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, launched_at_ms: int) -> bool:
        return self._path.exists()


def shell_command(folder: Path, script: str, *, name: str = "toy", grace_s: float = 5.0) -> Command:
    """Run the script in the folder; it is ready when it has touched the file `ready`."""
    return Command(
        name=name,
        argv=("/bin/sh", "-c", f"cd {folder} || exit 9\n{script}"),
        log_path=folder / f"{name}.log",
        ready=FileExists(folder / "ready"),
        grace_s=grace_s,
    )


def shell_service(folder: Path, script: str) -> Service:
    """The same as a service named `toy`."""
    return Service("toy", lambda _: shell_command(folder, script))
