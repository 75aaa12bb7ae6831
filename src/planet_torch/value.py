"""The value of a state: what plans end with, to see further than they look."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from planet_torch.objectives import Filtered, Term
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
