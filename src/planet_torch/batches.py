"""Batches: which rows of the replay an update learns of, and what came before them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from planet_torch.chunk import Chunk
from planet_torch.dynamics import State
from planet_torch.replay import Entry, Place, Replay


@runtime_checkable
class Batches(Protocol):
    """Where the chunks of updates come from."""

    def draw(self, generator: torch.Generator) -> tuple[Chunk, State | None]:
        """The next chunks, and the states before them; None is the initial one."""

    def ended(self, posteriors: State) -> None:
        """Be told what was inferred of the chunks drawn last, (B, L, ...)."""

    def state_dict(self) -> dict[str, Any]:
        """What the next draws depend on, but for replay and generator."""

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Go on from there."""


class Apart:
    """Chunks from anywhere, before each of which nothing is known (as reference).

    Args:
        replay: that they are of.
        shapes: (B, L), one of which is drawn for each update.
    """

    def __init__(self, replay: Replay, shapes: list[tuple[int, int]]) -> None:
        self.replay, self.shapes = replay, shapes

    def draw(self, generator: torch.Generator) -> tuple[Chunk, State | None]:
        """Chunks, and no states before them."""
        number = 0
        if len(self.shapes) > 1:
            number = int(torch.randint(len(self.shapes), (), generator=generator))
        return self.replay.sample(*self.shapes[number], generator), None

    def ended(self, posteriors: State) -> None:
        """Nothing of it is used."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Nothing."""


class Successive:
    """Chunks that follow one another through episodes, and go on in each other's state.

    Differs: PlaNet filters each chunk from the zero state, so no state that it learns
    of is older than a chunk, and those of the agent that acts are as old as its
    episode. Here a chunk begins in the state in which the one before it ended, without
    a gradient to it (truncated backpropagation through time).

    Half of the walks through episodes begin at the reset, the others up to a chunk
    later, in the zero state. At the very first the chunks are from anywhere, so that
    they are not all at the same time of their episodes.

    Args:
        replay: that they are of.
        batch: the number of chunks B.
        length: the number of rows L of each.
        initial: gives the states before the first rows of so many episodes.
    """

    def __init__(
        self,
        replay: Replay,
        batch: int,
        length: int,
        initial: Callable[[int], State],
    ) -> None:
        self.replay, self.batch, self.length = replay, batch, length
        self.following: list[tuple[int, int]] = []  # the episodes and rows after them
        self.zero = initial(batch)
        self.states = self.zero  # in which they ended

    def draw(self, generator: torch.Generator) -> tuple[Chunk, State | None]:
        """The chunks that come next, or first ones of other episodes."""
        if self.following:
            begins = [self._begin(*d) for d in self.replay.draw(self.batch, generator)]
            nexts = [self._next(*following) for following in self.following]
            over = torch.tensor([place is None for place in nexts])
            places = [n or begin for n, begin in zip(nexts, begins, strict=True)]
            states = self.states.map(partial(_without, over))
        else:
            places = self.replay.places(self.batch, self.length, generator)
            states = self.zero
        self.following = [(e.number, start + self.length) for e, start in places]
        self.states = self.zero  # unless it is told of others
        return self.replay.cut(places, self.length), states

    def ended(self, posteriors: State) -> None:
        """Go on from the last of them."""
        self.states = posteriors[:, -1].map(torch.detach)

    def state_dict(self) -> dict[str, Any]:
        """The rows that follow, and the states before them."""
        following = [[number, start] for number, start in self.following]
        return {"places": following, "states": list(self.states.parts)}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Go on from there.

        What does not fit, as of a run that had other batches, is left: it begins anew.
        """
        if len(content.get("places", [])) != self.batch:
            return
        self.following = [(number, start) for number, start in content["places"]]
        parts = zip(content["states"], self.zero.parts, strict=True)
        self.states = type(self.zero)(*(part.to(zero.device) for part, zero in parts))

    def _next(self, number: int, start: int) -> Place | None:
        """Where a walk goes on; None if its episode is over, or no longer sampled."""
        entry = self.replay.entry(number)
        if entry is None:
            return None
        left = entry.rows - start
        goes_on = left >= self.length or (entry.terminated and left > 0)
        return (entry, start) if goes_on else None

    def _begin(self, entry: Entry, share: float) -> Place:
        """Where a walk begins, by a draw from [0, 1)."""
        later = min(self.length, entry.starts(self.length))
        return entry, int(max(2 * share - 1, 0) * later)


def _without(rows: Tensor, part: Tensor) -> Tensor:
    """Zeros where rows are true."""
    return part.masked_fill(rows.to(part.device)[:, None], 0)
