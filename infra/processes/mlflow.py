"""MLflow's tracking server: one process that shows the runs and models of a SQLite store in the state folder.

`mlflow server` would be a second process of the same size, that only waits for the first: so its application is
started directly, with the variables that `mlflow server` sets. It only reads what the daily run has written.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Final

from infra.processes.launch import Command
from infra.processes.ports import ListenPort
from infra.processes.readiness import HttpAnswers
from infra.settings import Settings
from schemas.errors import ConfigurationError

QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""MLflow reports its use to its makers unless told not to. It also starts workers for jobs that we do not have."""

LOOPBACK: Final = "127.0.0.1"


def command(settings: Settings) -> Command:
    """How to start the server."""
    if find_spec("mlflow") is None:
        raise ConfigurationError("mlflow", "is not installed in this environment", "run `make setup`")
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    host, port, store = settings.mlflow.host, settings.mlflow.port, store_uri(settings)
    listen = ("--host", host, "--port", str(port), "--workers", "1", "--log-level", "warning")
    return Command(
        name="mlflow",
        argv=(sys.executable, "-W", "ignore", "-m", "uvicorn", "mlflow.server.fastapi_app:app", *listen),
        log_path=settings.logs_dir / "mlflow.log",
        ready=HttpAnswers(LOOPBACK if host == "0.0.0.0" else host, port, "/health"),
        ports=(ListenPort("FIRTH_MLFLOW__PORT", host, port),),
        environment={
            **QUIET,
            "_MLFLOW_SERVER_FILE_STORE": store,
            "_MLFLOW_SERVER_REGISTRY_STORE": store,
            "_MLFLOW_SERVER_ARTIFACT_ROOT": files_uri(settings),
            "MALLOC_ARENA_MAX": "2",
        },
    )


def store_uri(settings: Settings) -> str:
    """The SQLite store, as MLflow names it: for its server, and for who writes without the server."""
    return f"sqlite:///{settings.mlflow_path.absolute()}"


def files_uri(settings: Settings) -> str:
    """Where the files of the runs are."""
    return settings.mlflow_dir.absolute().as_uri()


def keep_quiet() -> None:
    """Switch its reports and its logging off in this process; before it is imported, or it has no effect."""
    os.environ.update(QUIET)
