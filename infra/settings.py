"""The settings tree: read once from the environment, passed down in the smallest piece that is needed.

Every variable is `FIRTH_` + path with `__` between levels, for example `FIRTH_KAFKA__PORT=9092`. The defaults start
on a laptop; an unknown or malformed variable stops the process at start and is named.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.objectives import Objectives
from domain.placements import Placements
from domain.policies import Policies
from infra.access_settings import AccessSettings
from schemas.errors import ConfigurationError
from schemas.topics import INTERACTIONS

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
PREFIX: Final = "FIRTH_"


class Piece(BaseModel):
    """A branch of the tree: frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Piece):
    """Where the broker listens; `controller_port` is used only when we run the broker ourselves."""

    host: str = "127.0.0.1"
    port: int = Field(default=19_092, ge=1, le=65_535)
    controller_port: int = Field(default=19_093, ge=1, le=65_535)
    topic_prefix: str = Field(default="", pattern=r"^[a-zA-Z0-9._-]{0,64}$")

    @property
    def bootstrap(self) -> str:
        """`host:port`, as Kafka clients want it."""
        return f"{self.host}:{self.port}"


class RedisSettings(Piece):
    """The hot online store."""

    host: str = "127.0.0.1"
    port: int = Field(default=16_379, ge=1, le=65_535)
    row_ttl_s: int = Field(default=11 * 86_400, ge=60)


class CassandraSettings(Piece):
    """The bulky online store; `storage_port` and `jmx_port` are used only when we run the server ourselves."""

    host: str = "127.0.0.1"
    port: int = Field(default=19_042, ge=1, le=65_535)
    storage_port: int = Field(default=17_000, ge=1, le=65_535)
    jmx_port: int = Field(default=17_199, ge=1, le=65_535)
    keyspace: str = Field(default="firth", pattern=r"^[a-z][a-z0-9_]{0,47}$")
    local_datacentre: str = "datacenter1"
    timeout_ms: int = Field(default=100, ge=1, le=60_000)


class FlinkSettings(Piece):
    """The speed job; `buffer_timeout_ms` bounds how long a record waits between operators.

    With the state backend `hashmap` the heap holds the state of every visitor: about 3 KB one who comes now and then,
    so 768 MB for 200,000 of them. With `rocksdb` they are on disk, behind a cache of `managed_memory_mb`.

    The job runs in one process (`taskmanagers` 0), or in so many beside its own; heap and managed memory are then of
    each. A process runs one Python at a time: with two of them visitors and items no longer wait for each other. Twice
    the parallelism are the most that have work.
    """

    rest_port: int = Field(default=18_081, ge=1, le=65_535)
    state_backend: Literal["hashmap", "rocksdb"] = "hashmap"
    taskmanagers: int = Field(default=0, ge=0, le=16)
    parallelism: int = Field(default=1, ge=1, le=64)
    checkpoint_interval_ms: int = Field(default=5_000, ge=100)
    buffer_timeout_ms: int = Field(default=5, ge=0)
    managed_memory_mb: int = Field(default=256, ge=64)
    heap_mb: int = Field(default=768, ge=256)


