"""Objectives: the terms of the variational bound, each a small class.

The loss is the weighted sum of terms, each the mean over batch and time of something
in nats (constants of the Gaussians left out). A term reads one filtered chunk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from planet_torch.chunk import Chunk
from planet_torch.dynamics import State
from planet_torch.world_model import WorldModel


@dataclass(frozen=True)
class Filtered:
    """A chunk with what the world model inferred from it, each part (B, L, ...)."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    posteriors: State
    priors: State


class Term(ABC):
    """One term of the loss."""

    name: str
    weight: float

    @abstractmethod
    def __call__(
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The term without its weight, and the value of it to show."""


def filtered(
    model: WorldModel,
    chunk: Chunk,
    generator: torch.Generator,
    state: State | None = None,
) -> Filtered:
    """Read a chunk with fresh dequantisation noise and filter it, from a state."""
    observation = model.prepare(chunk.observation, generator)
    states = model.observe(observation, chunk.action, generator, state)
    return Filtered(observation, chunk.action, chunk.reward, *states)


def total(
    model: WorldModel,
    terms: Sequence[Term],
    read: Filtered,
    generator: torch.Generator,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The loss to minimise of a chunk, and the value of each term to show.

    Raises:
        ValueError: if two terms have one name.
    """
    values = {term.name: term(model, read, generator) for term in terms}
    if len(values) < len(terms):
        names = [term.name for term in terms]
        raise ValueError(f"two terms of a loss have one name: {', '.join(names)}")
    loss = torch.stack([term.weight * values[term.name][0] for term in terms]).sum()
    return loss, {name: shown.detach() for name, (_, shown) in values.items()}


def kl_divergence(q: State, p: State) -> Float[Tensor, "*batch"]:
    """KL(q || p) of diagonal Gaussians in nats, summed over the stochastic size."""
    ratio = (q.stddev / p.stddev).square()
    distance = ((q.mean - p.mean) / p.stddev).square()
    return 0.5 * (ratio + distance - 1 - ratio.log()).sum(dim=-1)


def divergence(
    q: State, p: State, balance: float | None = None
) -> Float[Tensor, "*batch"]:
    """KL(q || p), with its gradient shared out between the two.

    Args:
        q: the posterior.
        p: the prior.
        balance: None for the plain gradient. Otherwise the share of the gradient that
            moves the prior; the rest moves the posterior (Hafner et al., 2021). The
            value is the same.
    """
    if balance is None:
        return kl_divergence(q, p)
    to_prior = kl_divergence(q.map(torch.detach), p)
    return balance * to_prior + (1 - balance) * kl_divergence(q, p.map(torch.detach))


def decoding_error(
    model: WorldModel,
    features: Float[Tensor, "B L F"],
    target: Float[Tensor, "B L *shape"],
    share: float,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """-log p(o | s): half the squared error, summed over the observation.

    Args:
        model: whose decoder gives the mean of o.
        features: of the states.
        target: the observations.
        share: of the rows that are decoded, in (0, 1]. Below 1, a random part of them
            stands for all: an unbiased estimate whose cost falls in proportion.
        generator: draws them.

    Returns:
        The mean over the rows.

    Raises:
        ValueError: if the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share to decode (={share}) must be in (0, 1]")
    batch, length = target.shape[:2]
    if share < 1:
        count = max(1, round(share * batch * length))
        order = torch.randperm(
            batch * length, generator=generator, device=generator.device
        )
        chosen = order[:count] // length, order[:count] % length
        features, target = features[chosen], target[chosen]
    else:
        features, target = features.flatten(0, 1), target.flatten(0, 1)
    error = (model.decode(features) - target).square().sum()
    return 0.5 * error / len(target)


@dataclass(frozen=True)
class Observation(Term):
    """-log p(o_t | s_t) of each row, or of a random share of them (``decoded``)."""

    weight: float = 1.0
    decoded: float = 1.0
    name = "observation"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        features, target = chunk.posteriors.features, chunk.observation
        loss = decoding_error(model, features, target, self.decoded, generator)
        return loss, loss


@dataclass(frozen=True)
class Reward(Term):
    """-log p(r_t | s_t): half the squared error.

    The released code weighs it by 10, which no version of the paper says.
    """

    weight: float = 10.0
    name = "reward"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        prediction = model.reward(chunk.posteriors.features).squeeze(-1)
        loss = 0.5 * (prediction - chunk.reward).square().mean()
        return loss, loss


@dataclass(frozen=True)
class Divergence(Term):
    """KL(q || p) of each state from its one-step prior, above the free nats.

    As reference, the free nats are taken from each row's KL, summed over the state,
    before the mean over batch and time. (Dreamer clips the mean.)

    Args:
        weight: factor in the loss.
        free_nats: nats a row that cost nothing and have no gradient.
        balance: see ``divergence``.
    """

    weight: float = 1.0
    free_nats: float = 3.0
    balance: float | None = None
    name = "divergence"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        kl = divergence(chunk.posteriors, chunk.priors, self.balance)
        return (kl - self.free_nats).clamp(min=0).mean(), kl.mean()


@dataclass(frozen=True)
class GlobalPrior(Term):
    """KL(q || N(0, 1)) of each posterior from one fixed prior; no free nats.

    As reference, first release, which gave it a tenth of the weight of ``Divergence``.
    """

    weight: float
    name = "global_prior"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        q = chunk.posteriors
        standard = replace(
            q, mean=torch.zeros_like(q.mean), stddev=torch.ones_like(q.stddev)
        )
        kl = kl_divergence(q, standard).mean()
        return kl, kl


@dataclass(frozen=True)
class RewardOvershooting(Term):
    """-log p(r_t+d | s_t+d) of the state imagined d steps from the posterior at t.

    It trains what planning does: rewards of open-loop states. The author describes such
    a term of weight 100 for the first release, whose code, however, read posteriors.

    Args:
        weight: factor in the loss.
        distance: D; the mean is over d = 1..D.
        starts: random rows t of each chunk from which the model imagines.
    """

    weight: float = 100.0
    distance: int = 12
    starts: int = 4
    name = "reward_overshooting"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        states, following = imagine_from(
            model, chunk, self.distance, self.starts, generator
        )
        prediction = model.reward(states.features).squeeze(-1)
        error = prediction - chunk.reward[following].flatten(0, 1)
        loss = 0.5 * error.square().mean()
        return loss, loss


Rows = tuple[Tensor, Tensor]
"""The indices of rows in a chunk: of the batch, and of time."""


def random_starts(
    chunk: Filtered, starts: int, generator: torch.Generator, ahead: int = 0
) -> tuple[State, Rows]:
    """Random rows of each chunk, to imagine from.

    Args:
        chunk: with the posteriors to start from.
        starts: rows of each chunk.
        generator: draws them.
        ahead: rows of actions that must follow.

    Returns:
        The states (starts * B, ...), and their rows (starts, B).
    """
    batch, length, _ = chunk.action.shape
    device, shape = chunk.action.device, (starts, batch)
    row = torch.randint(length - ahead, shape, generator=generator, device=device)
    rows = (torch.arange(batch, device=device).expand(shape), row)
    return chunk.posteriors[rows].map(lambda part: part.flatten(0, 1)), rows


def imagine_from(
    model: WorldModel,
    chunk: Filtered,
    distance: int,
    starts: int,
    generator: torch.Generator,
) -> tuple[State, Rows]:
    """Imagine what the chunk's actions lead to, from random rows of it.

    Args:
        model: that imagines.
        chunk: with the posteriors to start from, and the actions, which may be of its
            first rows alone.
        distance: D, of the steps imagined from each row.
        starts: rows of each chunk.
        generator: draws the rows, and the noise.

    Returns:
        The states (starts * B, D, ...), and the rows (starts, B, D) that they foresee.

    Raises:
        ValueError: if there are no more than D rows of actions.
    """
    length = chunk.action.shape[1]
    if distance >= length:
        raise ValueError(
            f"imagining {distance} steps needs {distance + 1} rows of actions, got "
            f"{length}"
        )
    start, (chunks, row) = random_starts(chunk, starts, generator, ahead=distance)
    steps = torch.arange(1, distance + 1, device=row.device)
    following = (chunks[..., None], row[..., None] + steps)
    actions = chunk.action[following].flatten(0, 1)
    noise = model.noise(*actions.shape[:2], generator=generator)
    return model.imagine(start, actions, noise), following
