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
from statistics import median
from typing import cast

import torch
from torch.utils.flop_counter import FlopCounterMode

from planet_torch import build, build_model
from planet_torch.build_model import Spaces
from planet_torch.chunk import Chunk
from planet_torch.memory import keep_freed_memory
from planet_torch.objectives import objective
from planet_torch.presets import PRESETS, Preset

SIZE = 512


def jobs(preset: Preset) -> dict[str, Callable[[], object]]:
    """An update and a decision of a preset, for pictures and one action."""
    config = PRESETS[preset]
    size, B, L = config.env.image_size, config.train.batch, config.train.chunk
    spaces = Spaces((size, size, 3), 1)
    model = build_model.world_model(config, spaces)
    terms = build_model.objective_terms(config)
    optimiser = build_model.optimiser(config, model)
    generator = torch.Generator()
    pictures = torch.randint(256, (B, L, size, size, 3)).to(torch.uint8)
    chunk = Chunk(pictures, torch.rand(B, L, 1), torch.rand(B, L))
    agent = build.agent(config, spaces, model, generator)
    picture = pictures[0, 0].numpy()

    def update() -> None:
        loss, _ = objective(model, terms, chunk, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return {"update": update, "decision": lambda: agent.act(picture)}


def milliseconds(job: Callable[[], object]) -> float:
    """Of the processor, for one call."""
    start = time.process_time()
    job()
    return 1e3 * (time.process_time() - start)


def main(preset: str, rounds: str) -> None:
    """Print a row for each job."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    matrix = torch.rand(SIZE, SIZE)
    timed = jobs(cast("Preset", preset))
    operations = {}
    for name, job in timed.items():
        with FlopCounterMode(display=False) as counter:
            job()
        operations[name] = counter.get_total_flops()
    timed["product"] = lambda: matrix @ matrix
    spans = [
        {name: milliseconds(job) for name, job in timed.items()}
        for _ in range(int(rounds) + 1)  # the first warms up
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
