"""The pictures of experiments: a row of panels for each task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from planet_torch.experiments import foresight
from planet_torch.experiments.base import Entry, Series, Variant
from planet_torch.experiments.summary import curve
from planet_torch.files import write_atomically
from planet_torch.plots import COLOURS, GREY
from planet_torch.published import CURVES
from planet_torch.statistics import Estimate, estimate, interquartile_mean

DOTS = ("D", "s", "^", "v", "P", "X")


def draw(series: Series, path: Path) -> Path:
    """Draw the panels of an experiment, from the runs that are finished.

    Args:
        series: with one finished run at least.
        path: the picture to write.

    Raises:
        ValueError: if no run is finished yet.
    """
    if not any(entry.finished for entry in series.entries()):
        raise ValueError(
            f"no run of the experiment {series.experiment.name!r} is finished in "
            f"{series.folder}; `planet experiment run` begins them"
        )
    panels = [
        (panel, task) for panel in series.experiment.panels for task in series.tasks
    ]
    # A row for each kind of panel; if there is one kind only, rows of four.
    columns = len(series.tasks) if len(series.experiment.panels) > 1 else 4
    columns = min(columns, len(panels))
    height = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * height), layout="constrained")
    figure.suptitle(f"{series.experiment.about} ({series.scale})", fontsize="medium")
    figure.supxlabel(series.experiment.note, fontsize="x-small", color=GREY)
    grid = [*figure.subplots(height, columns, squeeze=False).flat]
    for axes, (panel, task) in zip(grid, panels, strict=False):
        panel(axes, series, task)
        axes.set_title(task, loc="left", fontsize="medium", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return write_atomically(
        path, lambda partial: figure.savefig(partial, dpi=140), alone=False
    )


def learning_curves(axes: Axes, series: Series, task: str) -> None:
    """Score against episodes: mean, interval, interquartile mean, and the papers'."""
    for number, variant in enumerate(series.variants):
        turn, place = divmod(number, len(COLOURS))  # after the last, other markers
        colour, marker = COLOURS[place], ("o", *DOTS)[turn % (1 + len(DOTS))]
        entries = series.finished(variant, task)
        if entries:
            _learning_curve(axes, variant, entries, task, colour, marker)
        if task in variant.published:
            score = variant.published[task].score
            axes.axhline(score, color=colour, ls="--", lw=1, zorder=1)
    for (method, scores), marker in zip(
        series.experiment.beside.items(), cycle(DOTS), strict=False
    ):
        if task in scores:
            score = scores[task].score
            axes.axhline(score, color=GREY, ls=":", lw=1, zorder=1)
            label = f"{method}: {score:g}"
            axes.plot([0], [score], marker, ms=4, color=GREY, label=label)
    right = axes.get_xlim()[1]
    points = {n: score for n, score in CURVES.get(task, {}).items() if n <= right}
    if points:
        style: dict[str, Any] = {"ls": "", "marker": "o", "mfc": "none", "color": GREY}
        label = "PlaNet, first version, by eye"
        axes.plot([*points], [*points.values()], label=label, **style)
    _dress(axes, "episodes", "score")


def _learning_curve(
    axes: Axes,
    variant: Variant,
    entries: list[Entry],
    task: str,
    colour: str,
    marker: str,
) -> None:
    """Where all the runs were evaluated."""
    curves = [curve(entry, task) for entry in entries]
    episodes = sorted(set.intersection(*map(set, curves)))
    seeds = [np.array([scores[n] for scores in curves]) for n in episodes]
    means = [estimate([scores]) for scores in seeds]
    middles = [interquartile_mean(scores) for scores in seeds]
    count = f"{len(entries)} seed{'s' * (len(entries) > 1)}"
    label = f"{variant.label}, {count}"
    _band(axes, episodes, means, colour, label=label, marker=marker, markersize=4)
    axes.plot(episodes, middles, color=colour, ls=":", lw=1.2)


def _band(
    axes: Axes, x: Sequence[int], means: Sequence[Estimate], colour: str, **style: Any
) -> None:
    """A line of means in a band of their intervals."""
    axes.plot(x, [one.value for one in means], color=colour, **style)
    low, high = [one.low for one in means], [one.high for one in means]
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def prediction_errors(axes: Axes, series: Series, task: str) -> None:
    """How wrong each variant foresees the same episodes, against the distance."""
    found = foresight.errors(series, task)
    for variant, colour in zip(series.variants, cycle(COLOURS), strict=False):
        if variant.name in found:
            means = [estimate([seeds]) for seeds in np.transpose(found[variant.name])]
            _band(axes, range(1, len(means) + 1), means, colour, label=variant.label)
    if foresight.STANDSTILL in found:
        still = np.mean(found[foresight.STANDSTILL], axis=0)
        ahead = np.arange(1, len(still) + 1)
        axes.plot(ahead, still, color=GREY, ls="--", label="had nothing moved")
    _dress(axes, "frames ahead", "error in grey levels of 256")


def _dress(axes: Axes, x: str, y: str) -> None:
    """Labels, and as few lines as will do."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize="x-small", loc="best")
