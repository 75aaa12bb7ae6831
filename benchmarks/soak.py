r"""Soak: a long run of short episodes; its memory, open files and threads.

python benchmarks/soak.py runs/soak --csv docs/results/soak.csv \
    --plot docs/images/soak.png

Exit status 1 if the memory at the end is not within 5 % of that after a twentieth of
the way (at least 20 episodes), or if files or threads were gained.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from planet_torch.metrics import Record, Silent
from planet_torch.presets import PRESETS
from planet_torch.run import Run
from planet_torch.training import train

DECISIONS = 12
COLUMNS = ("episodes", "seconds", "memory_mb", "files", "threads")


class Point(gymnasium.Env[Any, Any]):
    """A point on a line, pushed left or right, and paid for being near one end."""

    action_space = Box(-1, 1, (1,), np.float32)
    observation_space = Box(-1, 1, (1,), np.float32)
    render_mode = "rgb_array"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin somewhere."""
        super().reset(seed=seed)
        self.decisions, self.place = 0, self.np_random.uniform(-1, 1)
        return np.array([self.place], np.float32), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push."""
        self.decisions += 1
        self.place = float(np.clip(self.place + 0.25 * action[0], -1, 1))
        row = np.array([self.place], np.float32)
        return row, self.place, False, self.decisions >= DECISIONS, {}

    def render(self) -> np.ndarray:  # type: ignore[override]
        """A bright column where the point is."""
        image = np.zeros((16, 16, 3), np.uint8)
        image[:, round((self.place + 1) / 2 * 15)] = 200
        return image


class Watch(Silent):
    """Looks at this process after each collected episode."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self._start = time.monotonic()

    def write(self, record: Record) -> None:
        """Take a row."""
        if record.kind in ("seed", "collect"):
            seconds = round(time.monotonic() - self._start, 2)
            self.rows.append((record.counters.episodes, seconds, *looked()))


def looked() -> tuple[float, int, int]:
    """Megabytes resident, open files, threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 2)
    files, threads = (len(os.listdir(f"/proc/self/{of}")) for of in ("fd", "task"))
    return memory, files, threads


def soak(directory: Path, episodes: int, isolate: bool = False) -> list[Any]:
    """Train that long at the scale of the preset debug; a row for each episode."""
    debug = PRESETS["debug"]
    config = dataclasses.replace(
        debug,
        task="soak:Point",
        env=dataclasses.replace(debug.env, isolate=isolate),
        train=dataclasses.replace(
            debug.train, episodes=episodes, evaluate_every=max(10, episodes // 20)
        ),
    )
    watch = Watch()
    train(Run.create(directory, config), progress=watch)
    return watch.rows


def verdict(rows: Sequence[Sequence[float]]) -> tuple[str, bool]:
    """What came out, and whether nothing grew."""
    begin, end = rows[max(20, len(rows) // 20) - 1], rows[-1]
    growth = end[2] / begin[2] - 1
    files, threads = (sorted({row[at] for row in rows[20:]}) for at in (3, 4))
    text = (
        f"memory {begin[2]:.1f} MB after {begin[0]:.0f} episodes, {end[2]:.1f} MB "
        f"after {end[0]:.0f} ({growth:+.1%}); open files {files[0]:.0f} to "
        f"{files[-1]:.0f}; threads {threads[0]:.0f} to {threads[-1]:.0f}; "
        f"{end[1]:.0f} s"
    )
    constant = rows[20][3:] == end[3:]
    return text, growth <= 0.05 and constant


def plot(rows: Sequence[Sequence[float]], path: Path) -> None:
    """Memory, files and threads against episodes."""
    import matplotlib.pyplot as plt

    episodes, _, *kinds = zip(*rows, strict=True)
    figure, axes = plt.subplots(3, 1, figsize=(7, 6), sharex=True, layout="tight")
    names = "memory (MB)", "open files", "threads"
    for axis, name, values in zip(axes, names, kinds, strict=True):
        axis.plot(episodes, values, linewidth=1)
        axis.set_ylabel(name)
        axis.set_ylim(0, 1.2 * max(values))
    axes[-1].set_xlabel("episodes")
    figure.savefig(path, dpi=100)


def main(words: Sequence[str] | None = None) -> int:
    """Soak, write it down, and judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--isolate", action="store_true")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(words)
    rows = soak(given.directory, given.episodes, given.isolate)
    if given.csv:
        with given.csv.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
    if given.plot:
        plot(rows, given.plot)
    text, fine = verdict(rows)
    print(text)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))  # where "soak:Point" is looked for
    sys.exit(main())
