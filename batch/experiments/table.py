"""The report of an experiment as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

METRIC_NAMES: Final = {
    "click_through": "click-through rate",
    "conversion": "conversion rate",
    "converting_visitors": "visitors who convert",
}


def table(found: Mapping[str, Any]) -> str:
    """One block: who was in it, what each arm measured, and what may be said of it."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['experiment']}{'' if found['declared'] else ' (no longer declared)'}: {_size(found)}"
    if not found["slates"]:
        return
    yield f"  from {_clock(found['first_ms'])} to {_clock(found['last_ms'])}"
    yield f"  {_of_ratio(found['ratio'])}"
    if found["crossed_visitors"]:
        yield f"  {found['crossed_visitors']:,} visitors saw more than one arm, and count in the first"
    yield ""
    yield f"  {'arm':<20}{'visitors':>10}{'slates':>10}{'shown':>12}{'CTR':>9}{'conversion':>12}{'converting':>12}"
    for name, arm in found["arms"].items():
        yield (
            f"  {name:<20}{arm['visitors']:>10,}{arm['slates']:>10,}{arm['shown']:>12,}{arm['click_through']:>9.3%}"
            f"{arm['conversion']:>12.3%}{arm['converting_visitors']:>12.3%}"
        )
    for each in found["comparisons"]:
        yield ""
        yield from _comparison(each)
    if found["exploration"]:
        yield ""
        yield _of_exploration(found["exploration"])


def _size(found: Mapping[str, Any]) -> str:
    if not found["slates"]:
        return "nothing was shown in it yet"
    return f"{found['visitors']:,} visitors, {found['slates']:,} slates"


def _of_ratio(ratio: Mapping[str, Any]) -> str:
    if "note" in ratio:
        return f"the numbers of visitors cannot be checked: {ratio['note']}"
    p_values = f"p = {ratio['p_value']:.2g}, at any time {ratio['sequential_p_value']:.2g}"
    if ratio["alarm"]:
        return f"ALARM: the arms do not have the visitors of their shares ({p_values}): trust nothing below"
    return f"the arms have the visitors of their shares ({p_values})"


def _comparison(each: Mapping[str, Any]) -> Iterator[str]:
    lift = "" if each["lift"] is None else f" ({each['lift']:+.1%})"
    points = f"{100 * each['difference']:+.3f} points{lift}"
    yield f"  {METRIC_NAMES[each['metric']]} of {each['arm']}: {points}: {each['verdict']}"
    for name, said in (("at any time", each["always_valid"]), ("one look only", each["t_test"])):
        yield f"    {name:<14} {100 * said['low']:+.3f} to {100 * said['high']:+.3f}, p = {said['p_value']:.2g}"
    if each["visitors_needed"]:
        yield f"    a test of one look needs about {each['visitors_needed']:,} visitors an arm"


def _of_exploration(found: Mapping[str, Any]) -> str:
    without = found["click_rate_without_exploration"]
    return (
        f"  {found['places']:,} places drawn by lot, {found['drawn']:,} of them with another item: click rate "
        f"{found['click_rate']['value']:.3%}, without exploration {without['value']:.3%} "
        f"({without['low']:.3%} to {without['high']:.3%})"
    )


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
