"""The plots of an evaluation's page as SVG text: drawn by matplotlib, which only the training environment has."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from batch.quality.examination import Figures

COLOURS: Final = (
    "#7a8794", "#c0842b", "#2f7f6d", "#1f5fa8", "#8a4fa3", "#b5423c", "#5b7f1f", "#37474f", "#d16ba5", "#00838f",
    "#9c6b3f", "#d4b106",
)  # fmt: skip
"""Of the models in their order; beyond twelve they come again."""

STYLE: Final[Any] = {
    "svg.hashsalt": "firth",  # the same figures are the same bytes
    "svg.fonttype": "path",
    "text.parse_math": False,  # names of devices are anybody's text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
}

Models = Mapping[str, Figures]

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of every font that it finds


def hits(models: Models, k: int) -> str:
    """The three measures of the next item, each model with its interval."""
    with mpl.rc_context(STYLE):
        figure = _figure(3, height=0.42 * len(models) + 1.1)
        for axes, measure in zip(figure.axes, ("HR", "MRR", "NDCG"), strict=True):
            _whiskers(axes, {name: one["metrics"][f"{measure}@{k}"] for name, one in models.items()}, list(models))
            axes.set_xlabel(f"{measure}@{k}")
            axes.set_xlim(left=0)
        return _svg(figure)


def gains(paired: Sequence[Figures], model: str, names: Sequence[str], k: int) -> str:
    """The paired gain of one model over each other one; right of the line it is better."""
    with mpl.rc_context(STYLE):
        over = {one["over"]: one for one in paired if one["model"] == model}
        turned = {one["model"]: _turned(one) for one in paired if one["over"] == model}
        figure = _figure(2, height=0.42 * (len(over) + len(turned)) + 1.1)
        for axes, measure in zip(figure.axes, ("HR", "MRR"), strict=True):
            _whiskers(axes, {name: one[f"{measure}@{k}"] for name, one in (over | turned).items()}, names)
            axes.axvline(0, color="#333333", linewidth=0.8)
            axes.set_xlabel(f"{measure}@{k} of {model} minus that of …")
        return _svg(figure)


def by_group(models: Models, by: str, k: int) -> str:
    """HR and MRR of every model by group of queries, with intervals."""
    with mpl.rc_context(STYLE):
        figure = _figure(2, height=3.2)
        for axes, measure in zip(figure.axes, ("HR", "MRR"), strict=True):
            _bars(axes, models, by, f"{measure}@{k}")
        _legend(figure)
        return _svg(figure)


def breadth(models: Models, k: int) -> str:
    """Hits against coverage, and against the popularity of what is shown: who is right, and who is right by luck."""
    with mpl.rc_context(STYLE):
        figure = _figure(3, height=3.2)
        labels = {"coverage": "coverage of the catalogue", "gini": "Gini of exposure", "novelty": "novelty, bits"}
        for axes, (measure, label) in zip(figure.axes, labels.items(), strict=True):
            for colour, (name, one) in zip(_colours(models), models.items(), strict=True):
                share = one["metrics"][f"HR@{k}"][0]
                axes.scatter(one["lists"][measure], share, color=colour, s=40, zorder=3, label=name)
            axes.set_xlabel(label)
            axes.margins(0.12)
        figure.axes[0].set_ylabel(f"HR@{k}")
        _legend(figure)
        return _svg(figure)


def _figure(columns: int, height: float) -> Figure:
    figure = Figure(figsize=(10, height), layout="constrained")
    figure.subplots(1, columns)
    return figure


def _whiskers(axes: Axes, intervals: Mapping[str, Sequence[float]], models: Sequence[str]) -> None:
    """One line a name, the first one on top; a model has its colour wherever it stands."""
    names, colour_of = list(intervals), dict(zip(models, _colours(models), strict=True))
    for at, (name, (mean, low, high)) in enumerate(intervals.items()):
        colour = colour_of[name]
        axes.plot([low, high], [at, at], color=colour, linewidth=1.6)
        axes.plot([mean], [at], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _bars(axes: Axes, models: Models, by: str, measure: str) -> None:
    groups = list(next(iter(models.values()))["groups"][by])
    width = 0.8 / len(models)
    for number, (colour, (name, one)) in enumerate(zip(_colours(models), models.items(), strict=True)):
        intervals = [one["groups"][by][group][measure] for group in groups]
        places = [at + (number - (len(models) - 1) / 2) * width for at in range(len(groups))]
        means = [mean for mean, _, _ in intervals]
        errors = [[mean - low for mean, low, _ in intervals], [high - mean for mean, _, high in intervals]]
        axes.bar(places, means, width, color=colour, label=name, yerr=errors, error_kw={"linewidth": 0.7})
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(measure)


def _legend(figure: Figure) -> None:
    """One for all axes, above them: names beside points would lie on one another."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=7, frameon=False)


def _turned(one: Figures) -> dict[str, Any]:
    """A comparison seen from the other side."""
    return {name: [-each[0], -each[2], -each[1]] for name, each in one.items() if name not in ("model", "over")}


def _colours(names: Mapping[str, Any] | Sequence[str]) -> list[str]:
    return [COLOURS[at % len(COLOURS)] for at in range(len(names))]


def _svg(figure: Figure) -> str:
    """The element alone, without the XML declaration that a page must not have."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    text = drawn.getvalue()
    return text[text.index("<svg") :]
