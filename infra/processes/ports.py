"""Ports: whether one is free, which ones to take, and which variable to change when one is not."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

PORT_VARIABLES: Final = (
    "FIRTH_KAFKA__PORT",
    "FIRTH_KAFKA__CONTROLLER_PORT",
    "FIRTH_CASSANDRA__PORT",
    "FIRTH_CASSANDRA__STORAGE_PORT",
    "FIRTH_CASSANDRA__JMX_PORT",
    "FIRTH_REDIS__PORT",
    "FIRTH_FLINK__REST_PORT",
    "FIRTH_SERVING__PORT",
    "FIRTH_MLFLOW__PORT",
    "FIRTH_METRICS__WRITER_PORT",
    "FIRTH_METRICS__ARCHIVER_PORT",
    "FIRTH_METRICS__PARITY_PORT",
    "FIRTH_METRICS__DAILY_PORT",
)
"""Every variable of the settings that names a port on which one of our processes listens."""

FREE_RANGE: Final = range(20_000, 32_000)
"""Below the range of outgoing connections, so that the kernel takes none of them between look and use."""


@dataclass(frozen=True, slots=True)
class ListenPort:
    """A port that a process will listen on, and the variable that moves it elsewhere."""

    variable: str
    host: str
    port: int

    def refuse_if_taken(self) -> None:
        """Raises ConfigurationError when another process listens there."""
        if not is_free(self.host, self.port):
            raise ConfigurationError(
                self.variable,
                f"port {self.port} on {self.host} is in use by another process",
                f"end that process, set {self.variable} to a free port, or run `python -m infra up --free-ports`",
            )


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now; a connection that is closing down does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(generator: random.Random) -> Iterator[int]:
    """Distinct free ports on the loopback interface, in an order drawn from `generator`."""
    return (port for port in generator.sample(FREE_RANGE, len(FREE_RANGE)) if is_free("127.0.0.1", port))


def choose_free_ports(generator: random.Random) -> dict[str, str]:
    """A free port for every port variable, as environment variables."""
    ports = free_ports(generator)
    return {variable: str(next(ports)) for variable in PORT_VARIABLES}


def ports_file(run_dir: Path) -> Path:
    """Where an instance started with `--free-ports` tells its ports: `NAME=VALUE` lines, readable by a shell."""
    return run_dir / "ports.env"


def write_ports(run_dir: Path, variables: Mapping[str, str]) -> None:
    """Leave the chosen ports for later commands and for people."""
    run_dir.mkdir(parents=True, exist_ok=True)
    ports_file(run_dir).write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def read_ports(run_dir: Path) -> dict[str, str]:
    """The ports that a running instance has chosen; empty when it uses the configured ones."""
    path = ports_file(run_dir)
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines())
