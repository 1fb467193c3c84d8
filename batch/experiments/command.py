"""`python -m batch experiments report`: what came of the experiments, as far as it is archived."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import msgspec

from domain.experiments.declaration import Declaration, read_declaration
from infra.settings import Settings
from schemas.errors import ConfigurationError
from schemas.events import INSTANT_MAX


class UnknownExperiment(ConfigurationError):
    """Nobody declares the experiment, and no slate belongs to it."""

    def __init__(self, name: str, known: list[str]) -> None:
        remedy = f"name one of {', '.join(known)}" if known else "declare one: docs/experiments.md"
        super().__init__(f"experiment {name}", "it is not declared, and no slate of this time belongs to it", remedy)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and what they take."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    reported = actions.add_parser("report", help="arms compared, and whether that can be trusted")
    reported.add_argument("--name", metavar="NAME", help="one experiment (all that are declared or were shown)")
    reported.add_argument("--since", type=_instant, default=0, metavar="TIME", help="shown from here on; UTC, ISO 8601")
    reported.add_argument("--until", type=_instant, default=INSTANT_MAX, metavar="TIME", help="and before this")
    reported.add_argument("--json", action="store_true", help="one JSON line an experiment instead of tables")


def run(settings: Settings, options: argparse.Namespace) -> str:
    """The report as text. Raises UnknownExperiment, NothingArchived, BadExperiments."""
    from batch.experiments.outcomes import Period, read_outcomes  # brings deltalake, which other commands do not need
    from batch.experiments.report import names_in, report
    from batch.experiments.table import table

    declaration = _declaration(settings)
    outcomes = read_outcomes(settings, Period(options.since, options.until))
    known = sorted({*names_in(outcomes), *(each.name for each in declaration.experiments)})
    if options.name is not None and options.name not in known:
        raise UnknownExperiment(options.name, known)
    names = known if options.name is None else [options.name]
    found: list[dict[str, Any]] = [report(name, outcomes, declaration.named(name)) for name in names]
    if options.json:
        return "\n".join(msgspec.json.encode(each).decode() for each in found)
    return "\n\n".join(table(each) for each in found) or "no experiments"


def _declaration(settings: Settings) -> Declaration:
    path = settings.experiments_path
    return read_declaration(path.read_bytes(), str(path)) if path.is_file() else Declaration()


def _instant(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
