"""The picture of a run: return against environment steps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from planet_torch.files import write_atomically
from planet_torch.metrics import Record, read_metrics

# Of Okabe and Ito, told apart by those who see colours differently, and in grey.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#8A8A8A"


def learning_curve(
    run: str | os.PathLike[str],
    path: str | os.PathLike[str],
    reference: float | int | None = None,
    reference_label: str = "published",
    title: str | None = None,
) -> Path:
    """Draw the scores of a run against environment steps.

    The line is the mean of each evaluation, the band its lowest and highest episode;
    the dots are the collected episodes, which have exploration noise.

    Args:
        run: the run directory.
        path: the picture to write; its suffix is the format, such as .png or .pdf.
        reference: a score to draw a dashed line at.
        reference_label: whose it is.
        title: stands above; the name of the directory by default.

    Raises:
        ValueError: if no episode has been collected or evaluated yet.
    """
    collected = read_metrics(Path(run) / "metrics.jsonl", "collect")
    evaluated = read_metrics(Path(run) / "metrics.jsonl", "evaluate")
    if not collected and not evaluated:
        raise ValueError(f"{run} has no episode to draw yet")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    if collected:
        returns = [record.values["return"] for record in collected]
        axes.scatter(_steps(collected), returns, s=10, color=GREY, alpha=0.6, lw=0)
        axes.collections[-1].set_label("collected episode")
    if evaluated:
        _draw_evaluations(axes, evaluated)
    if reference is not None:
        label = f"{reference_label}: {reference:g}"
        axes.axhline(reference, color=VERMILION, linestyle="--", label=label, zorder=1)
    _dress(axes, Path(run).resolve().name if title is None else title)
    return write_atomically(path, lambda partial: figure.savefig(partial, dpi=160))


def _draw_evaluations(axes: Axes, records: Sequence[Record]) -> None:
    """The mean of each evaluation, and its range."""
    returns = [np.atleast_1d(record.values["returns"]) for record in records]
    steps, means = _steps(records), [part.mean() for part in returns]
    low, high = [part.min() for part in returns], [part.max() for part in returns]
    axes.fill_between(steps, low, high, color=BLUE, alpha=0.15, linewidth=0)
    axes.vlines(steps, low, high, color=BLUE, alpha=0.3, linewidth=1)
    label = f"evaluation, mean and range of {max(map(len, returns))}"
    axes.plot(steps, means, color=BLUE, marker="o", markersize=3.5, label=label)


def _dress(axes: Axes, title: str) -> None:
    """Title, labels, and as few lines as will do."""
    axes.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="best")


def _steps(records: Sequence[Record]) -> list[int]:
    return [record.counters.environment_steps for record in records]