class ServingSettings(Piece):
    """The HTTP server, and what holds for a slate by where it is shown.

    While Kafka is away up to `spool_mb_max` of events wait on disk; with 0 of them their senders get a 503.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8_080, ge=1, le=65_535)
    workers: int = Field(default=1, ge=1, le=64)
    hydrate_deadline_ms: int = Field(default=50, ge=1)
    history_cache_rows_max: int = Field(default=100_000, ge=1)
    events_in_flight_max: int = Field(default=20_000, ge=1)
    publish_deadline_ms: int = Field(default=5_000, ge=1)
    spool_mb_max: int = Field(default=0, ge=0)
    placements: Placements = Placements()
    access: AccessSettings = AccessSettings()


class FeastSettings(Piece):
    """The feature registry."""

    project: str = Field(default="firth", pattern=r"^[a-z][a-z0-9_]{0,47}$")


TRAINING_MINUTES_MAX: Final = 1_440


class BatchSettings(Piece):
    """The archiver and the daily run, which stops when a larger share of the rows breaks the contract.

    `training_minutes` is what searching, training and judging the models may take, a little more on a busy machine.
    With `with_mlp` a small network is judged beside the trees, in as much time again, and ranks if it is better.
    What items are about is told by the words of the catalogue, or by the vectors of `embeddings_file`: docs/models.md.
    """

    archive_interval_ms: int = Field(default=5_000, ge=100)
    archive_rows_max: int = Field(default=100_000, ge=1)
    closing_grace_ms: int = Field(default=5 * 60_000, ge=0)
    spark_memory: str = Field(default="2g", pattern=r"^[0-9]+[mg]$")
    spark_cores: int = Field(default=2, ge=1)
    quarantine_share_max: float = Field(default=0.001, ge=0, le=1)
    training_minutes: float = Field(default=20.0, gt=0, le=TRAINING_MINUTES_MAX)
    with_mlp: bool = False
    embeddings_file: Path | None = None


class ScheduleSettings(Piece):
    """When the daily run starts by itself: a UTC time, or `never`. One that failed in a way that may pass is tried
    again after `retry_s`, then twice that and so on up to `retry_max_s`, `retries_max` times until the next day.
    Days that were missed are computed afterwards, the newest `catch_up_days_max` of them.
    """

    daily_at: str = Field(default="00:30", pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|never)$")
    retries_max: int = Field(default=5, ge=0, le=100)
    retry_s: float = Field(default=60.0, gt=0)
    retry_max_s: float = Field(default=3_600.0, gt=0)
    catch_up_days_max: int = Field(default=7, ge=0, le=366)


class MetricsSettings(Piece):
    """Where the processes without HTTP show their metrics; 0: nowhere.

    Flink's own are off unless asked for, because its reporter listens on every interface whatever `host` says. With
    `FIRTH_FLINK__TASKMANAGERS` each process takes a port of its own from `flink_port` on.
    """

    host: str = "127.0.0.1"
    writer_port: int = Field(default=19_101, ge=0, le=65_535)
    archiver_port: int = Field(default=19_102, ge=0, le=65_535)
    parity_port: int = Field(default=19_103, ge=0, le=65_535)
    daily_port: int = Field(default=19_104, ge=0, le=65_535)
    flink_port: int = Field(default=0, ge=0, le=65_519)


class ParitySettings(Piece):
    """The gauge: how many visitors and items it compares, and how often; 0: never, the process idles."""

    every_s: float = Field(default=60.0, ge=0)
    sample: int = Field(default=25, ge=1)


class MlflowSettings(Piece):
    """Where the tracking server shows runs and models. The daily run writes its store without the server."""

    host: str = "127.0.0.1"
    port: int = Field(default=15_000, ge=1, le=65_535)


class GateSettings(Piece):
    """What a new artifact must show before it takes the place of the current one: docs/models.md.

    `loss_max`: of HR@20 and of MRR@20, as a difference, that the 95 % interval may still hold. With fewer questions
    than `queries_min` nobody can tell the two apart, and the other limits decide alone.
    """

    loss_max: float = Field(default=0.02, ge=0, le=1)
    queries_min: int = Field(default=200, ge=1)
    rank_p99_ms_max: float = Field(default=15.0, gt=0)
    size_mb_max: float = Field(default=2_048.0, gt=0)


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    state_dir: Path = PROJECT_ROOT / ".firth" / "var"
    jars_dir: Path = PROJECT_ROOT / ".firth" / "jars"
    experiments_file: Path | None = None
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    cassandra: CassandraSettings = CassandraSettings()
    flink: FlinkSettings = FlinkSettings()
    serving: ServingSettings = ServingSettings()
    feast: FeastSettings = FeastSettings()
    batch: BatchSettings = BatchSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    metrics: MetricsSettings = MetricsSettings()
    parity: ParitySettings = ParitySettings()
    mlflow: MlflowSettings = MlflowSettings()
    gate: GateSettings = GateSettings()
    objectives: Objectives = Objectives()
    policies: Policies = Policies()

    @property
    def lake_dir(self) -> Path:
        """The Delta table of archived interactions."""
        return self.state_dir / "lake"

    @property
    def impressions_dir(self) -> Path:
        """The Delta table of archived impressions."""
        return self.state_dir / "impressions"

    @property
    def offline_dir(self) -> Path:
        """Parquet of the batch views, the offline side of Feast."""
        return self.state_dir / "offline"

    @property
    def artifacts_dir(self) -> Path:
        """Published models, one folder a version, and the name of the current one."""
        return self.state_dir / "artifacts"

    @property
    def experiments_path(self) -> Path:
        """Which experiments run: docs/experiments.md. `make wipe` takes it along unless it is named elsewhere."""
        return self.experiments_file or self.state_dir / "experiments.json"

    @property
    def keys_path(self) -> Path:
        """Who may ask the server: docs/security.md."""
        return self.serving.access.keys_file or self.state_dir / "keys.json"

    @property
    def spool_dir(self) -> Path:
        """Events that wait for Kafka."""
        return self.state_dir / "spool"

    @property
    def mlflow_path(self) -> Path:
        """MLflow's SQLite store."""
        return self.state_dir / "mlflow.db"

    @property
    def mlflow_dir(self) -> Path:
        """The files of MLflow's runs."""
        return self.state_dir / "mlflow"

    @property
    def flink_dir(self) -> Path:
        """Checkpoints and savepoints of the speed job."""
        return self.state_dir / "flink"

    @property
    def registry_path(self) -> Path:
        """Feast's registry file."""
        return self.state_dir / "registry.db"

    @property
    def run_dir(self) -> Path:
        """Pids, ports and heartbeats of the running processes."""
        return self.state_dir / "run"

    @property
    def logs_dir(self) -> Path:
        """One log file a process."""
        return self.state_dir / "logs"


