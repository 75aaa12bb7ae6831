"""Replay of finished episodes: one file each, memory-mapped, sampled in chunks.

The directory is the index. The file ``episode-000012-00126.safetensors`` is episode 12
and has 126 rows; nothing else is kept about it anywhere, and a crash leaves a whole
episode or none. In memory an episode is two small integers, its checksum, and what the
system said of its file when this was last found to fit: a file that is not as it was
is read and checked again before a row of it is used.
"""

from __future__ import annotations

import os
import re
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from planet_torch.chunk import Chunk, Episode
from planet_torch.episode_file import (
    KINDS,
    Layout,
    Stamp,
    check_values,
    inspect,
    layout_of,
    stamp_of,
)
from planet_torch.files import set_aside, write_atomically
from planet_torch.sealed import seal, unseal

_NAME = re.compile(r"episode-(\d{6,})-(\d{5,})\.safetensors")
_LEFTOVER = re.compile(r"\.partial-.*|.*\.(superseded|damaged)(-\d+)?")
_DTYPES = {"uint8": torch.uint8, "float32": torch.float32}


class Entry(NamedTuple):
    """What the index knows of an episode."""

    number: int
    rows: int
    checksum: str
    terminated: bool

    def starts(self, length: int) -> int:
        """How many of its rows a chunk of some length may begin with.

        Half of a chunk may come after the end of a task.
        """
        needed = (length + 1) // 2 if self.terminated else length
        return max(self.rows - needed, 0) + 1


Place = tuple[Entry, int]
"""An episode, and the row of it that a chunk begins with."""


