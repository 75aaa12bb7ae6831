"""Pictures of a run: return against environment steps, error against distance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from planet_torch.files import write_atomically
from planet_torch.metrics import Record, read_metrics

# Of Okabe and Ito, told apart by those who see colours differently, and in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#8A8A8A"
NONE: Mapping[str, float | int] = MappingProxyType({})


def learning_curve(
    run: str | os.PathLike[str],
    path: str | os.PathLike[str],
    references: Mapping[str, float | int] = NONE,
    reference_label: str = "published",
    title: str | None = None,
) -> Path:
    """Draw the scores of a run against environment steps, each task in its colour.

    The line is the mean of each evaluation, the band its lowest and highest episode;
    the dots are the collected episodes, which have exploration noise, and the rings are
    the seed episodes, whose actions are random.

    Args:
        run: the run directory.
        path: the picture to write; its suffix is the format, such as .png or .pdf.
        references: by task, a score to draw a dashed line at.
        reference_label: whose they are.
        title: stands above; the name of the directory by default.

    Raises:
        ValueError: if no episode has been collected or evaluated yet.
    """
    records = read_metrics(Path(run) / "metrics.jsonl")
    records = [r for r in records if r.kind in ("seed", "collect", "evaluate")]
    if not records:
        raise ValueError(f"{run} has no episode to draw yet")
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    tasks = dict.fromkeys(record.task for record in records)
    for task, colour in zip(tasks, cycle(COLOURS), strict=False):
        _draw_task(axes, [r for r in records if r.task == task], colour)
        if task in references:
            label = f"{reference_label}: {references[task]:g}"
            axes.axhline(references[task], color=colour, ls="--", label=label, zorder=1)
    # What the dots are is said once, in grey, since it is the same for all tasks.
    for label, inside in ("seed episode", "none"), ("collected episode", GREY):
        dots = axes.scatter([], [], s=10, lw=0.6, label=label)
        dots.set(edgecolor=GREY, facecolor=inside)
    _dress(axes, Path(run).resolve().name if title is None else title)
    return write_atomically(path, lambda partial: figure.savefig(partial, dpi=160))


def error_curve(
    errors: Float[np.ndarray, "H"],
    standstill: Float[np.ndarray, "H"],
    path: str | os.PathLike[str],
    title: str = "",
) -> Path:
    """Draw how wrong a prediction is against how far ahead it looks.

    Args:
        errors: of the model, 1..H frames ahead, in grey levels.
        standstill: of expecting that the last frame seen stays.
        path: the picture to write.
        title: stands above.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    ahead = np.arange(1, len(errors) + 1)
    axes.plot(ahead, errors, color=COLOURS[0], label="model")
    axes.plot(ahead, standstill, color=GREY, linestyle="--", label="had nothing moved")
    _dress(axes, title)
    axes.set_xlabel("frames ahead")
    axes.set_ylabel("error in grey levels of 256")
    return write_atomically(path, lambda partial: figure.savefig(partial, dpi=160))


def _draw_task(axes: Axes, records: Sequence[Record], colour: str) -> None:
    """The episodes and the evaluations of one task."""
    for kind, inside in ("seed", "none"), ("collect", colour):
        episodes = [record for record in records if record.kind == kind]
        returns = [record.scalars["return"] for record in episodes]
        dots = axes.scatter(_steps(episodes), returns, s=10, alpha=0.5, lw=0.6)
        dots.set(edgecolor=colour, facecolor=inside)
    evaluations = [record for record in records if record.kind == "evaluate"]
    if evaluations:
        _draw_evaluations(axes, evaluations, colour)


def _draw_evaluations(axes: Axes, records: Sequence[Record], colour: str) -> None:
    """The mean of each evaluation, and its range."""
    returns = [np.atleast_1d(record.values["returns"]) for record in records]
    steps, means = _steps(records), [part.mean() for part in returns]
    low, high = [part.min() for part in returns], [part.max() for part in returns]
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.vlines(steps, low, high, color=colour, alpha=0.3, linewidth=1)
    label = f"{records[0].task or 'evaluation'}, mean and range of {len(returns[-1])}"
    axes.plot(steps, means, color=colour, marker="o", markersize=3.5, label=label)


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
