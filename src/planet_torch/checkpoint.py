"""Checkpoints: weights, optimiser, counters, every random stream; whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from planet_torch.files import write_atomically

KEEP = 2  # the newest, and the one before it in case the newest cannot be read

STREAMS = {
    "environment": "cpu",  # seeds of collected episodes, and random actions in them
    "test_environment": "cpu",  # seeds of test episodes
    "replay": "cpu",  # which chunks are drawn
    "model": "device",  # noise of the updates
    "exploration": "device",  # noise of the agent that collects, and of its plans
    "test": "device",  # noise of the agent that is evaluated
}


def streams(seed: int, device: str) -> dict[str, torch.Generator]:
    """The named random streams of a run, all spawned from one seed.

    Evaluation has streams of its own, so that how often a run is evaluated does not
    change what it learns.
    """
    source = torch.Generator().manual_seed(seed)
    spawned = {}
    for name, place in STREAMS.items():
        word = int(torch.randint(2**62, (), generator=source))
        where = device if place == "device" else "cpu"
        spawned[name] = torch.Generator(where).manual_seed(word)
    return spawned


def save(directory: Path, updates: int, content: Mapping[str, Any]) -> Path:
    """Write a checkpoint of tensors and plain values, and forget all but the newest."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"checkpoint-{updates:09d}.pt"
    write_atomically(path, lambda place: torch.save(dict(content), place))
    for old in paths(directory)[:-KEEP]:
        old.unlink()
    return path


def load(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; no pickle is executed.

    Raises:
        ValueError: if the file is not a whole checkpoint.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a whole checkpoint: {error}") from error
    return dict(content)


def paths(directory: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(directory.glob("checkpoint-*.pt"))
