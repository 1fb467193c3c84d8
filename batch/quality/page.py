"""The report of an evaluation: one HTML file with everything in it, which opens without a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from batch.quality import plots
from batch.quality.examination import RARE, Figures

GROUP_TITLES: Final = {
    "prefix_length": "By length of the session so far",
    "target": "By what came next",
    "device": "By device",
}
NEXT: Final = ("HR", "MRR", "NDCG")
REST: Final = ("R", "P", "MAP", "NDCG_rest", "HR_any")
LIST_TITLES: Final = {
    "answered": "answered",
    "full": "full lists",
    "coverage": "coverage",
    "popularity": "popularity",
    "arp": "ARP",
    "gini": "Gini",
    "novelty": "novelty, bits",
    "cold": "cold items",
    "serendipity": "serendipity",
    "diversity": "diversity",
}
STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #22272b; max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
p.about, p.note { color: #5a646d } figure { margin: 1rem 0 } svg { width: 100%; height: auto }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px }
table { font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e3e6e8; white-space: nowrap }
th:first-child, td:first-child { text-align: left } small { color: #7a8794 } .better { color: #1d7a4a }
.worse { color: #b5423c }
"""

Rows = Sequence[Sequence[str]]


def write_page(path: Path, figures: Figures) -> None:
    """Write the report of these figures."""
    path.write_text(page_of(figures), encoding="utf-8")


def page_of(figures: Figures) -> str:
    """The whole page."""
    models, k = figures["models"], figures["k"]
    best = max(models, key=lambda name: models[name]["metrics"][f"NDCG@{k}"][0])
    parts = [
        f"<h1>Ranking quality up to {_day(figures['cutoff_ms'])}</h1>",
        _about(figures),
        "<h2>The next item</h2>",
        _figure(plots.hits(models, k)),
        _metrics_table(models, NEXT),
        "<h2>The rest of the session</h2>",
        _metrics_table(models, REST),
        "<h2>Side by side</h2>",
        f'<p class="note">Paired on the same queries; <b>{escape(best)}</b> has the highest NDCG@{k}. An interval that '
        "does not hold 0 is a difference; overlapping intervals above say nothing about it.</p>",
        _figure(plots.gains(figures["paired"], best, list(models), k)) if len(models) > 1 else "",
        _paired_table(figures["paired"]),
        "<h2>Beyond hits: breadth, popularity bias, novelty, surprise, variety</h2>",
        _figure(plots.breadth(models, k)),
        _lists_table(models),
        _list_notes(figures),
        *(_group(models, by, title, k) for by, title in GROUP_TITLES.items()),
        "<h2>Cost</h2>",
        _cost_table(models),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Firth: ranking quality</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _about(figures: Figures) -> str:
    counts = {name: f"{value:,}" for name, value in figures.items() if isinstance(value, int)}
    sentences = (
        f"Version {figures['lake_version']} of the lake, evaluated at {escape(figures['evaluated_at'])}.",
        f"{counts['queries']} queries of the {counts['sessions_asked']} sessions that began at",
        f"{_instant(figures['split_at_ms'])} UTC or later; learnt from the {counts['sessions_known']} that had ended",
        f"before ({counts['interactions_known']} interactions, {counts['items_known']} of {counts['items']} items).",
        "Every item of the catalogue is ranked; an item that was unknown then is a miss.",
        f"Session-kNN policy, chosen by a slice before these: {escape(figures['policy'])}.",
        "Intervals: 95 %, bootstrap over sessions.",
    )
    return f'<p class="about">{" ".join(sentences)}</p>'


def _metrics_table(models: Mapping[str, Figures], measures: Sequence[str]) -> str:
    names = [name for name in next(iter(models.values()))["metrics"] if name.partition("@")[0] in measures]
    rows = [[escape(model), *(_interval(one["metrics"][name]) for name in names)] for model, one in models.items()]
    return _table(["model", *names], rows)


def _paired_table(paired: Sequence[Figures]) -> str:
    if not paired:
        return ""
    names = [name for name in paired[0] if name not in ("model", "over")]
    rows = [
        [f"{escape(one['model'])} over {escape(one['over'])}", *(_gain(one[name]) for name in names)] for one in paired
    ]
    return _table(["gain of", *names], rows)


def _lists_table(models: Mapping[str, Figures]) -> str:
    rows = [[escape(model), *(_number(one["lists"][name]) for name in LIST_TITLES)] for model, one in models.items()]
    return _table(["model", *LIST_TITLES.values()], rows)


def _list_notes(figures: Figures) -> str:
    return (
        '<p class="note">Coverage: share of the known items that are ever shown. Popularity: mean count of what is '
        "shown, by the largest count; ARP: the same in interactions. Gini: 0 shows all items alike, 1 one item only. "
        "Novelty: rarer items are more bits. Cold: shown items without a known interaction. Serendipity: shown items "
        "that came later and that the popularity does not show. Diversity: mean distance of two items of a list by "
        f"category ({figures['items_with_categories']:,} items have some; – where none has).</p>"
    )


def _group(models: Mapping[str, Figures], by: str, title: str, k: int) -> str:
    groups = next(iter(models.values()))["groups"][by]
    head = [
        f"HR@{k} of",
        *(f"{escape(group)} <small>{of['queries']:,} queries</small>" for group, of in groups.items()),
    ]
    rows = [
        [escape(model), *(_interval(one["groups"][by][group][f"HR@{k}"]) for group in groups)]
        for model, one in models.items()
    ]
    note = ""
    if by == "target":
        note = (
            f'<p class="note">repeat: the session had it before; rare: at most {RARE} known interactions; cold: none, '
            "which only content or popularity of the moment can find.</p>"
        )
    return f"<h2>{title}</h2>{_figure(plots.by_group(models, by, k))}{_table(head, rows)}{note}"


def _cost_table(models: Mapping[str, Figures]) -> str:
    rows = [
        [escape(model), f"{one['build_s']:,.2f}", *(f"{one['latency_us'].get(p, 0):,.0f}" for p in ("p50", "p99"))]
        for model, one in models.items()
    ]
    return _table(["model", "built in, s", "answer p50, µs", "p99, µs"], rows)


def _table(head: Sequence[str], rows: Rows) -> str:
    first = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>"


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _interval(of: Sequence[float]) -> str:
    mean, low, high = of
    return f"{mean:.4f} <small>{low:.3f}–{high:.3f}</small>"


def _gain(of: Sequence[float]) -> str:
    mean, low, high = of
    kind = "better" if low > 0 else "worse" if high < 0 else ""
    return f'<span class="{kind}">{mean:+.4f}</span> <small>{low:+.3f} to {high:+.3f}</small>'


def _number(value: Any) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4g}"


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"


def _instant(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
