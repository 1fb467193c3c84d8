"""Kafka: one broker that is its own controller (KRaft), from the Maven jars."""

from __future__ import annotations

import base64
import shlex
import uuid
from pathlib import Path
from typing import Final

from infra.processes.java import jars_of, java_command
from infra.processes.launch import Child, Command, launch
from infra.processes.ports import ListenPort
from infra.processes.readiness import PortAnswers
from infra.settings import Settings

CONF: Final = Path(__file__).parent / "conf"
TEMPLATE: Final = CONF / "kafka.properties"

JVM_FLAGS: Final = (
    "-XX:TieredStopAtLevel=1",  # 40 % less CPU until it is ready, and no more per record (10 µs after 180,000)
    "-Xms256m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    f"-Dlog4j2.configurationFile=file://{CONF / 'kafka-log4j2.xml'}",
)


def start(settings: Settings) -> Child:
    """Start the broker; use `wait_ready` before the first request."""
    return launch(command(settings))


def command(settings: Settings) -> Command:
    """Render the configuration and tell how to start the broker, which formats its storage when that is new."""
    folder = settings.state_dir / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(render(settings, folder / "data"))
    java = (java_command(), *JVM_FLAGS, "-cp", f"{jars_of(settings.jars_dir, 'kafka')}/*")
    run = (*java, "kafka.Kafka", str(properties))
    is_new = not (folder / "data" / "meta.properties").exists()
    host, port = settings.kafka.host, settings.kafka.port
    return Command(
        name="kafka",
        argv=_one_after_the_other(_format(java, properties), run) if is_new else run,
        log_path=settings.logs_dir / "kafka.log",
        ready=PortAnswers(host, port),
        ports=(
            ListenPort("FIRTH_KAFKA__PORT", host, port),
            ListenPort("FIRTH_KAFKA__CONTROLLER_PORT", host, settings.kafka.controller_port),
        ),
    )


def render(settings: Settings, data_dir: Path) -> str:
    """The broker's configuration file."""
    return TEMPLATE.read_text().format(
        host=settings.kafka.host,
        port=settings.kafka.port,
        controller_port=settings.kafka.controller_port,
        data_dir=data_dir,
    )


def _format(java: tuple[str, ...], properties: Path) -> tuple[str, ...]:
    """Write the storage's identity and first metadata, which only Kafka's own tool knows how to do."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return (*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={properties}")


def _one_after_the_other(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Run `first`, and when it succeeds become `second` under the same pid."""
    return ("/bin/sh", "-c", f"{shlex.join(first)} && exec {shlex.join(second)}")
