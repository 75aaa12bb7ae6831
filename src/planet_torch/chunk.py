"""Episodes, chunks cut from them, and the quantisation of images.

The time alignment of the whole package is said here, once. Row t of an episode holds
the observation o_t, the action that led to it and the reward that came with it. Row 0
is the reset: its action and reward are zero. An episode of T decisions has T + 1 rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """One finished episode of T decisions.

    Attributes:
        observation: images (T + 1, height, width, channels) uint8, or vectors
            (T + 1, n) float32.
        action: (T + 1, A) float32 in [-1, 1]; row 0 is zero.
        reward: (T + 1,) float32, summed over the action repeat; row 0 is zero.
        terminated: whether the task itself ended the episode, and not its time limit.
    """

    observation: Shaped[np.ndarray, "rows *shape"]
    action: Float[np.ndarray, "rows A"]
    reward: Float[np.ndarray, "rows"]
    terminated: bool = False

    def __len__(self) -> int:
        """The number of rows, T + 1."""
        return len(self.reward)

    @property
    def score(self) -> float:
        """The undiscounted return of the episode."""
        return float(self.reward.sum(dtype=np.float64))


@dataclass(frozen=True)
class Chunk:
    """A batch of B chunks, each L successive rows of one episode."""

    observation: Shaped[Tensor, "B L *shape"]
    action: Float[Tensor, "B L A"]
    reward: Float[Tensor, "B L"]

    @classmethod
    def of(cls, episodes: Sequence[Episode], length: int) -> Chunk:
        """The first L rows of B episodes, none of which is shorter."""
        rows = [(e.observation, e.action, e.reward) for e in episodes]
        parts = [
            np.stack([p[:length] for p in part]) for part in zip(*rows, strict=True)
        ]
        return cls(*map(torch.from_numpy, parts))

    def to(self, device: torch.device | str) -> Chunk:
        """The same chunks on another device."""
        parts = vars(self).items()
        return Chunk(**{name: p.to(device, non_blocking=True) for name, p in parts})


def mixed_lengths(batch: int, longest: int, shortest: int) -> list[tuple[int, int]]:
    """Chunks and their rows for updates of about as many rows, some in short chunks.

    Half the length, twice the chunks: a time loop of half the steps on twice the batch
    is faster, and what is learned of a chunk's first rows, whose state is not yet
    known, counts more.

    Args:
        batch: chunks of the greatest length in an update.
        longest: that length.
        shortest: the lengths are halves of halves of it that are not shorter.
    """
    lengths = [longest]
    while lengths[-1] // 2 >= shortest:
        lengths.append(lengths[-1] // 2)
    return [(batch * longest // length, length) for length in lengths]


def dequantise(
    image: UInt8[Tensor, "*batch height width channels"],
    bits: int,
    generator: torch.Generator,
) -> Float[Tensor, "*batch channels height width"]:
    """Reduce images to ``bits`` bits a channel, in (-0.5, 0.5), with fresh noise.

    Uniform noise of one quantisation step makes the discrete values a density (as
    reference, tools/preprocess.py). Every read of a frame draws new noise, while
    learning, acting and testing alike, and the encoder's input is the decoder's target.

    The noise has 256 levels, since drawing bytes takes a fraction of the time of
    drawing floats. The memory order stays channels last, which convolutions like.

    Raises:
        ValueError: if ``bits`` is not from 1 to 8.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"bits (={bits}) must be from 1 to 8; the paper has 5")
    noise = _random_bytes(image.shape, generator, image.device)
    kept = image.bitwise_and(256 - 2 ** (8 - bits))
    step = 2.0 ** -(bits + 8)
    value = noise.to(torch.float32).mul_(step).add_(step / 2 - 0.5)
    return value.add_(kept, alpha=2.0**-8).movedim(-1, -3)  # every sum is exact


def _random_bytes(
    shape: torch.Size, generator: torch.Generator, device: torch.device
) -> UInt8[Tensor, "*shape"]:
    """Uniform bytes, eight from each draw of the generator."""
    count = shape.numel()
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.uint8)[:count].reshape(shape)


def quantise(
    image: Float[Tensor, "*batch channels height width"], bits: int = 5
) -> UInt8[Tensor, "*batch height width channels"]:
    """Bring images from [-0.5, 0.5) back to uint8, to look at them."""
    levels = 2**bits
    value = torch.floor((image + 0.5) * levels).clamp_(0, levels - 1)
    return (value * (256 // levels)).to(torch.uint8).movedim(-3, -1).contiguous()
