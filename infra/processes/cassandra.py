"""Cassandra: one node, from the Maven jars."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from infra.processes.java import jars_of, java_command
from infra.processes.launch import Child, Command, launch
from infra.processes.ports import ListenPort
from infra.processes.readiness import PortAnswers
from infra.settings import Settings
from schemas.errors import ConfigurationError

CONF: Final = Path(__file__).parent / "conf"
TEMPLATE: Final = CONF / "cassandra.yaml"

JVM_FLAGS: Final = (
    "-XX:TieredStopAtLevel=1",  # half the CPU and two thirds of the time until it is ready
    "-Xms512m",
    "-Xmx512m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:MaxDirectMemorySize=256m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=1",
    f"-Dlogback.configurationFile=file://{CONF / 'cassandra-logback.xml'}",
)


def start(settings: Settings) -> Child:
    """Start the node; use `wait_ready` before the first statement."""
    return launch(command(settings))


def command(settings: Settings) -> Command:
    """Render the configuration and tell how to start the node."""
    folder = settings.state_dir / "cassandra"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "cassandra.yaml"
    configuration.write_text(render(settings, folder))
    jars = jars_of(settings.jars_dir, "cassandra")
    host, port = settings.cassandra.host, settings.cassandra.port
    return Command(
        name="cassandra",
        argv=(
            java_command(),
            f"@{CONF / 'cassandra-jvm17.args'}",
            f"-javaagent:{_memory_meter(jars)}",
            *JVM_FLAGS,
            f"-Dcassandra.config=file://{configuration}",
            f"-Dcassandra.storagedir={folder}",
            f"-Dcassandra.jmx.local.port={settings.cassandra.jmx_port}",
            f"-Dio.netty.native.workdir={folder}",
            "-cp",
            f"{jars}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ),
        log_path=settings.logs_dir / "cassandra.log",
        ready=PortAnswers(host, port),
        ports=(
            ListenPort("FIRTH_CASSANDRA__PORT", host, port),
            ListenPort("FIRTH_CASSANDRA__STORAGE_PORT", host, settings.cassandra.storage_port),
            ListenPort("FIRTH_CASSANDRA__JMX_PORT", host, settings.cassandra.jmx_port),
        ),
        grace_s=30.0,
    )


def render(settings: Settings, folder: Path) -> str:
    """The node's configuration file."""
    return TEMPLATE.read_text().format(
        host=settings.cassandra.host,
        port=settings.cassandra.port,
        storage_port=settings.cassandra.storage_port,
        folder=folder,
    )


def _memory_meter(jars: Path) -> Path:
    """The agent with which Cassandra measures its memtables."""
    found = sorted(jars.glob("jamm-*.jar"))
    if not found:
        raise ConfigurationError("FIRTH_JARS_DIR", f"{jars} has no jamm jar", "delete that folder and run `make setup`")
    return found[-1]
