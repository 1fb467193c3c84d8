"""`python -m serving experiments list | report`: which experiments run, and what came of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from domain.experiments.assignment import Assignment
from domain.experiments.declaration import Declaration, Experiment
from infra.settings import Settings
from serving.adapters.experiments_file import read_experiments

_SAID: Final = ("model", "weights", "policy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and what they take."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="what the file declares; an error in it is named")
    listed.add_argument("--visitor", metavar="ID", help="the arms that this visitor is in")
    listed.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    actions.add_parser("report", add_help=False, help="the same as `python -m batch experiments report`")


def run(settings: Settings, options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print what was asked for. The report reads the lake, which is the batch layer's: its own program makes it."""
    if options.action == "report":
        os.execv(sys.executable, [sys.executable, "-m", "batch", "experiments", "report", *rest])
    declaration = read_experiments(settings.experiments_path)
    if options.visitor is not None:
        arms = [one._asdict() for one in Assignment(declaration).of(options.visitor).arms]
        print(msgspec.json.encode(arms).decode() if options.json else _of_visitor(options.visitor, arms))  # noqa: T201
    else:
        print(_as_json(declaration) if options.json else table(declaration))  # noqa: T201
    return 0


def table(declaration: Declaration) -> str:
    """One block an experiment, for people."""
    if not declaration.experiments:
        return "no experiments"
    return "\n\n".join(_block(each) for each in declaration.experiments)


def _block(each: Experiment) -> str:
    begin, end = each.traffic
    lines = [f"{each.name}: {end - begin:.4g} of the layer {each.layer}, from {begin:.4g} to {end:.4g}"]
    lines += [f"  {each.note}"] if each.note else []
    width = max(len(arm.name) for arm in each.arms)
    for arm in each.arms:
        changes = msgspec.to_builtins(arm)
        said = ", ".join(f"{name} {msgspec.json.encode(changes[name]).decode()}" for name in _SAID if name in changes)
        lines.append(f"  {arm.name:<{width}}  {arm.share:6.1%}  {said or 'as it is'}")
    return "\n".join(lines)


def _of_visitor(visitor_id: str, arms: Sequence[dict[str, Any]]) -> str:
    if not arms:
        return f"{visitor_id} is in no experiment"
    return "\n".join(f"{one['experiment']}: {one['arm']} ({one['propensity']:.1%})" for one in arms)


def _as_json(declaration: Declaration) -> str:
    return msgspec.json.encode(declaration).decode()
