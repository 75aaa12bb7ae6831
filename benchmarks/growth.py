"""Time and memory of updates, decisions and samples as their sizes grow.

    python benchmarks/growth.py docs/results/growth.csv docs/images/growth.png

Each size has a process of its own, so that its peak of memory is its own. Times are of
the processor, on one thread, so that they mean something on a machine that does other
things, too. The slope is that of a line through the logarithms: 1 is proportional
growth, 0 is none.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from planet_torch.benchmark.contest import Contender, Result, config_of, contest
from planet_torch.chunk import Episode
from planet_torch.replay import Replay

TASK, ROUNDS = "dmc/cartpole-swingup", 7
SWEEPS = {  # of the preset cpu
    ("update", "train.chunk"): [10, 20, 40, 80],
    ("update", "train.batch"): [8, 16, 32, 64],
    ("update", "env.image_size"): [16, 32, 64, 96],
    ("decision, 1 at", "planner.candidates"): [64, 125, 250, 500, 1000],
    ("decision, 1 at", "planner.horizon"): [5, 10, 20, 40],
    ("decision, 1 at", "planner.iterations"): [1, 3, 10],
}
EPISODES = [10, 100, 1000, 10_000]

Row = tuple[str, str, int, float, float]  # job, what grows, its value, ms, MiB


def timed() -> Iterator[Row]:
    """Updates and decisions."""
    for (job, option), values in SWEEPS.items():
        for value in values:
            contender = Contender("", config_of(f"cpu {option}={value}", TASK, 1))
            (result,) = contest([contender], [job], ROUNDS)
            contender.close()
            yield job, option, value, cpu_ms(result), result.peak_mib
    contender = Contender("", config_of("cpu", TASK, 1))
    for result in contest([contender], ["decision, 1"], ROUNDS):
        ms, peak = cpu_ms(result), result.peak_mib
        yield "decision", "environments", result.count, ms, peak
    contender.close()


def cpu_ms(result: Result) -> float:
    """The median milliseconds of the processor in a call."""
    return 1e3 * float(np.median(result.cpu))


def sampled() -> Iterator[Row]:
    """Batches from a replay of episodes of 126 pictures, 32 x 32."""
    rows, random = 126, np.random.default_rng(0)
    zeros = np.zeros((rows, 1), np.float32)
    pictures = random.integers(0, 256, (rows, 32, 32, 3), np.uint8)
    episode = Episode(pictures, zeros, zeros[:, 0])
    with tempfile.TemporaryDirectory() as scratch:
        replay, generator = Replay(scratch), torch.Generator().manual_seed(0)
        for count in EPISODES:
            while len(replay) < count:
                replay.add(episode)
            spans = []
            for _ in range(50):
                start = time.process_time()
                replay.sample(16, 20, generator)
                spans.append(time.process_time() - start)
            ms = 1e3 * float(np.median(spans))
            yield "replay", "episodes", count, ms, resident()


def resident() -> float:
    """MiB of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def slope(values: Sequence[int], numbers: Sequence[float]) -> float:
    """The exponent of the growth."""
    return float(np.polyfit(np.log(values), np.log(numbers), 1)[0])


def main(table: str, picture: str) -> None:
    """Measure, write the table, draw the picture, and print the slopes."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    for row in chain(timed(), sampled()):
        rows.append(row)
        print(*row, flush=True)
    with Path(table).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["job", "grows", "value", "milliseconds", "MiB"])
        writer.writerows([*row[:3], *(round(x, 2) for x in row[3:])] for row in rows)
    draw(rows, picture)


def draw(rows: list[Row], picture: str) -> None:
    """A panel for each sweep, time and memory, and a table of the slopes."""
    sweeps = list(dict.fromkeys(row[:2] for row in rows))
    figure = Figure(figsize=(14, 6), layout="constrained")
    axes = figure.subplots(2, 4).flat
    print("\n| job | grows with | from, to | ms | slope | MiB | slope |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for axis, sweep in zip(axes, sweeps, strict=True):
        _, _, values, times, sizes = zip(
            *(row for row in rows if row[:2] == sweep), strict=True
        )
        cells = [
            sweep[0].partition(",")[0],
            sweep[1],
            f"{values[0]:,} to {values[-1]:,}",
        ]
        for numbers in (times, sizes):
            cells += [f"{numbers[0]:,.1f} to {numbers[-1]:,.1f}"]
            cells += [f"{slope(values, numbers):.2f}"]
        print("|", " | ".join(cells), "|")
        axis.loglog(values, times, "o-", color="C0")
        axis.set(title=sweep[0].partition(",")[0], xlabel=sweep[1])
        axis.set_ylim(min(times) / 3, 3 * max(times))
        axis.set_ylabel("ms of the processor", color="C0")
        memory = axis.twinx()
        memory.loglog(values, sizes, "s--", color="C1")
        memory.set_ylim(min(sizes) / 3, 3 * max(sizes))
        memory.set_ylabel("MiB at the most", color="C1")
        for scale in (axis.xaxis, axis.yaxis, memory.yaxis):
            scale.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            scale.set_minor_formatter(NullFormatter())
        axis.set_xticks(values)
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
