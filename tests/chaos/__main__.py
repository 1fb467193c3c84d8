"""`python -m tests.chaos`: a platform of its own, a storm from a seed, and a verdict; 0 when nothing was lost or wrong.

Progress goes to standard output; the last line is JSON. A failed run keeps its state folder and tells where it is.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Final

from infra.exits import run_command
from infra.processes.control import say_now
from infra.settings import load_settings
from tests.chaos.judgement import Verdict
from tests.chaos.platform import Platform, environment
from tests.chaos.shipment import Mix
from tests.chaos.storm import Plan, Storm

SHORT_S: Final = 100
SHORT_PERIOD_S: Final = 20
LONG_PERIOD_S: Final = 30


def main() -> int:
    """Run and judge."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="firth-chaos-", dir=options.folder))
    plan = plan_of(seed, None if options.short else options.minutes, options.rate, options.period)
    print(f"chaos: seed {seed}, {plan.mix.duration_ms / 1000:.0f} s, {plan.mix.events_per_s:.0f} events/s, in {folder}")
    for kill in plan.kills():
        print(f"  at {kill.at_ms / 1000:7.1f} s kill -9 {kill.target}")
    os.environ.update(environment(folder, plan.mix.period_ms // 1000))
    verdict = run(plan)
    for complaint in verdict.complaints:
        print(f"WRONG: {complaint}")
    if verdict.complaints:
        print(f"the state is kept in {folder}; replay with --seed {seed}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    found = {"seed": seed, "is_well": not verdict.complaints, "wrong": len(verdict.complaints), **verdict.facts}
    print(json.dumps(found, default=str), flush=True)
    return 1 if verdict.complaints else 0


def plan_of(seed: int, minutes: float | None, rate: float | None = None, period_s: int | None = None) -> Plan:
    """The short form when no minutes are given: each target is killed once, each bucket is shorter."""
    duration_ms = SHORT_S * 1_000 if minutes is None else int(minutes * 60_000)
    period_s = period_s or (SHORT_PERIOD_S if minutes is None else LONG_PERIOD_S)
    events_per_s = rate or (80.0 if minutes is None else 50.0)
    mix = Mix(duration_ms=duration_ms, period_ms=period_s * 1_000, events_per_s=events_per_s)
    return Plan(seed, mix, 0.0 if minutes is None else 45.0, ends_with_daily=minutes is not None)


def run(plan: Plan) -> Verdict:
    """On a platform that is there for this run only; nothing of it is left running."""
    settings = load_settings()
    platform = Platform(settings, say_now)
    try:
        platform.up()
        return Storm(settings, platform, plan, say_now).run()
    finally:
        platform.down()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help=f"{SHORT_S} s of it, each target once")
    length.add_argument("--minutes", type=float, default=30.0, help="how long things are killed (30)")
    parser.add_argument("--seed", type=int, help="replay the load and the kills of a run (else a new seed)")
    parser.add_argument("--rate", type=float, help="events a second")
    parser.add_argument("--period", type=int, metavar="S", help="how long a bucket is, in seconds")
    parser.add_argument("--folder", type=Path, help="where the state folder is made (the system's for temporary files)")
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run_command(main))
