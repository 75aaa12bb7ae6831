"""Replay of finished episodes: one file each, memory-mapped, sampled in chunks.

The directory is the index. The file ``episode-000012-00126.safetensors`` is episode 12
and has 126 rows; nothing else is kept about it anywhere, and a crash leaves a whole
episode or none. In memory an episode is two small integers.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from planet_torch.chunk import Chunk, Episode
from planet_torch.files import write_atomically

FORMAT = 1
_NAME = re.compile(r"episode-(\d{6,})-(\d{5,})\.safetensors")
_LEFTOVER = re.compile(r"\.partial-.*|.*\.superseded(-\d+)?")
_KINDS = {  # the dtypes and numbers of axes that an array may have
    "observation": [("uint8", 4), ("float32", 2)],
    "action": [("float32", 2)],
    "reward": [("float32", 1)],
}
_DTYPES = {"uint8": torch.uint8, "float32": torch.float32}

Layout = dict[str, tuple[str, tuple[int, ...]]]
"""For each array the name of its dtype and the shape of one row."""


class Replay:
    """All the episodes of a run, in a directory that one process writes to.

    Adding and sampling cost the same however many episodes there are. Nothing is
    evicted (as reference), and nothing is cached but by the operating system.

    Args:
        directory: where the episodes are; made if absent. Files in it that are no
            whole episodes are named in a warning and left alone.

    Raises:
        ValueError: if two files there claim to be the same episode.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._files: list[tuple[int, int]] = []  # number and rows, by ascending number
        self._next = 0  # the number of the next episode
        self._layout: Layout | None = None  # of every episode, once there is one
        self._frames = 0
        self._scan()

    def __len__(self) -> int:
        """The number of episodes."""
        return len(self._files)

    @property
    def frames(self) -> int:
        """The number of stored observations, T + 1 for an episode of T decisions."""
        return self._frames

    def add(self, episode: Episode) -> Path:
        """Store a finished episode; it is on the disk when this returns.

        Raises:
            ValueError: if its arrays are not as `Episode` says, differ in kind from
                those of the episodes already here, or hold a NaN or an infinity.
        """
        # Contiguous, since safetensors stores the bytes as they lie in memory.
        arrays = {name: np.ascontiguousarray(getattr(episode, name)) for name in _KINDS}
        layout = _layout(arrays)
        _check_values(arrays)
        self._check_kind(layout)
        # One key, since safetensors stores several in an order that changes from
        # process to process, and equal episodes are to be equal files.
        header = json.dumps({"format": FORMAT, "terminated": bool(episode.terminated)})
        path = self._path(self._next, len(episode))
        write_atomically(path, save(arrays, metadata={"episode": header}))
        self._append(self._next, len(episode), layout)
        return path

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Chunk:
        """Draw chunks: uniformly an episode, then uniformly a place in it.

        The reset row may be drawn like any other, and no chunk crosses episodes. An
        episode that the task itself ended (`terminated`) and that is shorter than the
        chunk is followed by absorbing rows: its last observation, zero actions and zero
        rewards, as if nothing happened for ever after.

        Args:
            batch: the number of chunks B.
            length: the number of rows L of each.
            generator: of the CPU; the only source of randomness.

        Returns:
            Chunks in memory of their own; images are uint8.

        Raises:
            ValueError: if there is no episode, or if an episode drawn was cut by a time
                limit before it had ``length`` rows, as nobody knows how it went on.
        """
        if self._layout is None:
            raise ValueError(f"no episodes to sample from in {self.directory}")
        chosen = torch.randint(len(self), (batch,), generator=generator).tolist()
        places = torch.rand(batch, dtype=torch.float64, generator=generator).tolist()
        chunk = {
            name: torch.empty((batch, length, *shape), dtype=_DTYPES[dtype])
            for name, (dtype, shape) in self._layout.items()
        }
        for row, (index, place) in enumerate(zip(chosen, places, strict=True)):
            parts = {name: tensor[row].numpy() for name, tensor in chunk.items()}
            self._fill(parts, length, index, place)
        return Chunk(**chunk)

    def read(self, index: int) -> Episode:
        """The whole episode at a position; negative ones count from the newest."""
        with safe_open(self._path(*self._files[index]), framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in _KINDS}
            return Episode(**arrays, terminated=_header(file.metadata())["terminated"])

    def truncate(self, count: int) -> None:
        """Go back to the first ``count`` episodes, as a resumed run must.

        Later files are set aside under names that end in ``.superseded``. The run
        collects these episodes again, to the same bits if it is deterministic; but to
        delete data is for the user.

        Raises:
            ValueError: if not all of the first ``count`` episodes are here.
        """
        present = sum(number < count for number, _ in self._files)
        if present < count:
            raise ValueError(
                f"the first {count} episodes are needed from {self.directory}, but "
                f"only {present} are there: restore the missing files or start again"
            )
        # Newest first, so that what an interruption leaves is still without gaps.
        for number, _, path in reversed(self._listing()):
            if number >= count:
                path.rename(_name_to_set_aside(path))
        self._files = self._files[:count]
        self._frames = sum(rows for _, rows in self._files)
        self._next = count
        if not count:
            self._layout = None

    def _path(self, number: int, rows: int) -> Path:
        return self.directory / f"episode-{number:06d}-{rows:05d}.safetensors"

    def _check_kind(self, layout: Layout) -> None:
        if self._layout not in (None, layout):
            raise ValueError(
                f"the rows of the episode are {layout}, but those of the episodes in "
                f"{self.directory} are {self._layout}; a replay holds one kind"
            )

    def _append(self, number: int, rows: int, layout: Layout) -> None:
        """Index one more episode."""
        self._files.append((number, rows))
        self._next = number + 1
        self._layout = layout
        self._frames += rows

    def _fill(
        self, parts: dict[str, np.ndarray], length: int, index: int, place: float
    ) -> None:
        """Write one chunk into ``parts``, at ``place`` in [0, 1) of the starts."""
        number, rows = self._files[index]
        start = int(place * (max(rows - length, 0) + 1))
        taken = min(rows, length)
        with safe_open(self._path(number, rows), framework="numpy") as file:
            if rows < length and not _header(file.metadata())["terminated"]:
                raise ValueError(
                    f"a time limit cut episode {number} after {rows} rows, fewer than "
                    f"the {length} of a chunk; lower train.chunk to at most {rows}"
                )
            for name, part in parts.items():
                part[:taken] = file.get_slice(name)[start : start + taken]
                part[taken:] = part[taken - 1] if name == "observation" else 0

    def _listing(self) -> list[tuple[int, int, Path]]:
        """The number, the rows and the path of each file named like an episode."""
        matches = ((_NAME.fullmatch(p.name), p) for p in self.directory.iterdir())
        return sorted((int(m[1]), int(m[2]), path) for m, path in matches if m)

    def _scan(self) -> None:
        """Index the directory, and warn of what is in it but no episode."""
        listing = self._listing()
        others = set(self.directory.iterdir()) - {path for *_, path in listing}
        ignored = [p.name for p in sorted(others) if not _LEFTOVER.fullmatch(p.name)]
        for number, rows, path in listing:
            if self._files and number == self._files[-1][0]:
                raise ValueError(f"two files claim to be episode {number}: see {path}")
            self._next = number + 1  # after a damaged file too: its name stays taken
            try:
                layout = _inspect(path, rows)
                self._check_kind(layout)
            except ValueError as error:
                ignored.append(f"{path.name} ({error})")
            else:
                self._append(number, rows, layout)
        if ignored:
            text = f"no episodes, so ignored in {self.directory}: {'; '.join(ignored)}"
            warnings.warn(text, stacklevel=3)


