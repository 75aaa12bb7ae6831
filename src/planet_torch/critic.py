"""What the best actions are worth: a value that needs neither a policy nor a search."""

from __future__ import annotations

from copy import deepcopy

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from planet_torch.networks import MLP, Activation, Norm, Style

POINTS = 3  # of a component of the action: -1, 0 and 1
PAIR = 2  # critics, whose mean is less often too high than one of them


class Critic(nn.Module):
    """Q(s, a) = 1/A sum_j Q_j(s, a_j), and V(s) = max_a Q(s, a).

    Each Q_j is known at three points of its component and linear between them. So the
    best action has every component at one of the points, and is found without a search
    (Seyde et al., 2023, "Solving continuous control via Q-learning", whose actions are
    at the points alone).

    A slowly moving copy gives targets: it values what the newest critics would choose
    (van Hasselt et al., 2016).

    Args:
        features: F, of the states.
        action_size: A.
        layers, units, activation, norm: of each critic, as of an ``MLP``.
    """

    def __init__(
        self,
        features: int,
        action_size: int,
        *,
        layers: int,
        units: int,
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.action_size: int = action_size
        style: Style = {"activation": activation, "norm": norm}
        self.critics = nn.ModuleList(
            MLP(features, action_size * POINTS, layers=layers, units=units, **style)
            for _ in range(PAIR)
        )
        self.slow = deepcopy(self.critics).requires_grad_(False)

    def forward(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch 1"]:
        """V(s), of the newest critics' mean."""
        best = self.points(features).mean(dim=0).amax(dim=-1)
        return best.mean(dim=-1, keepdim=True)

    def points(
        self, features: Float[Tensor, "*batch F"]
    ) -> Float[Tensor, "pair *batch A points"]:
        """Q_j at the points of its component, by each of the newest critics."""
        return self._by(self.critics, features)

    @torch.no_grad()
    def target(
        self,
        features: Float[Tensor, "*batch F"],
        points: Float[Tensor, "pair *batch A points"],
    ) -> Float[Tensor, "*batch"]:
        """V(s) to learn from: the choice of the newest critics, by the slow ones.

        Args:
            features: of the states.
            points: what the newest critics think of them.
        """
        slow = self._by(self.slow, features).mean(dim=0)
        chosen = points.mean(dim=0).argmax(dim=-1, keepdim=True)
        return slow.gather(-1, chosen).squeeze(-1).mean(dim=-1)

    def choose(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch A"]:
        """The best action."""
        return at_points(self.points(features).mean(dim=0).argmax(dim=-1))

    @torch.no_grad()
    def follow(self, rate: float = 0.01) -> None:
        """Move the slow critics towards the newest ones."""
        for slow, newest in zip(
            self.slow.parameters(), self.critics.parameters(), strict=True
        ):
            slow.lerp_(newest, rate)

    def _by(
        self, critics: nn.ModuleList, features: Tensor
    ) -> Float[Tensor, "pair *batch A points"]:
        each = torch.stack([critic(features) for critic in critics])
        return each.reshape(*each.shape[:-1], self.action_size, POINTS)


def worth(
    points: Float[Tensor, "pair *batch A points"], action: Float[Tensor, "*batch A"]
) -> Float[Tensor, "pair *batch"]:
    """Q(s, a) by each of the critics, linear between the points."""
    numbers = torch.arange(POINTS, device=action.device)
    place = (action + 1) * (POINTS - 1) / 2
    share = (1 - (place[..., None] - numbers).abs()).clamp(min=0)
    return (share * points).sum(-1).mean(-1)


def at_points(numbers: Shaped[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
    """The actions whose components are at these points, counted from 0."""
    return 2.0 * numbers / (POINTS - 1) - 1
