"""What a world model sees with its eyes open, and what it foresees with them shut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from planet_torch.chunk import Chunk, quantise
from planet_torch.world_model import WorldModel


@dataclass(frozen=True)
class Prediction:
    """Chunks of real frames, and a model's idea of them.

    Attributes:
        real: the frames as the model gets them, of as many bits as it reads.
        reconstruction: decoded from the posteriors, which have seen each frame.
        prediction: the same for the first ``context`` frames; from there on decoded
            from priors, which know the actions but see nothing any more.
        context: how many frames were seen.
        reward: the rewards that came.
        predicted_reward: the reward head's means for the states of ``prediction``.
    """

    real: UInt8[np.ndarray, "B L height width C"]
    reconstruction: UInt8[np.ndarray, "B L height width C"]
    prediction: UInt8[np.ndarray, "B L height width C"]
    context: int
    reward: Float[np.ndarray, "B L"]
    predicted_reward: Float[np.ndarray, "B L"]

    @property
    def error(self) -> UInt8[np.ndarray, "B L height width C"]:
        """The absolute difference of prediction and real frames."""
        return np.abs(self.prediction.astype(np.int16) - self.real).astype(np.uint8)

    @property
    def error_per_distance(self) -> Float[np.ndarray, "H"]:
        """Root mean square error in grey levels, 1..H frames past the context."""
        return _rms(self.prediction[:, self.context :], self.real[:, self.context :])

    @property
    def standstill_per_distance(self) -> Float[np.ndarray, "H"]:
        """The error of expecting that the last frame seen stays: a bar to be below."""
        last = self.real[:, self.context - 1 : self.context]
        return _rms(last, self.real[:, self.context :])


@torch.no_grad()
def predict(
    world_model: WorldModel, chunk: Chunk, context: int, generator: torch.Generator
) -> Prediction:
    """Let a world model watch the first frames of chunks, and foresee the others.

    Args:
        world_model: reads images.
        chunk: B times L frames, with the actions between them, on the model's device.
        context: how many frames it sees, 0 < context < L.
        generator: of the dequantisation noise and the samples of the states.

    Raises:
        ValueError: if the observations are no images, or nothing is left to foresee.
    """
    length = chunk.action.shape[1]
    if chunk.observation.dtype != torch.uint8:
        raise ValueError("only images can be decoded to be looked at, not vectors")
    if not 0 < context < length:
        raise ValueError(
            f"context (={context}) must be in 1..{length - 1}: of {length} "
            "frames one must be seen, and one left to foresee"
        )
    observation = world_model.prepare(chunk.observation, generator)
    posteriors, _ = world_model.observe(observation, chunk.action, generator)
    start, actions = posteriors[:, context - 1], chunk.action[:, context:]
    noise = world_model.noise(*actions.shape[:2], generator=generator)
    imagined = world_model.dynamics.imagine(start, actions, noise).features
    seen = posteriors.features
    states = torch.cat([seen[:, :context], imagined], dim=1)
    return Prediction(
        real=_middle(chunk.observation, world_model.image_bits).cpu().numpy(),
        reconstruction=_decode(world_model, seen),
        prediction=_decode(world_model, states),
        context=context,
        reward=chunk.reward.cpu().numpy(),
        predicted_reward=world_model.reward(states).squeeze(-1).cpu().numpy(),
    )


def _decode(world_model: WorldModel, features: Float[Tensor, "B L F"]) -> np.ndarray:
    """The images of states, one time after the other to need little memory."""
    images = [quantise(world_model.decode(f), bits=8) for f in features.unbind(1)]
    return torch.stack(images, dim=1).cpu().numpy()


def _middle(image: Tensor, bits: int) -> Tensor:
    """Images of so many bits, each value in the middle of those that look like it."""
    step = 256 >> bits
    return image // step * step + step // 2


def _rms(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Root mean square difference over all but the time axis."""
    return np.sqrt(np.square(one.astype(np.float64) - other).mean(axis=(0, 2, 3, 4)))
