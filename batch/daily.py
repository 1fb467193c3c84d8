"""`python -m batch daily`: recompute every feature and model from the log up to a closed bucket, and publish them.

pin → quarantine → catalogue → admission → features → sessions → histories → taste → tune → evaluate → models →
artifact → gate → publish → promote → track. Each step is skipped when it is done, so a run that was killed goes on
where it stopped, and one by the same log and features finds everything done. With `--from` and `--to` each day gets a
run of its own, in order. Only the last of them is published, and only when nothing newer is: rows never go back.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from batch import run as runs
from batch.cutoff import EmptyLog, NotClosed, cut_log, end_of, look_at_cut
from batch.daily_steps import SERVED, STEPS, OpenSpark, Steps
from batch.publish import NewerRunPublished, is_published, refuse_older
from batch.registry import daily_steps as registry
from batch.registry.switching import UnknownVersion
from batch.run import Found, Run, Tell, only_run, pin_of, record_of, unfinished
from batch.spark import spark_session
from batch.training import artifact
from batch.training.line_up import LineUp
from domain.artifacts import current_version, published_cutoff_ms, read_manifest
from infra import logs
from infra.settings import TRAINING_MINUTES_MAX, Settings, load_settings
from schemas.errors import ConfigurationError


def main(arguments: Sequence[str]) -> int:
    """The command line; the last line on standard output is JSON."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.last_day and not options.first_day:
        parser.error("--to needs --from")
    logs.configure("daily")
    settings = _with_minutes(load_settings(), options.minutes)
    _say(json.dumps(_run_as_asked(settings, options)))
    return 0


def _with_minutes(settings: Settings, minutes: float | None) -> Settings:
    if minutes is None:
        return settings
    if not 0 < minutes <= TRAINING_MINUTES_MAX:
        raise ConfigurationError(
            "--minutes", f"{minutes:g} is not above 0 and at most a day", "give it 20, for example"
        )
    batch = settings.batch.model_copy(update={"training_minutes": minutes})
    return settings.model_copy(update={"batch": batch})


def _version_of(settings: Settings, like: str | None) -> str | None:
    """The version to train like; raises `UnknownVersion` or `BrokenArtifact` before anything is computed."""
    version = current_version(settings.artifacts_dir) if like == "current" else like
    if like is not None and (version is None or not (settings.artifacts_dir / version).is_dir()):
        raise UnknownVersion(like)
    if version is not None:
        read_manifest(settings.artifacts_dir / version)
    return version


def _run_as_asked(settings: Settings, options: argparse.Namespace) -> Found:
    wanted_ms = end_of(options.date) if options.date else options.cutoff_ms
    given: dict[str, Any] = {"fresh": options.fresh, "publishes": options.publishes, "wait_s": options.wait}
    given["like"] = _version_of(settings, options.like)
    if options.resume and wanted_ms is None and not options.first_day:
        left = unfinished(daily_folder(settings))
        wanted_ms = None if left is None else left.pin.cutoff_ms
        _say(f"daily: going on with the run of {wanted_ms}" if left else "daily: nothing was left unfinished")
    if options.first_day:
        days = days_between(options.first_day, options.last_day or options.first_day)
        if options.dry_run:
            last = days[-1] if options.publishes else None
            return {"days": [plan_run(settings, end_of(day), publishes=day == last) for day in days]}
        return backfill(settings, days, tell=_say, **given)
    if options.dry_run:
        return plan_run(settings, wanted_ms, publishes=options.publishes)
    return run_daily(settings, wanted_ms, tell=_say, **given)


def daily_folder(settings: Settings) -> Path:
    """Where the runs are, a folder each, and the records of those whose folders are gone."""
    return settings.state_dir / "daily"


