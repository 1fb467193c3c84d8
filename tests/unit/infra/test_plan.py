"""The table of services and its order."""

import pytest

from infra.processes.launch import Command
from infra.processes.plan import SERVICES, Service, with_dependencies
from infra.settings import Settings
from schemas.errors import ConfigurationError


def names(*wanted: str) -> list[str]:
    return [service.name for service in with_dependencies(wanted)]


def service(name: str, *depends_on: str) -> Service:
    def nothing(settings: Settings) -> Command:
        raise NotImplementedError

    return Service(name, nothing, depends_on)


def test_each_service_comes_after_all_that_it_needs() -> None:
    started: set[str] = set()
    for each in with_dependencies(service.name for service in SERVICES):
        assert started.issuperset(each.depends_on), each.name
        started.add(each.name)
    assert len(started) == len(SERVICES)


def test_a_part_brings_what_it_needs_and_nothing_else() -> None:
    assert names("redis") == ["redis"]
    assert names("archiver") == ["kafka", "topics", "archiver"]
    assert set(names("serving")) == {"cassandra", "redis", "kafka", "topics", "features", "serving"}


def test_naming_a_service_twice_starts_it_once() -> None:
    assert names("topics", "kafka", "topics") == ["kafka", "topics"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="zookeeper: is not a service; use some of cassandra, redis"):
        names("redis", "zookeeper")


def test_a_circle_is_refused_and_shown() -> None:
    with pytest.raises(ConfigurationError, match="a -> b -> a"):
        with_dependencies(["a"], [service("a", "b"), service("b", "a")])
