"""`python -m batch COMMAND`: the batch layer. What a command finds is one JSON line on standard output."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import math
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from batch.experiments.command import add_arguments as add_experiments_arguments
from batch.lake.commands import add_arguments as add_lake_arguments
from infra import logs, metrics
from infra.exits import run_command
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings, load_settings
from infra.threads import wait_without_spinning
from schemas.events import KINDS

if TYPE_CHECKING:
    from batch.parity_findings import Parity

Command = Callable[[Settings, argparse.Namespace], int]

RANKING_MODELS: Final = ("auto", "popularity", "rules", "covisitation", "vstan", "gru4rec", "sasrec", "bert4rec")


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the command; returns the exit code."""
    wait_without_spinning()
    options, rest = parser().parse_known_args(arguments)
    if options.command == "daily":  # it knows its own arguments, and brings Spark
        from batch.daily import main as run_daily

        return run_daily(rest)
    if rest:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    settings = load_settings()
    logs.configure(options.command)
    return COMMANDS[options.command](settings, options)


def archive(settings: Settings, options: argparse.Namespace) -> int:
    """Archive for ever, or once."""
    from batch.lake.archiver import archive_to_end, archive_until

    if options.once:
        done = archive_to_end(settings)
    else:
        metrics.watch_disk(settings.state_dir)
        metrics.export("archiver", settings.metrics.archiver_port, settings.metrics.host)
        gc.freeze()  # what is here now stays: walking through it again and again costs a quarter of the time
        done = archive_until(_stop_on_signal(), settings, heartbeat_path(settings.run_dir, "archiver"))
    _tell({table: dataclasses.asdict(archived) for table, archived in done.items()})
    return 0


def import_history(settings: Settings, options: argparse.Namespace) -> int:
    """Bring a file of history into the lake."""
    from batch.lake.archiver import now_ms
    from batch.lake.importer import import_file
    from batch.lake.mapping import ColumnMapping

    source = options.source or options.file.stem
    mapping = ColumnMapping(source, dict(options.map), options.kind, options.time_unit)
    done = import_file(options.file, mapping, settings, now_ms=now_ms(), rejected_share_max=options.max_rejected_share)
    _tell(dataclasses.asdict(done))
    return 0


def lake(settings: Settings, options: argparse.Namespace) -> int:
    """Tell what the lake holds, or keep it."""
    from batch.lake.commands import run
    from batch.run import pinned_versions

    _tell(run(settings, options, pinned_versions(settings.state_dir / "daily")))
    return 0


def schedule(settings: Settings, _: argparse.Namespace) -> int:
    """Start the daily run at its time of day, for ever."""
    from batch.schedule import run_schedule

    metrics.export("daily", settings.metrics.daily_port, settings.metrics.host)
    run_schedule(settings, _stop_on_signal(), heartbeat_path(settings.run_dir, "schedule"))
    return 0


def parity(settings: Settings, options: argparse.Namespace) -> int:
    """Compare what the stores say with the log, once or for ever; 1 when anything differs."""
    from batch.parity_gauge import gauge_forever

    sample = None if options.all else options.sample

    def compare_once() -> Parity:
        from batch.parity import compare  # brings Feast, which a gauge that is switched off must not cost

        return compare(settings, sample=sample, is_at_rest=options.at_rest, settle_limit_s=options.settle)

    if options.every is not None:
        metrics.export("parity", settings.metrics.parity_port, settings.metrics.host)
        gauge_forever(compare_once, options.every, heartbeat_path(settings.run_dir, "parity"))
    found = compare_once()
    _tell(dataclasses.asdict(found))
    return 1 if found.mismatches else 0


def rank_sessions(_: Settings, options: argparse.Namespace) -> int:
    """Answer the questions of a file from the log of another."""
    from batch.ranking.rank_sessions import Request, rank_sessions

    request = Request(
        train=options.train,
        queries=options.queries,
        out=options.out,
        k=options.k,
        model=options.model,
        allow_current=options.allow_current,
        minutes=options.minutes,
        seed=options.seed,
        manifest=json.loads(options.manifest.read_text()) if options.manifest else {},
    )
    _tell(rank_sessions(request, lambda line: print(line, file=sys.stderr, flush=True)))
    return 0


def evaluate(settings: Settings, options: argparse.Namespace) -> int:
    """Judge every model on the newest daily run's sessions."""
    from batch.quality.command import Wanted, evaluate_lake, summary_of
    from batch.quality.contestants import chosen

    models = chosen(options.models)
    wanted = Wanted(models, options.out, options.k, options.queries, options.minutes, options.mlflow)
    figures = evaluate_lake(settings, wanted, lambda line: print(line, file=sys.stderr, flush=True))
    _tell(summary_of(figures))
    return 0


def models(settings: Settings, options: argparse.Namespace) -> int:
    """Show the versions of the model, or serve another one."""
    from batch.registry.commands import run

    _tell(run(settings, options))
    return 0


def experiments(settings: Settings, options: argparse.Namespace) -> int:
    """Tell what came of the experiments."""
    from batch.experiments.command import run

    print(run(settings, options), flush=True)
    return 0


def training_set(settings: Settings, options: argparse.Namespace) -> int:
    """Write interactions with what was known before each."""
    from batch.training.point_in_time_command import Wanted, write  # brings Spark

    cutoff_ms = None if options.until is None else _end_of(options.until)
    wanted = Wanted(options.out, options.buckets, options.sample, cutoff_ms)
    _tell(write(settings, wanted, lambda line: print(line, file=sys.stderr, flush=True)))
    return 0


