"""How far updates and decisions are from the time that their arithmetic needs.

    python benchmarks/floor.py cpu 9

names a preset and the number of rounds. Products of matrices and convolutions are
counted, nothing else. What a core can do is what it does in products of 512 x 512,
timed in turns with the jobs, in processor time of one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from planet_torch import build
from planet_torch.chunk import Chunk
from planet_torch.estimate import scratch_trainer
from planet_torch.presets import PRESETS, Preset
from planet_torch.trainer import Trainer

SIZE = 512
TASK = "dmc/cartpole-balance"


def jobs(trainer: Trainer) -> dict[str, Callable[[], object]]:
    """An update and a decision of a trainer."""
    config, spaces = trainer.config, trainer.spaces
    shape = config.train.batch, config.train.chunk
    pictures = torch.randint(256, (*shape, *spaces.observation)).to(torch.uint8)
    actions = torch.rand(*shape, spaces.action_size)
    chunk = Chunk(pictures, actions, torch.rand(shape))
    agent = build.agent(config, spaces, trainer.average, torch.Generator())
    picture = pictures[0, 0].numpy()
    return {
        "update": lambda: trainer.learn(chunk, None),
        "decision": lambda: agent.act(picture),
    }


def milliseconds(job: Callable[[], object]) -> float:
    """Of the processor, for one call."""
    start = time.process_time()
    job()
    return 1e3 * (time.process_time() - start)


def main(preset: str, rounds: str) -> None:
    """Print a row for each job."""
    config = PRESETS[cast("Preset", preset)]
    train = replace(config.train, threads=1)
    with scratch_trainer(replace(config, task=TASK, train=train)) as trainer:
        show(preset, jobs(trainer), int(rounds))


def show(preset: str, timed: dict[str, Callable[[], object]], rounds: int) -> None:
    """Count what each job computes, time it, and print both."""
    matrix = torch.rand(SIZE, SIZE)
    operations = {}
    for name, job in timed.items():
        with FlopCounterMode(display=False) as counter:
            job()
        operations[name] = counter.get_total_flops()
    timed["product"] = lambda: matrix @ matrix
    spans = [
        {name: milliseconds(job) for name, job in timed.items()}
        for _ in range(rounds + 1)  # the first warms up
    ]
    spent = {name: median(span[name] for span in spans[1:]) for name in timed}
    speed = 2 * SIZE**3 / spent["product"]  # a millisecond
    print(f"one thread, products of {SIZE} x {SIZE}: {speed / 1e6:.0f} GFLOP/s\n")
    print(f"| {preset} | GFLOP | floor, ms | takes, ms | times the floor |")
    print("| --- | --- | --- | --- | --- |")
    for name, count in operations.items():
        floor, took = count / speed, spent[name]
        row = f"{count / 1e9:.2f} | {floor:.1f} | {took:.1f} | {took / floor:.1f}"
        print(f"| {name} | {row} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
