"""The services of the platform and what each needs: one table, read by the supervisor from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.processes import cassandra, kafka, mlflow, programs, redis
from infra.processes.launch import Command
from infra.settings import Settings
from schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Service:
    """A process that the supervisor keeps running, or a one-shot that it runs until it has succeeded once."""

    name: str
    command: Callable[[Settings], Command]
    depends_on: tuple[str, ...] = ()


SERVICES: Final = (
    Service("cassandra", cassandra.command),  # first, because it takes longest
    Service("redis", redis.command),
    Service("kafka", kafka.command),
    Service("topics", programs.topics, ("kafka",)),
    Service("features", programs.features, ("redis", "cassandra")),
    Service("speed", programs.speed, ("topics",)),
    Service("writer", programs.writer, ("topics", "features")),
    Service("archiver", programs.archiver, ("topics",)),
    Service("serving", programs.serving, ("topics", "features")),
    Service("parity", programs.parity, ("topics", "features")),
    Service("schedule", programs.schedule, ("topics", "features")),
    Service("mlflow", mlflow.command),  # last: nothing needs it, and its start is a few seconds of one core
)


def with_dependencies(names: Iterable[str], services: Sequence[Service] = SERVICES) -> tuple[Service, ...]:
    """The named services and all that they need, each after what it needs.

    Raises:
        ConfigurationError: a name is not in the table.
    """
    by_name = {service.name: service for service in services}
    chosen: dict[str, Service] = {}

    def choose(name: str, asked_by: tuple[str, ...]) -> None:
        if name not in by_name:
            raise ConfigurationError(name, "is not a service", f"use some of {', '.join(by_name)}")
        if name in asked_by:
            raise ConfigurationError(name, f"needs itself by {' -> '.join((*asked_by, name))}", "correct the table")
        if name not in chosen:
            for needed in by_name[name].depends_on:
                choose(needed, (*asked_by, name))
            chosen[name] = by_name[name]

    wanted = set(names)
    unknown = wanted - by_name.keys()
    for name in (*sorted(unknown), *(name for name in by_name if name in wanted)):
        choose(name, ())
    return tuple(chosen.values())