def _end_of(day: date) -> int:
    from batch.cutoff import end_of

    return end_of(day)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m batch", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    archiving = commands.add_parser("archive", help="copy interactions and impressions into the lake, until stopped")
    archiving.add_argument("--once", "--until-end", action="store_true", help="stop when all that is there is archived")
    importing = commands.add_parser(
        "import", help="bring a file of history into the lake: Parquet, CSV, TSV or JSON lines"
    )
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument("--map", type=_pair, action="append", default=[], metavar="FIELD=COLUMN", help="repeatable")
    importing.add_argument("--kind", choices=KINDS, help="the kind of every row, when there is no column for it")
    importing.add_argument("--time-unit", choices=["s", "ms", "us"], default="ms", help="of numbers in the time column")
    importing.add_argument("--source", help="name of the source, of which this is one export (the file's stem)")
    importing.add_argument("--max-rejected-share", type=float, default=0.01, metavar="SHARE", help="(0.01)")
    add_lake_arguments(commands.add_parser("lake", help="look at the lake, and keep it"))
    commands.add_parser("daily", add_help=False, help="recompute and publish all up to the newest closed bucket")
    add_experiments_arguments(commands.add_parser("experiments", help="what came of the experiments"))
    _add_models(commands.add_parser("models", help="list, show, promote and roll back the models"))
    commands.add_parser("schedule", help="run `daily` at its time of day (FIRTH_SCHEDULE__*), until stopped")
    comparing = commands.add_parser("parity", help="compare what the stores say with a recomputation from the log")
    comparing.add_argument("--sample", type=int, default=200, metavar="N", help="visitors and items to compare (200)")
    comparing.add_argument("--all", action="store_true", help="every visitor and item")
    comparing.add_argument("--at-rest", action="store_true", help="nothing is being sent: what is unsettled is wrong")
    comparing.add_argument("--settle", type=_duration, default=30.0, metavar="S", help="wait so long for a row (30)")
    comparing.add_argument("--every", type=_duration, metavar="S", help="for ever, as a gauge; 0: be there and idle")
    _add_ranking(commands.add_parser("rank-sessions", help="rank the next items for the questions of a file"))
    _add_training_set(commands.add_parser("training-set", help="interactions with what was known before each"))
    _add_evaluate(commands.add_parser("evaluate", help="judge every model on the newest daily run: JSON and a page"))
    return root


def _add_ranking(ranking: argparse.ArgumentParser) -> None:
    ranking.add_argument(
        "--train", type=Path, required=True, metavar="FILE", help="user_or_session_id, item_id, timestamp"
    )
    ranking.add_argument("--queries", type=Path, required=True, metavar="FILE", help="query_id, prefix")
    ranking.add_argument("--out", type=Path, required=True, metavar="FILE", help="query_id, rank, item_id, latency_us")
    ranking.add_argument("--k", type=int, default=21, metavar="N", help="length of an answer (21)")
    ranking.add_argument("--model", choices=RANKING_MODELS, default="auto", help="auto: the line-up, fused (auto)")
    ranking.add_argument(
        "--allow-current", choices=["yes", "no", "auto"], default="auto", help="the current item (auto)"
    )
    ranking.add_argument("--minutes", type=float, default=30.0, metavar="M", help="to take at most (30)")
    ranking.add_argument("--seed", type=int, default=1, metavar="N", help="(1)")
    ranking.add_argument(
        "--manifest", type=Path, metavar="FILE", help="what an earlier run told as its manifest: redo it"
    )


def _add_training_set(training: argparse.ArgumentParser) -> None:
    training.add_argument("--out", type=Path, required=True, metavar="DIR")
    training.add_argument("--buckets", type=_count, default=7, metavar="N", help="of the newest days, or buckets (7)")
    training.add_argument("--until", type=date.fromisoformat, metavar="YYYY-MM-DD", help="with the end of this UTC day")
    training.add_argument(
        "--sample", type=_count, default=100, metavar="N", help="rows to recompute against leaks (100)"
    )


def _add_evaluate(evaluating: argparse.ArgumentParser) -> None:
    evaluating.add_argument("--out", type=Path, metavar="DIR", help="where to write (the run's folder)")
    evaluating.add_argument("--models", default="quick", metavar="NAMES", help="by commas; or quick (default), or all")
    evaluating.add_argument("--k", type=_count, default=20, metavar="K", help="length of the lists (20)")
    evaluating.add_argument("--queries", type=_count, default=20_000, metavar="N", help="at most so many (20,000)")
    evaluating.add_argument(
        "--minutes", type=_duration, default=5.0, metavar="M", help="to train each model that is not quick (5)"
    )
    evaluating.add_argument("--no-mlflow", action="store_false", dest="mlflow", help="only write the files")


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every version, the newest first, and which one is served")
    shown = actions.add_parser("show", help="all that is known of a version")
    promoted = actions.add_parser("promote", help="serve a version, whatever the gate said of it")
    for action in (shown, promoted):
        action.add_argument("version", metavar="VERSION", help="as `list` shows it, or: current, previous, candidate")
    actions.add_parser("rollback", help="serve again what was served before")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


def _duration(text: str) -> float:
    duration = float(text)
    if not 0 <= duration < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return duration


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"{text} is not FIELD=COLUMN")
    return name, column


COMMANDS: Final[Mapping[str, Command]] = {
    "archive": archive,
    "evaluate": evaluate,
    "experiments": experiments,
    "import": import_history,
    "lake": lake,
    "models": models,
    "parity": parity,
    "rank-sessions": rank_sessions,
    "training-set": training_set,
    "schedule": schedule,
}


def _stop_on_signal() -> Event:
    """An event that SIGTERM and SIGINT set."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _tell(found: Mapping[str, Any]) -> None:
    print(json.dumps(found, default=str), flush=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
