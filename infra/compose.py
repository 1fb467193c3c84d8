"""`python -m infra check-compose`: docker-compose.yml says what the code says.

Names, ports and paths stand in both; this finds the first day on which they drift apart, without a Docker engine.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from infra.processes.plan import SERVICES
from infra.processes.programs import speed_job
from infra.settings import PREFIX, PROJECT_ROOT, Settings, load_settings
from schemas.errors import ConfigurationError, PlatformError

COMPOSE_FILE: Final = PROJECT_ROOT / "docker-compose.yml"
SERVERS: Final = ("kafka", "redis", "cassandra")
ONE_SHOTS: Final = ("topics", "features", "daily")
VARIABLE: Final = re.compile(r"^\$\{[A-Z_]+:-[^}]+\}$")

Compose = dict[str, Any]


def main(arguments: list[str]) -> int:
    """0 when the file agrees with the code; otherwise 1 and one line for each disagreement."""
    if arguments:
        raise ConfigurationError("check-compose", f"takes no arguments, not {arguments}", "call it alone")
    problems = list(disagreements(COMPOSE_FILE))
    for problem in problems:
        print(f"docker-compose.yml: {problem}", file=sys.stderr)
    return 1 if problems else 0


def disagreements(path: Path) -> Iterator[str]:
    """One sentence for each way in which the file and the code disagree."""
    compose: Compose = yaml.safe_load(path.read_text())
    services: dict[str, Compose] = compose["services"]
    expected = {service.name for service in SERVICES} | {"daily"}
    for missing in sorted(expected - services.keys()):
        yield f"the service {missing} is missing"
    for name, service in services.items():
        yield from _service_problems(name, service, compose, path.parent)
    try:
        yield from _settings_problems(services, compose)
    except PlatformError as error:
        yield str(error)


def _service_problems(name: str, service: Compose, compose: Compose, root: Path) -> Iterator[str]:
    if not VARIABLE.match(service.get("image", "")):
        yield f"{name}: the image must come from a variable with a default"
    for port in service.get("ports", ()):
        if not str(port).startswith("127.0.0.1:"):
            yield f"{name}: publishes {port} beyond loopback"
    if name not in ONE_SHOTS and "healthcheck" not in service:
        yield f"{name}: has no healthcheck"
    for needed in service.get("depends_on", {}):
        if needed not in compose["services"]:
            yield f"{name}: depends on {needed}, which is no service"
    dockerfile = service.get("build", {}).get("dockerfile")
    if dockerfile and not (root / dockerfile).exists():
        yield f"{name}: {dockerfile} does not exist"
    for config in service.get("configs", ()):
        file = compose["configs"].get(config["source"], {}).get("file")
        if config["source"] not in compose["configs"] or (file and not (root / file).exists()):
            yield f"{name}: there is no configuration {config['source']}"
    for volume in service.get("volumes", ()):
        if volume.split(":")[0] not in compose["volumes"]:
            yield f"{name}: the volume {volume} is not declared"


def _settings_problems(services: Mapping[str, Compose], compose: Compose) -> Iterator[str]:
    environments = {
        name: service["environment"]
        for name, service in services.items()
        if any(variable.startswith(PREFIX) for variable in service.get("environment", ()))
    }
    for name, environment in environments.items():
        settings = _settings_of(environment)
        for server in SERVERS:
            if getattr(settings, server).host != server:
                yield f"{name}: {PREFIX}{server.upper()}__HOST is not the service {server}"
        if name == "speed":
            yield from _speed_job_problems(settings, compose)
        if name == "serving" and not str(services[name]["ports"][0]).endswith(f":{settings.serving.port}"):
            yield "serving: publishes another port than it listens on"


def _settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings that a container will read; raises ConfigurationError as it would."""
    before = dict(os.environ)
    try:
        for variable in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[variable]
        os.environ.update(environment)
        return load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _speed_job_problems(settings: Settings, compose: Compose) -> Iterator[str]:
    """The job reads a file instead of settings: what the file says must be what the settings would render."""
    written: dict[str, Any] = json.loads(compose["configs"]["speed-job"]["content"])
    rendered = speed_job(settings, jars=[Path(jar) for jar in written["jars"]])
    for field, value in written.items():
        if rendered.get(field) != value:
            yield f"speed-job: {field} is {value!r}, the settings say {rendered.get(field)!r}"
