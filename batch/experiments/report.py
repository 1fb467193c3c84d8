"""The report of one experiment: its arms, whether they differ, and whether that can be trusted.

Each visitor counts in the arm that they saw first, with its slates. What is compared is one value a visitor, or a
ratio of two, because visitors are what is drawn by lot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from batch.experiments.outcomes import Outcome
from domain.experiments.declaration import Experiment
from domain.experiments.statistics import (
    ALPHA,
    Comparison,
    Sample,
    adjusted,
    ratio_sample,
    sample_of,
    visitors_needed,
    welch,
)
from domain.experiments.statistics_off_policy import ips, snips
from domain.experiments.statistics_ratio import check_ratio
from domain.experiments.statistics_sequential import always_valid

EFFECT: Final = 0.1
"""The effect of an experiment that is no longer declared."""

CONTROL: Final = "control"
METRICS: Final = ("click_through", "conversion", "converting_visitors")
GREEDY_ABOVE: Final = 0.5
"""At an explored place the item that would have stood there anyway has a higher propensity, any other a lower one."""


@dataclass(slots=True)
class ArmCounts:
    """One arm, one number a visitor in each list."""

    slates: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    clicked: list[int] = field(default_factory=list)
    converted: list[int] = field(default_factory=list)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """One more visitor, with their slates."""
        mine = list(outcomes)
        self.slates.append(len(mine))
        self.shown.append(sum(one.shown for one in mine))
        self.clicked.append(sum(one.clicked for one in mine))
        self.converted.append(sum(one.converted for one in mine))

    def sample(self, metric: str) -> Sample:
        """What the arm measured."""
        match metric:
            case "click_through":
                return ratio_sample(self.clicked, self.shown)
            case "conversion":
                return ratio_sample(self.converted, self.shown)
        return sample_of([float(count > 0) for count in self.converted])


def names_in(outcomes: Iterable[Outcome]) -> list[str]:
    """The experiments that some slate belongs to."""
    return sorted({arm.experiment for outcome in outcomes for arm in outcome.arms})


def report(name: str, outcomes: Sequence[Outcome], declared: Experiment | None) -> dict[str, Any]:
    """What came of one experiment; `outcomes` in the order in which they were received."""
    mine = [(outcome, arm) for outcome in outcomes for arm in outcome.arms if arm.experiment == name]
    first: dict[str, str] = {}
    for outcome, arm in mine:
        first.setdefault(outcome.visitor_id, arm.arm)
    by_visitor: dict[str, list[Outcome]] = defaultdict(list)
    for outcome, arm in mine:
        if first[outcome.visitor_id] == arm.arm:
            by_visitor[outcome.visitor_id].append(outcome)
    arms = {arm: ArmCounts() for arm in _arms_of(first.values(), declared)}
    for visitor_id, theirs in by_visitor.items():
        arms[first[visitor_id]].add(theirs)
    propensities = _propensities(mine)
    return {
        "experiment": name,
        "declared": declared is not None,
        "first_ms": mine[0][0].received_at_ms if mine else None,
        "last_ms": mine[-1][0].received_at_ms if mine else None,
        "visitors": len(first),
        "crossed_visitors": sum(len(seen) > 1 for seen in _seen(mine).values()),
        "slates": len(mine),
        "ratio": (ratio := _ratio(arms, propensities, declared)),
        "arms": {arm: _arm(counts, sorted(propensities[arm])) | _off_policy(arm, mine) for arm, counts in arms.items()},
        "comparisons": _comparisons(arms, declared.effect if declared else EFFECT, is_trusted=not ratio["alarm"]),
        "exploration": _exploration(mine),
    }


def _arms_of(seen: Iterable[str], declared: Experiment | None) -> list[str]:
    """The control first, then as declared, then what else was seen."""
    named = [arm.name for arm in declared.arms] if declared else []
    others = sorted(set(seen) - set(named), key=lambda arm: (arm != CONTROL, arm))
    return [*named, *others]


def _seen(mine: Iterable[tuple[Outcome, Any]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for outcome, arm in mine:
        found[outcome.visitor_id].add(arm.arm)
    return found


def _propensities(mine: Iterable[tuple[Outcome, Any]]) -> dict[str, set[float]]:
    found: dict[str, set[float]] = defaultdict(set)
    for _, arm in mine:
        found[arm.arm].add(arm.propensity)
    return found


def _arm(counts: ArmCounts, propensities: Sequence[float]) -> dict[str, Any]:
    totals = {name: sum(getattr(counts, name)) for name in ("slates", "shown", "clicked", "converted")}
    metrics = {metric: counts.sample(metric).mean for metric in METRICS}
    return {"visitors": len(counts.slates), **totals, **metrics, "propensities": propensities}


def _ratio(
    arms: Mapping[str, ArmCounts], logged: Mapping[str, set[float]], declared: Experiment | None
) -> dict[str, Any]:
    """Whether the arms have the visitors that the lot gave them; nobody can tell when the shares were changed."""
    declared_shares = {arm.name: arm.share for arm in declared.arms} if declared else {}
    shares = {arm: next(iter(logged[arm]), declared_shares.get(arm)) for arm in arms}
    counts = {arm: len(found.slates) for arm, found in arms.items()}
    changed = any(len(logged[arm]) > 1 for arm in arms)
    known = [share for share in shares.values() if share is not None]
    if changed or len(known) < len(arms) or abs(sum(known) - 1) > 0.01:
        note = "the shares were changed within this time, or an arm is missing: ask for a time in which they were not"
        return {"counts": counts, "alarm": False, "note": note}
    found = check_ratio(list(counts.values()), known)
    return {
        "counts": counts,
        "expected": dict(zip(arms, found.expected, strict=True)),
        "p_value": found.p_value,
        "sequential_p_value": found.sequential_p_value,
        "alarm": found.is_alarming,
    }


def _comparisons(arms: Mapping[str, ArmCounts], effect: float, *, is_trusted: bool) -> list[dict[str, Any]]:
    """Every other arm with the control, in each metric."""
    if len(arms) < 2:
        return []
    control, *treatments = arms
    found = []
    for metric in METRICS:
        measured = arms[control].sample(metric)
        others = {arm: arms[arm].sample(metric) for arm in treatments}
        tests = [welch(measured, other) for other in others.values()]
        for arm, test, holm in zip(treatments, tests, adjusted([each.p_value for each in tests]), strict=True):
            always = always_valid(measured, others[arm], effect, ALPHA / len(treatments))
            found.append(
                {
                    "metric": metric,
                    "arm": arm,
                    "control": measured.mean,
                    "treatment": others[arm].mean,
                    "difference": test.difference,
                    "lift": test.lift,
                    "t_test": _interval(test) | {"holm_p_value": holm},
                    "always_valid": _interval(always),
                    "verdict": verdict(always, is_trusted=is_trusted),
                    "visitors_needed": visitors_needed(measured, effect),
                }
            )
    return found


def verdict(always: Comparison, *, is_trusted: bool) -> str:
    """What may be said at any time: by the interval that is valid at any time, and by nothing else."""
    if not is_trusted:
        return "not to be trusted"
    if not always.is_significant:
        return "undecided"
    return "better" if always.low > 0 else "worse"


def _interval(found: Comparison) -> dict[str, float]:
    return {"low": found.low, "high": found.high, "p_value": found.p_value}


def _off_policy(arm: str, mine: Sequence[tuple[Outcome, Any]]) -> dict[str, Any]:
    """Clicks a slate if everybody were in this arm: right, too, where its share was changed on the way."""
    rewards = [float(outcome.clicked) for outcome, _ in mine]
    chances = [one.propensity for _, one in mine]
    targets = [float(one.arm == arm) for _, one in mine]
    visitors = _numbered(outcome.visitor_id for outcome, _ in mine)
    estimates = {name: asdict(estimate(rewards, chances, targets, visitors)) for name, estimate in _ESTIMATES.items()}
    return {"clicks_per_slate_if_for_all": estimates}


_ESTIMATES: Final = {"ips": ips, "snips": snips}


def _exploration(mine: Sequence[tuple[Outcome, Any]]) -> dict[str, Any] | None:
    """The click rate of the places that are drawn by lot: as they were, and had none been drawn."""
    places = [(outcome.visitor_id, *place) for outcome, _ in mine for place in outcome.explored]
    if not places:
        return None
    visitors = _numbered(visitor for visitor, _, _ in places)
    chances = [chance for _, chance, _ in places]
    clicks = [float(clicked) for _, _, clicked in places]
    greedy = [float(chance > GREEDY_ABOVE) for chance in chances]
    return {
        "places": len(places),
        "drawn": int(len(places) - sum(greedy)),
        "click_rate": asdict(snips(clicks, chances, chances, visitors)),
        "click_rate_without_exploration": asdict(snips(clicks, chances, greedy, visitors)),
    }


def _numbered(names: Iterable[str]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in names]
