"""Checkpoints: weights, optimiser, counters, every random stream; whole or absent.

A checkpoint is a sealed file: its tensors as they are, all else as JSON in its header.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from planet_torch.files import write_atomically
from planet_torch.sealed import MALFORMED, header_of, seal, unseal

AGENT = "agent.safetensors"  # in a directory that `planet export` wrote
_NAME = re.compile(r"checkpoint-(\d{9,})\.safetensors")

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


def save(
    directory: Path, updates: int, content: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write a checkpoint of tensors and plain values, and forget all but the newest."""
    directory.mkdir(parents=True, exist_ok=True)
    path = write(directory / f"checkpoint-{updates:09d}.safetensors", content)
    for old in paths(directory)[:-keep]:
        old.unlink()
    return path


def write(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a file of tensors and plain values, which ``load`` reads."""
    arrays: dict[str, np.ndarray] = {}
    sealed, _ = seal("checkpoint", arrays, {"content": _apart(content, "", arrays)})
    return write_atomically(path, sealed)


def load(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        ValueError: if the file is not a whole checkpoint.
    """
    try:
        arrays, header, _ = unseal(path, "checkpoint")
        tensors = {k: torch.tensor(a, device=device) for k, a in arrays.items()}
        content = dict(_together(header["content"], tensors))
        if {type(name) for name in content} - {str}:
            raise ValueError("its parts have no names")
        return content
    except (*MALFORMED, RuntimeError) as error:
        raise ValueError(f"{path} is not a whole checkpoint: {error}") from error


def whole(
    directory: Path,
    damaged: dict[Path, str],
    device: str = "cpu",
    check: Callable[[dict[str, Any]], None] | None = None,
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The whole checkpoints of a run, newest first, each read when it is asked for.

    Args:
        directory: of the checkpoints.
        damaged: is told what is wrong with the others.
        device: of the tensors.
        check: raises ValueError if one is not what is looked for.
    """
    for path in reversed(paths(directory)):
        try:
            content = load(path, device)
            if check:
                check(content)
        except ValueError as error:
            damaged[path] = f"{path.name}: {error}"
        else:
            yield path, content


def newest(directory: Path, device: str = "cpu") -> dict[str, Any] | None:
    """The newest checkpoint of a run that can be read; None if there is none yet.

    Of an exported agent, what there is of one: "average", "spaces", "counters".

    Args:
        directory: of the run, or of the agent.
        device: of the tensors.

    Raises:
        ValueError: if there are some, but none can be read.
    """
    if (directory / AGENT).exists():
        return load(directory / AGENT, device)
    damaged: dict[Path, str] = {}
    place = directory / "checkpoints"
    _, content = next(whole(place, damaged, device), (None, None))
    for error in damaged.values():
        warnings.warn(f"{error}; the one before is used", stacklevel=2)
    if damaged and content is None:
        raise ValueError(f"no checkpoint in {place} can be read")
    return content


def check(content: Mapping[str, Any]) -> None:
    """Raise ValueError if it is no checkpoint of a run, whatever else it may be."""
    for name in ("world_model", "optimiser", "streams", "counters"):
        if not isinstance(content.get(name), dict):
            raise ValueError(f"it has no {name} of a run")
    if {type(count) for count in content["counters"].values()} != {int}:
        raise ValueError("its counters are no whole numbers")
    if {"updates", "episodes"} - content["counters"].keys():
        raise ValueError("its counters are not all there")
    mark = content.get("metrics")
    if not isinstance(mark, tuple) or [type(part) for part in mark] != [int, str]:
        raise ValueError("it has no metrics of a run")
    if not isinstance(content.get("episodes"), dict):
        raise ValueError("its episodes are not listed")


def paths(directory: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = ((_NAME.fullmatch(p.name), p) for p in sorted(directory.glob("*")))
    return [p for _, p in sorted((int(m[1]), p) for m, p in found if m)]


def oldest_episodes(directory: Path) -> int:
    """How many episodes there were at the oldest checkpoint; 0 if it does not say."""
    try:
        with safe_open(paths(directory)[0], framework="numpy") as file:
            content = header_of(file.metadata(), "checkpoint")["content"]
        return int(content["counters"]["episodes"])
    except MALFORMED:  # only the newest is looked at when a run is resumed
        return 0


def arrays_of(content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The tensors in nested values, by their dotted names."""
    arrays: dict[str, np.ndarray] = {}
    _apart(content, "", arrays)
    return arrays


@contextmanager
def fitting(what: str = "the checkpoint") -> Iterator[None]:
    """While a checkpoint is put to use: a ValueError says if it is of another run."""
    try:
        yield
    except (*MALFORMED, RuntimeError) as error:
        raise ValueError(f"{what} does not fit the config: {error}") from error


def _apart(value: object, name: str, arrays: dict[str, np.ndarray]) -> object:
    """Nested values as JSON, with their tensors put into ``arrays``."""
    if isinstance(value, torch.Tensor):
        arrays[name] = value.detach().cpu().numpy()
        if value.is_contiguous():
            return {"#tensor": name}
        # The fused optimiser walks its states in the memory order of the weights.
        strides = value.stride()
        order = sorted(range(value.ndim), key=lambda axis: -strides[axis])
        return {"#tensor": name, "order": order}
    if isinstance(value, Mapping):
        parts = {
            k: _apart(v, f"{name}.{k}".lstrip("."), arrays) for k, v in value.items()
        }
        plain = all(isinstance(key, str) for key in parts)
        return parts if plain else {"#items": [[k, v] for k, v in parts.items()]}
    if isinstance(value, list | tuple):
        listed = [_apart(v, f"{name}.{i}", arrays) for i, v in enumerate(value)]
        return {"#tuple": listed} if isinstance(value, tuple) else listed
    return value


def _together(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The values that `_apart` took apart."""
    if isinstance(value, list):
        return [_together(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if "#tensor" in value:
        tensor = tensors[value["#tensor"]]
        order = list(value.get("order", range(tensor.ndim)))
        back = sorted(range(tensor.ndim), key=order.__getitem__)
        return tensor.permute(order).contiguous().permute(back)
    if "#tuple" in value:
        return tuple(_together(part, tensors) for part in value["#tuple"])
    items = value["#items"] if "#items" in value else value.items()
    return {key: _together(part, tensors) for key, part in items}
