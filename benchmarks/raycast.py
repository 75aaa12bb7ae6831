"""Milliseconds per picture by ray casting, lower quartile of 150.

python benchmarks/raycast.py
"""

import time
from collections.abc import Callable

import numpy as np

from planet_torch.envs import make

TASKS = [
    *("cartpole-balance", "cartpole-swingup", "reacher-easy", "cheetah-run"),
    *("finger-spin", "ball_in_cup-catch", "walker-walk"),
]


def milliseconds(work: Callable[[], object], times: int = 150) -> float:
    """The lower quartile: what it takes when nothing else runs."""
    spans = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spans.append(time.perf_counter() - start)
    return 1e3 * float(np.quantile(spans, 0.25))


def report(task: str, size: int) -> str:
    """One cell: whole picture, and its first pass of one ray per pixel."""
    env = make(f"dmc/{task}", image_size=size)
    env.reset(seed=0)
    caster = env.unwrapped._renderer
    whole = milliseconds(caster.render)
    plain = milliseconds(lambda: caster._trace(caster._centres))
    return f"{size} x {size}: {whole:.2f} (plain {plain:.2f})"


if __name__ == "__main__":
    for task in TASKS:
        print(f"{task:20}", report(task, 64), "  ", report(task, 32))