def load_settings(**overrides: Any) -> Settings:
    """The tree as the environment has it, with `overrides` on top.

    Raises:
        ConfigurationError: naming the first variable that is unknown or malformed.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(name, first["msg"], "correct it or unset it to use the default") from error
    _refuse_unknown(settings)
    _refuse_forgetting(settings)
    _refuse_idle(settings.flink)
    return settings


def _refuse_forgetting(settings: Settings) -> None:
    """A row or record that is let go before the batch layer must have covered it would be missed in silence."""
    bucket = settings.policies.bucket
    needed_ms = (bucket.kept + bucket.dedup + 2) * bucket.period_ms
    remedy = f"keep (kept + dedup + 2) buckets, which are {needed_ms // 1_000} s, or shorten the bucket period"
    if settings.redis.row_ttl_s * 1_000 < needed_ms:
        raise ConfigurationError(f"{PREFIX}REDIS__ROW_TTL_S", f"{settings.redis.row_ttl_s} s is too short", remedy)
    if INTERACTIONS.retention_ms is not None and INTERACTIONS.retention_ms < needed_ms:
        kept_s = INTERACTIONS.retention_ms // 1_000
        problem = f"the topic {INTERACTIONS.name} is kept for {kept_s} s only"
        raise ConfigurationError(f"{PREFIX}POLICIES__BUCKET", problem, remedy)


def _refuse_idle(flink: FlinkSettings) -> None:
    """Visitors and items have one slot each for every step of parallelism; a process without a slot would idle."""
    busy_max = 2 * flink.parallelism
    if flink.taskmanagers > busy_max:
        problem = f"{flink.taskmanagers} processes, but parallelism {flink.parallelism} has work for {busy_max}"
        remedy = f"set it to {busy_max} at most, or raise {PREFIX}FLINK__PARALLELISM"
        raise ConfigurationError(f"{PREFIX}FLINK__TASKMANAGERS", problem, remedy)


def _refuse_unknown(settings: Settings) -> None:
    known = {f"{PREFIX}{name}".upper() for name in type(settings).model_fields}
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable.split("__")[0].upper() not in known:
            raise ConfigurationError(variable, "is not a setting", "remove it or correct its name")
