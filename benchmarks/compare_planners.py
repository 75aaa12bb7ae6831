"""Score one trained model with several settings of the planner.

    python benchmarks/compare_planners.py runs/cartpole-swingup-cpu-0 \
        horizon=12,warm_start=0 horizon=20,warm_start=1

A setting changes options of the group ``planner`` of the run; the others stay.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from planet_torch import Run

EPISODES = 10


def main(directory: str, *settings: str) -> None:
    """Print a row of a table for each setting."""
    run = Run.open(directory)
    print(f"| planner | score of {EPISODES} episodes | standard deviation | seconds |")
    print("| --- | --- | --- | --- |")
    for setting in settings:
        words = (word.split("=") for word in setting.split(","))
        options = {name: type_of(run, name)(int(value)) for name, value in words}
        planner = replace(run.config.planner, **options)
        variant = Run(run.directory, replace(run.config, planner=planner))
        start = time.perf_counter()
        scores = [episode.score for episode in variant.evaluate(EPISODES)]
        seconds = time.perf_counter() - start
        spread = np.std(scores, ddof=1)
        row = f"{np.mean(scores):.0f} | {spread:.0f} | {seconds:.0f}"
        print(f"| `{setting}` | {row} |", flush=True)


def type_of(run: Run, option: str) -> type:
    """The type of an option of the planner."""
    return type(getattr(run.config.planner, option))


if __name__ == "__main__":
    main(*sys.argv[1:])
