"""`python -m speed rebuild`: give the job's state up and read the log again."""

from __future__ import annotations

import argparse

from domain.manifests import BrokenArtifact, published_cutoff_ms
from infra.processes import control
from infra.processes.ports import is_free
from infra.processes.programs import LOOPBACK
from infra.processes.record import HOPELESS, RunFolder, State
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.topics import INTERACTIONS
from speed.commands.flink import FlinkClient
from speed.commands.folders import state_folders
from speed.commands.log import missing_from, reading
from speed.commands.telling import clock, now_ms, say, tell, warn
from speed.job.checkpoints import StateFolders
from speed.job.forgetting import ASIDE_MAX, ask_to_forget, forget_when_asked, newest_aside
from speed.job.start import needed_from_ms, rebuild_from_ms

SERVICE = "speed"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its part of the command line."""
    commands.add_parser(
        "rebuild",
        help="give checkpoints and savepoints up and read the log again",
        description=(
            f"Put the job's checkpoints and savepoints aside (the newest {ASIDE_MAX} such folders stay) and start it "
            "again from the log, at the instant that the published cutoff asks for. Under the platform's supervisor "
            "the job is restarted, which counts as no crash; a job in the foreground is stopped."
        ),
    )


def rebuild(settings: Settings, _: argparse.Namespace) -> int:
    """Leave the request to forget, and have the job start again if it runs."""
    folders, policy, cutoff_ms = state_folders(settings), settings.policies.bucket, _published_cutoff_ms(settings)
    from_ms = rebuild_from_ms(settings.policies, cutoff_ms, now_ms())
    lacking = _warn_of_what_is_gone(settings, needed_from_ms(policy, cutoff_ms))
    before = newest_aside(folders)
    ask_to_forget(folders)
    how = _start_again(settings, folders)
    aside = newest_aside(folders)
    tell(
        {
            "job": how,
            "from": "beginning" if from_ms is None else clock(from_ms),
            "from_ms": from_ms,
            "cutoff_ms": cutoff_ms,
            "aside": None if aside == before else aside,
            "lacking_partitions": lacking,
        }
    )
    return 0


def _start_again(settings: Settings, folders: StateFolders) -> str:
    """Returns what became of the job, in a word."""
    if _is_supervised(settings):
        say("restarting the job under the supervisor")
        control.restart(settings, [SERVICE])
        return "restarted"
    if not is_free(LOOPBACK, settings.flink.rest_port):
        flink = FlinkClient(settings.flink.rest_port)
        flink.ask("PATCH", f"/jobs/{flink.job().id}?mode=cancel")
        warn("the running job is not under our supervisor: it was stopped, start it again the way it was started")
        return "stopped"
    forget_when_asked(folders, now_ms())
    return "not running"


def _is_supervised(settings: Settings) -> bool:
    folder = RunFolder(settings.run_dir)
    record = folder.service(SERVICE)
    return folder.is_supervised() and record is not None and record.state not in HOPELESS | {State.STOPPED}


def _published_cutoff_ms(settings: Settings) -> int | None:
    try:
        return published_cutoff_ms(settings.artifacts_dir)
    except BrokenArtifact as error:
        warn(f"{error}; the whole log will be read")
        return None


def _warn_of_what_is_gone(settings: Settings, needed_ms: int) -> list[int]:
    """The partitions of the log that may lack what a rebuild needs."""
    topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
    try:
        with reading(settings.kafka, topic) as log:
            lacking = missing_from(needed_ms, log.bounds(), log.oldest_at_ms())
    except DependencyError as error:
        warn(f"{error}; whether the log has all that is needed was not checked")
        return []
    if lacking:
        needed = "all of the log" if needed_ms == 0 else f"all since {clock(needed_ms)}"
        warn(
            f"{topic} begins too late in the partitions {lacking}: {needed} is needed, and a part was let go by "
            "retention. Features will lack it until the batch layer covers it: run `python -m batch daily`"
        )
    return lacking
