"""Draw learning curves that export_curve.py wrote, a panel for each file.

    python benchmarks/draw_curves.py docs/images/seven-tasks.png docs/results/CSV ...

Dots are collected episodes, lines are evaluations with their standard deviations.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(axis: Axes, path: Path) -> None:
    """One run."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for kind, style in (("seed", "C7"), ("collect", "C0")):
        chosen = [row for row in rows if row["kind"] == kind]
        minutes = [float(row["minutes"]) for row in chosen]
        returns = [float(row["return"]) for row in chosen]
        axis.plot(minutes, returns, ".", color=style, markersize=3, alpha=0.5)
    chosen = [row for row in rows if row["kind"] == "evaluate"]
    axis.errorbar(
        [float(row["minutes"]) for row in chosen],
        [float(row["return"]) for row in chosen],
        [float(row["spread"]) for row in chosen],
        fmt="o-",
        color="C1",
        capsize=3,
    )
    axis.set(title=path.stem, xlabel="minutes", ylabel="return", ylim=(0, 1000))


def main(picture: str, *tables: str) -> None:
    """Draw them side by side, three in a row."""
    rows = math.ceil(len(tables) / 3)
    figure = Figure(figsize=(12, 3.2 * rows), layout="constrained")
    axes = [*figure.subplots(rows, 3, squeeze=False).flat]
    for axis, table in zip(axes, tables, strict=False):
        draw(axis, Path(table))
    for axis in axes[len(tables) :]:
        axis.remove()
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