def _layout(arrays: dict[str, np.ndarray]) -> Layout:
    """How one row of an episode looks; a ValueError if an episode cannot look so."""
    for name, kinds in _KINDS.items():
        kind = (arrays[name].dtype.name, arrays[name].ndim)
        if kind not in kinds:
            raise ValueError(f"{name} has (dtype, axes) {kind}, not one of {kinds}")
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"the arrays of an episode differ in their rows: {rows}")
    return {name: (array.dtype.name, array.shape[1:]) for name, array in arrays.items()}


def _check_values(arrays: dict[str, np.ndarray]) -> None:
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


def _header(metadata: dict[str, str] | None) -> dict[str, Any]:
    """What the metadata of a file says about its episode."""
    header = json.loads((metadata or {}).get("episode", "{}"))
    if header.get("format") != FORMAT:
        raise ValueError(f"its format is {header.get('format')}, not {FORMAT}")
    return dict(header)


def _inspect(path: Path, rows: int) -> Layout:
    """The layout of a file of so many rows; a ValueError says why it is no episode."""
    try:
        with safe_open(path, framework="numpy") as file:  # compares header and size
            _header(file.metadata())
            slices = {name: file.get_slice(name) for name in _KINDS}
            if any(part.get_shape()[0] != rows for part in slices.values()):
                raise ValueError("its rows are not as many as its name says")
            return _layout({name: part[:0] for name, part in slices.items()})
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _name_to_set_aside(path: Path) -> Path:
    """A name beside ``path`` that no file has yet."""
    names = (f"{path.name}.superseded-{n}" for n in itertools.count(1))
    return next(p for p in map(path.with_name, names) if not p.exists())
