"""Latent dynamics: how the state of the world moves, with and without a picture of it.

A model is three functions of one step, and the two loops over time that all share::

    advance:    s_t-1, h_t-1, a_t-1 -> carry_t      what is known before any noise
    prior:      carry_t             -> p(s_t | s_<t, a_<t)
    posterior:  carry_t, o_t        -> q(s_t | s_<t, a_<t, o_t)

    observe:    filter a chunk of embeddings (advance, posterior, advance, ...)
    imagine:    roll out actions open loop   (advance, prior, advance, ...)

All noise is drawn before the loops and passed in, so they are pure functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from planet_torch.networks import Activation, Linear, Norm


@dataclass(frozen=True)
class Sizes:
    """How large a dynamics is, and how its hidden layers look.

    Attributes:
        action_size: A.
        embedding_size: E, of what the encoder makes of one observation.
        stochastic_size: S.
        belief_size: D.
        units: of each hidden layer.
        min_stddev: what is added to every standard deviation.
        activation: of the hidden layers.
        norm: between a hidden layer and its activation, and in a GRU.
    """

    action_size: int
    embedding_size: int
    stochastic_size: int = 30
    belief_size: int = 200
    units: int = 200
    min_stddev: float = 0.1
    activation: Activation = "relu"
    norm: Norm = "none"


@dataclass(frozen=True)
class State:
    """A latent state, of any model. A part that a model lacks has width 0.

    Attributes:
        mean: (*batch, S) mean of the stochastic part.
        stddev: (*batch, S) its standard deviation; S may be 0 where means are followed.
        sample: (*batch, S) the value drawn; the next step continues from it.
        belief: (*batch, D) the deterministic part, h_t.
    """

    mean: Float[Tensor, "*batch S"]
    stddev: Float[Tensor, "*batch _"]
    sample: Float[Tensor, "*batch S"]
    belief: Float[Tensor, "*batch D"]

    @property
    def features(self) -> Float[Tensor, "*batch F"]:
        """What the observation and reward heads read: sample, then belief."""
        return torch.cat([self.sample, self.belief], dim=-1)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Mean, standard deviation, sample and belief, and what a model adds."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """The state with ``function`` applied to each part."""
        return type(self)(*map(function, self.parts))

    def __getitem__(self, index: object) -> State:
        """Index the batch axes of every part."""
        return self.map(lambda part: part[index])  # type: ignore[index]


def stack(states: Sequence[State]) -> State:
    """Stack states along a new time axis, behind the batch axis."""
    parts = zip(*(state.parts for state in states), strict=True)
    return type(states[0])(*(torch.stack(part, dim=1) for part in parts))


class GaussianHead(nn.Module):
    """Hidden units to a diagonal Gaussian, by one linear layer for each moment."""

    def __init__(self, inputs: int, size: int, min_stddev: float) -> None:
        super().__init__()
        self.mean = Linear(inputs, size)
        self.stddev = Linear(inputs, size)
        self.min_stddev = min_stddev

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, softplus plus the minimum (as reference)."""
        stddev = F.softplus(self.stddev(hidden)) + self.min_stddev
        return self.mean(hidden), stddev


class PointHead(nn.Module):
    """Hidden units to a point: a Gaussian whose deviation is always the minimum."""

    def __init__(self, inputs: int, size: int, min_stddev: float) -> None:
        super().__init__()
        self.mean = Linear(inputs, size)
        self.min_stddev = min_stddev

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation."""
        mean = self.mean(hidden)
        return mean, torch.full_like(mean, self.min_stddev)


class Dynamics(nn.Module, ABC):
    """Transition and inference of a latent state-space model."""

    stochastic_size: int
    belief_size: int
    noisy = True  # or is the sample the mean?

    @abstractmethod
    def project_action(self, action: Tensor) -> Tensor:
        """The action's share of ``advance``, which needs no state."""

    @abstractmethod
    def project_embedding(self, embedding: Tensor) -> Tensor:
        """The embedding's share of ``posterior``, which needs no state."""

    @abstractmethod
    def advance(self, state: State, action: Tensor) -> Tensor:
        """All that prior and posterior share, from a projected action."""

    @abstractmethod
    def prior(self, carry: Tensor, noise: Tensor | None) -> State:
        """The state predicted without its observation; at its mean without noise."""

    @abstractmethod
    def posterior(
        self, carry: Tensor, embedding: Tensor, noise: Tensor | None
    ) -> State:
        """The state inferred from a projected embedding; at its mean without noise."""

    def state(
        self, mean: Tensor, stddev: Tensor, noise: Tensor | None, belief: Tensor
    ) -> State:
        """The state with its sample, which is the mean without noise."""
        if noise is None or not self.noisy:
            return State(mean, stddev, mean, belief)
        return State(mean, stddev, mean + stddev * noise, belief)

    @property
    def feature_size(self) -> int:
        """The width F of ``State.features``."""
        return self.stochastic_size + self.belief_size

    def initial(self, *batch: int) -> State:
        """The state before the first observation: zeros (as reference)."""
        like = next(self.parameters())
        zeros = like.new_zeros(*batch, self.stochastic_size)
        return State(zeros, zeros, zeros, like.new_zeros(*batch, self.belief_size))

    def observe(
        self,
        embeddings: Float[Tensor, "B L E"],
        actions: Float[Tensor, "B L A"],
        noise: Float[Tensor, "2 B L S"],
        state: State | None = None,
    ) -> tuple[State, State]:
        """Filter a chunk.

        Args:
            embeddings: o_t of each row.
            actions: the action that led to each row.
            noise: standard normal; index 0 for the posteriors, 1 for the priors.
            state: where the chunk starts; zeros if left out.

        Returns:
            The posteriors and the one-step priors, each (B, L, ...).
        """
        state = self.initial(len(actions)) if state is None else state
        inputs = zip(
            self.project_action(actions).unbind(1),
            self.project_embedding(embeddings).unbind(1),
            noise[0].unbind(1),
            strict=True,
        )
        carries, posteriors = [], []
        for action, embedding, epsilon in inputs:
            carries.append(self.advance(state, action))
            state = self.posterior(carries[-1], embedding, epsilon)
            posteriors.append(state)
        # No step needs its prior, so all of them are one call after the loop.
        return stack(posteriors), self.prior(torch.stack(carries, dim=1), noise[1])

    def step(
        self,
        state: State,
        action: Float[Tensor, "*batch A"],
        embedding: Float[Tensor, "*batch E"],
        noise: Float[Tensor, "*batch S"] | None,
    ) -> State:
        """The posterior one step on; at its mean without noise."""
        carry = self.advance(state, self.project_action(action))
        return self.posterior(carry, self.project_embedding(embedding), noise)

    def imagine(
        self,
        state: State,
        actions: Float[Tensor, "B H A"],
        noise: Float[Tensor, "B H S"] | None,
    ) -> State:
        """Roll out actions open loop; the states after each of them (B, H, ...).

        Without noise every state is at its mean.
        """
        if actions.shape[1] == 0:
            return state.map(lambda part: part[:, None][:, :0])
        states = []
        # Steps first, so that what a step reads of many candidates lies side by side.
        projected = self.project_action(actions.transpose(0, 1))
        each = [None] * len(projected) if noise is None else noise.unbind(1)
        for action, epsilon in zip(projected, each, strict=True):
            state = self.prior(self.advance(state, action), epsilon)
            states.append(state)
        return stack(states)
