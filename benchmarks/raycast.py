"""Milliseconds per picture: by ray casting, and by OpenGL where there is one.

    python benchmarks/raycast.py
    MUJOCO_GL=egl python benchmarks/raycast.py

Medians of as many pictures of one state. *Plain* is one ray a pixel, without the second
pass; *gl* is the renderer of that name; *dm_control* is `physics.render` as it comes.
"""

import os
import time
from collections.abc import Callable

import numpy as np
from dm_control import suite  # before the package, which has it load no OpenGL

from planet_torch.envs import make

TASKS = [
    *("cartpole-balance", "cartpole-swingup", "reacher-easy", "cheetah-run"),
    *("finger-spin", "ball_in_cup-catch", "walker-walk"),
]
TIMES = {"raycast": 150, "plain": 150, "gl": 20, "dm_control": 20}


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The median, after a first time."""
    spans = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        spans.append(time.perf_counter() - start)
    return 1e3 * float(np.median(spans[1:]))


def ways(task: str, size: int) -> dict[str, Callable[[], object]]:
    """All that can draw the first state of a task here."""
    env = make(f"dmc/{task}", image_size=size)
    env.reset(seed=0)
    caster = env.unwrapped._renderer
    found = {
        "raycast": caster.render,
        "plain": lambda: caster._trace(caster._centres, caster._scene.all.sites),
    }
    if os.environ.get("MUJOCO_GL") in ("egl", "glfw", "osmesa"):
        drawn = make(f"dmc/{task}", image_size=size, renderer="gl")
        drawn.reset(seed=0)
        own = suite.load(*task.split("-", 1))
        own.reset()
        found["gl"] = drawn.unwrapped._renderer.render
        found["dm_control"] = lambda: own.physics.render(size, size, camera_id=0)
    return found


def main() -> None:
    """A row for each task and size."""
    print("| task | pixels | milliseconds |\n| --- | --- | --- |")
    for task in TASKS:
        for size in (64, 32):
            spans = {
                name: milliseconds(draw, TIMES[name])
                for name, draw in ways(task, size).items()
            }
            row = ", ".join(f"{name} {span:.2f}" for name, span in spans.items())
            print(f"| {task} | {size} x {size} | {row} |", flush=True)


if __name__ == "__main__":
    main()
