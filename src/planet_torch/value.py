"""The value of a state: what plans end with, to see further than they look."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from planet_torch.critic import POINTS, Critic, at_points, worth
from planet_torch.objectives import Filtered, Term, imagine_from, random_starts
from planet_torch.world_model import WorldModel


@dataclass(frozen=True)
class Value(Term):
    """Half the squared error of the value from the return that followed.

    Differs: PlaNet has no value. Its plans end at the horizon, and what comes after
    counts nothing. Here the value head learns how the replay's episodes went on (the
    agent's own, with exploration noise), so that a plan is judged as if the agent, from
    the plan's last state on, did as it used to. There is still no policy network. The
    states get no gradient, so the model stays as it is.

    Attributes:
        weight: factor in the loss.
        trace: lambda, how far rewards are trusted over the value of the next state.
    """

    weight: float = 1.0
    trace: float = 0.95
    name = "value"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        assert model.value is not None
        value = model.value(chunk.posteriors.features.detach()).squeeze(-1)
        reward = chunk.reward * (1 - model.discount)
        target = lambda_return(reward, value.detach(), model.discount, self.trace)
        loss = 0.5 * (value[:, :-1] - target).square().mean()
        return loss, loss


@dataclass(frozen=True)
class GreedyValue(Term):
    """Half the squared error of Q(s_t, a_t+1) from the best that could have followed.

    Differs: as ``Value``, but of the best actions and not of those that were taken, so
    that what the agent did when it knew less does not hold the value down (Q-learning).
    The targets are lambda-returns of the greedy value (Peng and Williams, 1996). Where
    plans end, states are imagined, so it is learned of imagined states, too: what was
    foreseen of a row is worth what the row is worth. The states get no gradient.

    Attributes:
        weight: factor in the loss.
        trace: lambda, how far the actions that were taken count as the best.
        distance: steps imagined; 0 is none.
        starts: random rows of each chunk from which the model imagines.
    """

    weight: float = 1.0
    trace: float = 0.7
    distance: int = 0
    starts: int = 4
    name = "value"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        critic = model.value
        assert isinstance(critic, Critic)
        features = chunk.posteriors.features.detach()
        points = critic.points(features)
        reward = chunk.reward * (1 - model.discount)
        value = critic.target(features, points)
        target = lambda_return(reward, value, model.discount, self.trace)
        # The action of a row led to it, so what a state did is in the row after.
        done = chunk.action[:, 1:]
        loss = error(worth(points[:, :, :-1], done), target)
        if self.distance:
            known = replace(chunk, action=chunk.action[:, :-1])  # rows with a target
            with torch.no_grad():
                states, rows = imagine_from(
                    model, known, self.distance, self.starts, generator
                )
            foreseen = worth(critic.points(states.features), done[rows].flatten(0, 1))
            loss = (loss + error(foreseen, target[rows].flatten(0, 1))) / 2
        return loss, loss


@dataclass(frozen=True)
class ImaginedValue(Term):
    """Half the squared error of Q along the critic's own best actions, in imagination.

    Differs: ``GreedyValue`` learns of what the agent did, and of what it would do now
    only where that is the same. Here the model imagines it, from random rows, and the
    rewards are those that it foresees (as for Dreamer's critic, Hafner et al., 2020,
    but without a policy). The first action strays, so that the critic learns of other
    ones than the best; all that follow it are the best, as the lambda-return supposes.
    The states and the reward head get no gradient.

    Attributes:
        weight: factor in the loss.
        trace: lambda, how far imagined rewards are trusted over the value.
        distance: H, steps imagined.
        starts: random rows of each chunk from which the model imagines.
        stray: share of the first actions' components that are at a random point.
    """

    weight: float = 1.0
    trace: float = 0.95
    distance: int = 15
    starts: int = 4
    stray: float = 0.5
    name = "imagined_value"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        critic = model.value
        assert isinstance(critic, Critic)
        with torch.no_grad():
            features, actions = self.imagine(model, critic, chunk, generator)
            reward = model.reward(features).squeeze(-1) * (1 - model.discount)
        points = critic.points(features)
        value = critic.target(features, points)
        target = lambda_return(reward, value, model.discount, self.trace)
        loss = error(worth(points[:, :, :-1], actions), target)
        return loss, loss

    def imagine(
        self,
        model: WorldModel,
        critic: Critic,
        chunk: Filtered,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "N rows F"], Float[Tensor, "N H A"]]:
        """The features of starts and of what follows them, and the actions between."""
        start, _ = random_starts(chunk, self.starts, generator)
        device = chunk.action.device
        shape = (len(start.mean), self.distance, critic.action_size)
        strays = torch.full(shape, torch.nan, device=device)
        drawn = torch.rand((2, *shape[::2]), generator=generator, device=device)
        points = at_points((POINTS * drawn[0]).floor())
        strays[:, 0] = torch.where(drawn[1] < self.stray, points, torch.nan)
        noise = model.noise(*shape[:2], generator=generator)
        states, actions = model.follow_critic(start, strays, noise)
        return torch.cat([start.features[:, None], states.features], dim=1), actions


def error(
    foreseen: Float[Tensor, "pair *batch"], target: Float[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """Half the squared error, the mean over all but the critics, which are summed."""
    return 0.5 * (foreseen - target).square().flatten(1).mean(dim=1).sum()


def lambda_return(
    reward: Float[Tensor, "B L"],
    value: Float[Tensor, "B L"],
    discount: float,
    trace: float,
) -> Float[Tensor, "B L-1"]:
    """G_t = r_t+1 + discount ((1 - trace) v_t+1 + trace G_t+1), with G_L = v_L.

    The reward of a row came with its observation (Sutton and Barto, 2018, Eq. 12.18).
    """
    following = value[:, -1]
    returns = []
    for t in reversed(range(1, value.shape[1])):
        mixed = torch.lerp(value[:, t], following, trace)
        following = reward[:, t] + discount * mixed
        returns.append(following)
    return torch.stack(returns[::-1], dim=1)
