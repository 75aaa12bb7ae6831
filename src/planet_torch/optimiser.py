"""Adam with the epsilon of TensorFlow 1, and a running average of the weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any

import torch
from torch import nn


class Adam(torch.optim.Adam):
    """Adam whose epsilon is added before the bias correction ("epsilon hat").

    The step is lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps), as in Kingma and
    Ba (2015), end of section 2, and in TensorFlow. PyTorch adds its epsilon to the
    corrected root, so ours is divided by the correction, which makes early steps
    smaller: with epsilon 1e-4 it counts 31.6 times as much at update 1 and 1.26 times
    at update 1,000.

    Its rate is lr * 2^(-(t - 1) / half_life), or lr all along without a half-life, and
    for ``steady`` weights. None of these is part of its state, so a run may go on with
    others.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        eps: float,
        half_life: int | None = None,
        steady: Collection[nn.Parameter] = (),
    ) -> None:
        kept = {id(parameter) for parameter in steady}
        # In their order, by which a state knows its weight.
        groups = [
            {"params": list(group), "steady": is_steady}
            for is_steady, group in groupby(parameters, lambda each: id(each) in kept)
        ]
        super().__init__(groups, lr=lr, eps=eps, fused=True)
        self.rate, self.half_life = lr, half_life
        self.epsilon_hat = eps

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter from its gradient."""
        self._set_rates(self._time())
        super().step(closure)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the moments of the same weights, whichever of them are steady."""
        groups = self.state_dict()["param_groups"]
        super().load_state_dict({**state_dict, "param_groups": groups})
        if self.state:
            self._set_rates(self._time() - 1)  # those of the update that was the last

    def _set_rates(self, time: int) -> None:
        """Be at the rates and the epsilon of an update."""
        halvings = (time - 1) / self.half_life if self.half_life else 0.0
        for group in self.param_groups:
            group["lr"] = self.rate * (1.0 if group["steady"] else 0.5**halvings)
            group["eps"] = self.epsilon_hat / (1 - group["betas"][1] ** time) ** 0.5

    def _time(self) -> int:
        """t, the number of the update that comes next, from 1."""
        return 1 + next((int(state["step"]) for state in self.state.values()), 0)


@torch.no_grad()
def average_into(
    average: nn.Module, newest: nn.Module, decay: float, updates: int
) -> None:
    """Move the running average of a model's weights on by one update.

    Constant steps keep Adam's weights in motion around where they should be; their mean
    is nearer to it than any of them.

    Args:
        average: the averaged weights; changed.
        newest: the weights after the update, of a model of the same kind.
        decay: what is kept of the average, from 0 (it becomes the newest, to the bit)
            to below 1.
        updates: how many there were. Few count as a shorter decay, (1 + n) / (10 + n)
            at most, as TensorFlow 1 has it, so that the initial weights are soon
            forgotten.
    """
    kept = min(decay, (1 + updates) / (10 + updates))
    torch._foreach_lerp_(
        [*average.parameters()], [*newest.parameters()], weight=1 - kept
    )