class Replay:
    """The episodes of a run, in a directory that one process writes to.

    Adding and sampling cost the same however many episodes there are. Nothing is cached
    but by the operating system, and nothing is evicted (as reference), unless there is
    a largest number of frames.

    Args:
        directory: where the episodes are; made if absent. Every file in it is read. One
            that has the name of an episode but is not whole is named in a warning and
            set aside under a name that ends in ``.damaged``; any other is named and
            left alone.
        max_frames: rows beyond which the oldest episodes are no longer sampled; the
            newest always is.
        recorded: the checksums of episodes by their numbers, as `checksums` gave them;
            a file that is another episode counts as damaged.

    Raises:
        ValueError: if two files there claim to be the same episode.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        max_frames: int | None = None,
        recorded: Mapping[int, str] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.max_frames = max_frames
        self._files: list[Entry] = []  # by ascending number
        self._first = 0  # of these that is sampled
        self._checked: dict[int, Stamp] = {}  # the files, as they were when checked
        self._next = 0  # the number of the next episode
        self._layout: Layout | None = None  # of every episode, once there is one
        self._scan(recorded or {})

    def __len__(self) -> int:
        """The number of episodes that are sampled."""
        return len(self._files) - self._first

    @property
    def frames(self) -> int:
        """The number of their observations, T + 1 for an episode of T decisions."""
        return sum(entry.rows for entry in self._files[self._first :])

    @property
    def checksums(self) -> dict[int, str]:
        """Those of the episodes that are sampled, by their numbers."""
        return {e.number: e.checksum for e in self._files[self._first :]}

    @property
    def present(self) -> set[int]:
        """The numbers of all episodes that are on the disk."""
        return {entry.number for entry in self._files}

    def add(self, episode: Episode) -> Path:
        """Store a finished episode; it is on the disk when this returns.

        Raises:
            ValueError: if its arrays are not as `Episode` says, differ in kind from
                those of the episodes already here, or hold a NaN or an infinity.
        """
        arrays = {name: getattr(episode, name) for name in KINDS}
        layout = layout_of(arrays)
        check_values(arrays)
        self._check_kind(layout)
        header = {"terminated": bool(episode.terminated)}
        content, checksum = seal("episode", arrays, header)
        path = self._path(self._next, len(episode))
        write_atomically(path, content)
        entry = Entry(self._next, len(episode), checksum, bool(episode.terminated))
        self._append(entry, layout)
        self._forget()
        return path

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Chunk:
        """Draw chunks: uniformly an episode, then uniformly a place in it.

        The reset row may be drawn like any other, and no chunk crosses episodes. An
        episode that the task itself ended (`terminated`) is followed by absorbing rows,
        of which half a chunk may consist, or more if the episode is shorter than the
        other half: the last observation, no rewards, and the actions of the episode
        backwards, as if, whatever is done, nothing happened for ever after.

        Args:
            batch: the number of chunks B.
            length: the number of rows L of each.
            generator: of the CPU; the only source of randomness.

        Returns:
            Chunks in memory of their own; images are uint8.

        Raises:
            ValueError: if there is no episode, if an episode drawn was cut by a time
                limit before it had ``length`` rows, as nobody knows how it went on, or
                if its file was spoilt since the replay was opened.
        """
        return self.cut(self.places(batch, length, generator), length)

    def places(
        self, batch: int, length: int, generator: torch.Generator
    ) -> list[Place]:
        """Where `sample` takes its chunks."""
        drawn = self.draw(batch, generator)
        return [(entry, int(share * entry.starts(length))) for entry, share in drawn]

    def draw(self, count: int, generator: torch.Generator) -> list[tuple[Entry, float]]:
        """So many of the episodes that are sampled, each with a number in [0, 1).

        Both are uniform; the number is to choose a place in the episode by.

        Raises:
            ValueError: if there is none.
        """
        if not len(self):
            raise ValueError(f"no episodes to sample from in {self.directory}")
        chosen = torch.randint(len(self), (count,), generator=generator).tolist()
        shares = torch.rand(count, dtype=torch.float64, generator=generator).tolist()
        entries = [self._files[self._first + index] for index in chosen]
        return list(zip(entries, shares, strict=True))

    def cut(self, places: Sequence[Place], length: int) -> Chunk:
        """The chunks that begin at these places; see `sample`."""
        assert self._layout is not None
        chunk = {
            name: torch.empty((len(places), length, *shape), dtype=_DTYPES[dtype])
            for name, (dtype, shape) in self._layout.items()
        }
        for row, (entry, start) in enumerate(places):
            parts = {name: tensor[row].numpy() for name, tensor in chunk.items()}
            self._fill(parts, length, entry, start)
        return Chunk(**chunk)

    def entry(self, number: int) -> Entry | None:
        """The episode of a number, if it is sampled."""
        place = bisect_left(self._files, number, self._first, key=itemgetter(0))
        found = self._files[place : place + 1]
        return found[0] if found and found[0].number == number else None

    def read(self, index: int) -> Episode:
        """The whole episode at a position; negative ones count from the newest."""
        number, rows, *_ = self._files[self._first :][index]
        arrays, header, _ = unseal(self._path(number, rows), "episode")
        return Episode(**arrays, terminated=header["terminated"])

    def truncate(self, count: int) -> None:
        """Go back to the first ``count`` episodes, as a resumed run must.

        Later files are set aside under names that end in ``.superseded``. The run
        collects these episodes again, to the same bits if it is deterministic; but to
        delete data is for the user.

        Raises:
            ValueError: if none of the first ``count`` episodes is here.
        """
        kept = [entry for entry in self._files if entry.number < count]
        if count and not kept:
            raise ValueError(
                f"the first {count} episodes are needed from {self.directory}, but "
                "none is there: restore the files or start again"
            )
        # Newest first, so that what an interruption leaves is still without gaps.
        for number, _, path in reversed(self._listing()):
            if number >= count:
                set_aside(path, "superseded")
        self._files, self._next = kept, count
        self._layout = self._layout if kept else None
        self._first = 0
        self._forget()

    def prune(self, count: int) -> None:
        """Delete the episodes that are too old to be sampled once more.

        Args:
            count: of the episodes at the oldest checkpoint that one may go back to.
                What was sampled then is kept.
        """
        rows = [entry.rows for entry in self._files if entry.number < count]
        unused = min(_forgotten(rows, self.max_frames), self._first)
        for number, rows_, *_ in self._files[:unused]:
            self._path(number, rows_).unlink(missing_ok=True)
            self._checked.pop(number, None)
        del self._files[:unused]
        self._first -= unused

    def _path(self, number: int, rows: int) -> Path:
        return self.directory / f"episode-{number:06d}-{rows:05d}.safetensors"

    def _check_kind(self, layout: Layout) -> None:
        if self._layout not in (None, layout):
            raise ValueError(
                f"the rows of the episode are {layout}, but those of the episodes in "
                f"{self.directory} are {self._layout}; a replay holds one kind"
            )

    def _append(self, entry: Entry, layout: Layout) -> None:
        """Index one more episode."""
        self._files.append(entry)
        self._next = entry.number + 1
        self._layout = layout

    def _forget(self) -> None:
        """Sample no longer what is too old."""
        if self.max_frames:  # else adding would cost more, the more there is
            rows = [entry.rows for entry in self._files[self._first :]]
            self._first += _forgotten(rows, self.max_frames)

    def _fill(
        self, parts: dict[str, np.ndarray], length: int, entry: Entry, start: int
    ) -> None:
        """Write the chunk of an episode that begins at a row into ``parts``."""
        number, rows, checksum, terminated = entry
        taken = min(rows - start, length)
        path = self._path(number, rows)
        try:
            if self._checked.get(number) != (stamp := stamp_of(path)):
                inspect(path, rows, checksum)
                self._checked[number] = stamp
            opened = safe_open(path, framework="numpy")  # compares header and size
        except (ValueError, SafetensorError) as error:
            raise ValueError(
                f"{path} was spoilt while the run was on: {error}; resume the run, "
                "which sets the file aside"
            ) from error
        with opened as file:
            if taken < length and not terminated:
                raise ValueError(
                    f"a time limit cut episode {number} after {rows} rows, fewer than "
                    f"the {length} of a chunk; lower train.chunk to at most {rows}"
                )
            for name, part in parts.items():
                part[:taken] = file.get_slice(name)[start : start + taken]
            if taken < length:
                parts["observation"][taken:] = parts["observation"][taken - 1]
                backwards = file.get_tensor("action")[:0:-1]  # not that of the reset
                parts["action"][taken:] = np.resize(
                    backwards, parts["action"][taken:].shape
                )
                parts["reward"][taken:] = 0

    def _listing(self) -> list[tuple[int, int, Path]]:
        """The number, the rows and the path of each file named like an episode."""
        matches = ((_NAME.fullmatch(p.name), p) for p in self.directory.iterdir())
        return sorted((int(m[1]), int(m[2]), path) for m, path in matches if m)

    def _scan(self, recorded: Mapping[int, str]) -> None:
        """Read the directory, and see to what is in it but no episode."""
        listing = self._listing()
        others = set(self.directory.iterdir()) - {path for *_, path in listing}
        told = [
            f"{path.name} is no episode, so ignored"
            for path in sorted(others)
            if not _LEFTOVER.fullmatch(path.name)
        ]
        for number, rows, path in listing:
            try:
                stamp = stamp_of(path)
                checksum, terminated, layout = inspect(path, rows, recorded.get(number))
                self._check_kind(layout)
            except ValueError as error:
                self._next = number + 1  # its number stays taken
                aside = set_aside(path, "damaged").name
                told.append(
                    f"{path.name} is damaged ({error}), so set aside as {aside}"
                )
                continue
            if self._files and number == self._files[-1].number:
                raise ValueError(f"two files claim to be episode {number}: see {path}")
            self._append(Entry(number, rows, checksum, terminated), layout)
            self._checked[number] = stamp
        self._forget()
        if told:
            warnings.warn(f"in {self.directory}: {'; '.join(told)}", stacklevel=3)


def _forgotten(rows: Sequence[int], max_frames: int | None) -> int:
    """How many of the episodes of so many rows are too old to be sampled."""
    frames, first = sum(rows), 0
    while max_frames and frames > max_frames and len(rows) - first > 1:
        frames -= rows[first]
        first += 1
    return first
