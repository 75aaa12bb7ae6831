"""The file of an episode: what it must hold, and whether it still does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from planet_torch.sealed import unseal

KINDS = {  # the dtypes and numbers of axes that an array may have
    "observation": [("uint8", 4), ("float32", 2)],
    "action": [("float32", 2)],
    "reward": [("float32", 1)],
}

Layout = dict[str, tuple[str, tuple[int, ...]]]
"""For each array the name of its dtype and the shape of one row."""

Stamp = tuple[int, ...]
"""Of a file; whoever writes to it or puts another in its place changes it."""


def layout_of(arrays: dict[str, np.ndarray]) -> Layout:
    """How one row of an episode looks; a ValueError if an episode cannot look so."""
    for name, kinds in KINDS.items():
        kind = (arrays[name].dtype.name, arrays[name].ndim)
        if kind not in kinds:
            raise ValueError(f"{name} has (dtype, axes) {kind}, not one of {kinds}")
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"the arrays of an episode differ in their rows: {rows}")
    return {name: (array.dtype.name, array.shape[1:]) for name, array in arrays.items()}


def check_values(arrays: dict[str, np.ndarray]) -> None:
    """Refuse what would poison the replay: no decision, no finite number, a shift."""
    if len(arrays["reward"]) < 2:
        raise ValueError(f"the episode has {len(arrays['reward'])} rows, fewer than 2")
    for name, array in arrays.items():
        finite = np.isfinite(array)
        if not finite.all():
            row = int(np.argwhere(~finite)[0, 0])
            raise ValueError(f"{name} is not finite in row {row}: {array[row]}")
    if arrays["action"][0].any() or arrays["reward"][0] != 0:
        raise ValueError("row 0 is the reset, so its action and reward must be zero")
    beyond = np.argwhere(np.abs(arrays["action"]) > 1)
    if len(beyond):
        row = int(beyond[0, 0])
        action = arrays["action"][row]
        raise ValueError(f"action is beyond [-1, 1] in row {row}: {action}")


def stamp_of(path: Path) -> Stamp:
    """What the system says of a file, without reading it."""
    now = path.stat()
    return now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def inspect(path: Path, rows: int, recorded: str | None) -> tuple[str, bool, Layout]:
    """The checksum of a file, whether the task ended it, and its layout.

    A ValueError says why it is no episode.
    """
    arrays, header, checksum = unseal(path, "episode")
    if set(arrays) != set(KINDS) or not isinstance(header.get("terminated"), bool):
        raise ValueError("it is sealed, but not as an episode")
    layout = layout_of(arrays)
    check_values(arrays)
    if len(arrays["reward"]) != rows:
        raise ValueError("its rows are not as many as its name says")
    if recorded not in (None, checksum):
        raise ValueError("it is not the episode that the run recorded")
    return checksum, header["terminated"], layout
