"""One Spark session on this machine, with Delta's jars from our own folder: no network, no web server, no noise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from infra.settings import Settings
from schemas.errors import ConfigurationError

RECORDS_PER_PARTITION: Final = 200_000
"""Of a shuffle, and what a Python worker holds at once. Every partition costs, however small."""

FEW_RECORDS: Final = 1_000_000
"""Below it a run is over before the optimising compiler has paid for itself: without it, 29 s of CPU instead of 49."""


@contextmanager
def spark_session(settings: Settings, records: int) -> Iterator[SparkSession]:
    """A session for the length of the block, for a log of so many records.

    Its JVM ends with the block, and also when this process is killed.

    Raises:
        ConfigurationError: the jars are missing, or the JVM does not start.
    """
    scratch = settings.state_dir / "spark"
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left
    scratch.mkdir(parents=True)
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    conf = SparkConf(loadDefaults=False).setAll(list(_options(settings, records, scratch).items()))
    log_path = settings.logs_dir / "spark.log"
    with log_path.open("ab") as log:
        try:
            gateway = launch_gateway(conf, {"stdout": log, "stderr": log})
        except (PySparkRuntimeError, OSError) as error:
            problem = f"Spark's JVM did not start ({error})"
            raise ConfigurationError("JAVA_HOME", problem, f"point it to a JDK 17, and read {log_path}") from error
        context = SparkContext(conf=conf, gateway=gateway)
        context.pythonExec = sys.executable  # Python workers run in this environment, whatever `python3` is
        try:
            yield SparkSession(context)
        finally:
            context.stop()
            gateway.shutdown()
            _end(gateway.proc)
            SparkContext._gateway = SparkContext._jvm = None  # the next session starts a JVM of its own


def _end(jvm: subprocess.Popen[bytes]) -> None:
    if jvm.stdin:
        jvm.stdin.close()  # the JVM's sign to leave
    try:
        jvm.wait(timeout=20)
    except subprocess.TimeoutExpired:
        jvm.kill()
        jvm.wait()


def _options(settings: Settings, records: int, scratch: Path) -> dict[str, str]:
    cores = settings.batch.spark_cores
    java = f"-XX:+UseParallelGC -Djava.io.tmpdir={scratch} -Dderby.system.home={scratch}"
    if records < FEW_RECORDS:
        java += " -XX:TieredStopAtLevel=1"
    return {
        "spark.app.name": "firth-daily",
        "spark.master": f"local[{cores}]",
        "spark.jars": ",".join(_jars(settings.jars_dir / "spark")),
        "spark.driver.memory": settings.batch.spark_memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": java,
        "spark.local.dir": str(scratch),
        "spark.log.level": "WARN",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",  # the default of 50 is meant for tables of a million files
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",  # an overflow stops the run instead of wrapping around
        "spark.sql.shuffle.partitions": str(max(cores, records // RECORDS_PER_PARTITION)),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",  # a worker holds a partition: as large as told
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }


def _jars(folder: Path) -> list[str]:
    jars = sorted(str(jar) for jar in folder.glob("*.jar"))
    if not jars:
        raise ConfigurationError("FIRTH_JARS_DIR", f"no jars of Delta in {folder}", "run `make setup`")
    return jars