def run_daily(
    settings: Settings,
    wanted_ms: int | None = None,
    *,
    tell: Tell,
    fresh: bool = False,
    publishes: bool = True,
    wait_s: float = 0.0,
    like: str | None = None,
    open_spark: OpenSpark = spark_session,
) -> Found:
    """Do all steps up to the wanted cutoff, or the newest closed one; returns the summary.

    With `like` nothing is searched for: the models are trained by what that version was trained by. With `publishes`
    false neither rows nor models are put where anybody reads them: what was found is recorded.
    """
    folder = daily_folder(settings)
    with only_run(folder, wait_s):
        cut = cut_log(settings, wanted_ms)
        if publishes:
            refuse_older(settings.artifacts_dir, cut.cutoff_ms)
        tell(
            f"daily: {cut.records:,} records and {cut.impressions:,} impressions below {cut.cutoff_ms}, "
            f"version {cut.lake_version} of the lake"
        )
        run = Run.open(folder / str(cut.cutoff_ms), pin_of(cut, settings), cut, tell, fresh=fresh)
        cut = run.record.pinned(cut)
        with run.recorded(), registry.failure_tracked(settings, run.record):
            summary = _do_steps(run, Steps(settings, cut, run.folder, open_spark), publishes=publishes, like=like)
        runs.prune(folder, cut.cutoff_ms)
        return summary


def _do_steps(run: Run, steps: Steps, *, publishes: bool, like: str | None) -> Found:
    run.step("quarantine", steps.quarantine)
    run.step("catalogue", steps.keep_catalogue)
    steps.compute(run)
    run.step("taste", steps.learn_taste)
    line_up = steps.line_up(run, like)
    run.step("tune", line_up.choose)
    metrics = run.step("evaluate", line_up.evaluate)
    run.step("models", partial(steps.build_models, line_up))
    packed = run.step("artifact", partial(steps.pack, run.record, metrics))
    if publishes:
        _serve(run, steps, line_up, packed["version"], metrics)
    return _summary(run, metrics, packed)


def _serve(run: Run, steps: Steps, line_up: LineUp, version: str, metrics: Found) -> None:
    """Put the rows where they are read, and the models if they pass the gate; then tell MLflow."""
    settings = steps.settings
    verdict = run.step("gate", partial(steps.gate, version, line_up, run.tell))
    if run.is_done("publish") and not is_published(settings, steps.view_files, run.record.pin.cutoff_ms):
        run.undo("publish")
    run.step("publish", steps.publish)
    if run.is_done("promote") and not registry.is_promoted(settings):
        run.undo("promote")
    run.step("promote", partial(registry.promote, settings, verdict))
    artifact.prune(settings.artifacts_dir, settings.experiments_path)
    run.step("track", partial(registry.track, settings, run.record, metrics))


def backfill(
    settings: Settings,
    days: Sequence[date],
    *,
    tell: Tell,
    fresh: bool = False,
    publishes: bool = True,
    wait_s: float = 0.0,
    like: str | None = None,
    open_spark: OpenSpark = spark_session,
) -> Found:
    """A run for each day, in order; only the last is published, and only when nothing newer is.

    A day that is done is passed over: killed, a backfill goes on with the first day that is not. So is a day before
    the first record, of which nothing can be learnt.
    """
    found: list[Found] = []
    for number, day in enumerate(days, start=1):
        is_last = publishes and number == len(days) and _may_publish(settings, end_of(day), tell)
        tell(f"daily: {day}, {number} of {len(days)}{', to be published' if is_last else ''}")
        if not (is_last or fresh) and _is_done(settings, end_of(day)):
            tell(f"daily: {day} is done")
            found.append({"day": str(day), "done_before": True})
            continue
        given: dict[str, Any] = {"fresh": fresh, "wait_s": wait_s, "like": like, "open_spark": open_spark}
        try:
            summary = run_daily(settings, end_of(day), tell=tell, publishes=is_last, **given)
        except EmptyLog as error:
            tell(f"daily: {day} is passed over: {error.problem}")
            summary = {"empty": True}
        found.append({"day": str(day), **summary})
    newest = found[-1]
    return {"days": found, "published": newest["version"] if newest.get("published") else None}


def days_between(first: date, last: date) -> list[date]:
    """The days from the first to the last, both of them.

    Raises:
        NotClosed: there is none.
    """
    if last < first:
        raise NotClosed(end_of(last), f"--to {last} lies before --from {first}")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def plan_run(settings: Settings, wanted_ms: int | None = None, *, publishes: bool = True) -> Found:
    """What a run would read, do and publish, by the lake as it is. Nothing is archived, written or started."""
    cut = look_at_cut(settings, wanted_ms)
    record = record_of(daily_folder(settings), cut.cutoff_ms)
    is_same = record is not None and record.pin == pin_of(cut, settings)
    steps = record.steps if record is not None and is_same else {}
    cut = cut if record is None or not is_same else record.pinned(cut)
    has_files = (daily_folder(settings) / str(cut.cutoff_ms)).is_dir()
    done = [name for name in STEPS if name in steps] if has_files else []
    covered_ms = published_cutoff_ms(settings.artifacts_dir)
    may_publish = publishes and (covered_ms is None or covered_ms <= cut.cutoff_ms)
    return {
        "dry_run": True,
        "cutoff_ms": cut.cutoff_ms,
        "reads": {
            "interactions": {"version": cut.lake_version, "rows": cut.records, "from_ms": cut.first_bucket_ms},
            "impressions": {"version": cut.impressions_version, "rows": cut.impressions},
        },
        "done": done,
        "to_do": [name for name in STEPS if name not in done and (may_publish or name not in SERVED)],
        "seconds_before": {name: steps[name].seconds for name in done},
        "would_publish": may_publish,
        "published": {"version": current_version(settings.artifacts_dir), "cutoff_ms": covered_ms},
    }


def _may_publish(settings: Settings, cutoff_ms: int, tell: Tell) -> bool:
    try:
        refuse_older(settings.artifacts_dir, cutoff_ms)
    except NewerRunPublished as error:
        tell(f"daily: nothing of these days is published: cutoff {error.published_ms} is")
        return False
    return True


def _is_done(settings: Settings, cutoff_ms: int) -> bool:
    """Whether this day has come to its end, by the same log and catalogue."""
    record = record_of(daily_folder(settings), cutoff_ms)
    return (
        record is not None and record.is_finished and record.pin == pin_of(look_at_cut(settings, cutoff_ms), settings)
    )


def _summary(run: Run, metrics: Found, packed: Found) -> Found:
    steps = run.record.steps
    return {
        "cutoff_ms": run.record.pin.cutoff_ms,
        "lake_version": run.record.lake_version,
        "version": packed["version"],
        "published": run.record.is_published,
        "promoted": steps["gate"].found["promoted"] if "gate" in steps else None,
        **steps["quarantine"].found,
        **steps["features"].found,
        **steps["sessions"].found,
        "ranked_by": steps["tune"].found["ranked_by"],
        "hr20": metrics.get("line_up_hr20"),
        "mrr20": metrics.get("line_up_mrr20"),
        "session_knn_hr20": metrics.get("session_knn_hr20"),
        "popularity_hr20": metrics.get("popularity_hr20"),
        "seconds": run.seconds,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m batch daily", description=__doc__)
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="cut at the end of this UTC day")
    until.add_argument("--cutoff-ms", type=int, metavar="MS", help="cut at this instant, the end of a closed bucket")
    until.add_argument(
        "--from", dest="first_day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="a run for each day from here"
    )
    parser.add_argument(
        "--to", dest="last_day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="with --from: to this day"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--fresh", action="store_true", help="do every step again")
    start.add_argument("--resume", action="store_true", help="go on with the newest run that was killed or failed")
    start.add_argument("--dry-run", action="store_true", help="only tell what would be read, done and published")
    parser.add_argument(
        "--no-publish", dest="publishes", action="store_false", help="compute and judge, and change nothing that serves"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="for searching, training and judging the models (as the settings say)",
    )
    parser.add_argument(
        "--like", metavar="VERSION", help="train by what this version (or `current`) was trained by, and search nothing"
    )
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="for another run to end, so long (0)")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
