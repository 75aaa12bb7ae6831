"""Dynamics that are stochastic only."""

from __future__ import annotations

import torch
from torch import Tensor

from planet_torch.dynamics import Dynamics, GaussianHead, Sizes, State
from planet_torch.networks import SplitLinear, after_linear


class SSM(Dynamics):
    """State-space model, stochastic only (Figure 2b; ``ssm`` in the released code).

    p(s_t | s_t-1, a_t-1), and a posterior that reads the prior's moments and o_t. The
    belief has width 0, whatever ``belief_size``: all memory is in the sample.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        S, units = sizes.stochastic_size, sizes.units
        self.stochastic_size, self.belief_size = S, 0
        self.input = SplitLinear((S, sizes.action_size), units)
        self.after_input = after_linear(units, sizes.activation, sizes.norm)
        self.prior_head = GaussianHead(units, S, sizes.min_stddev)
        self.posterior_hidden = SplitLinear((2 * S, sizes.embedding_size), units)
        self.after_posterior = after_linear(units, sizes.activation, sizes.norm)
        self.posterior_head = GaussianHead(units, S, sizes.min_stddev)

    def project_action(self, action: Tensor) -> Tensor:  # noqa: D102
        return self.input.part(1, action)

    def project_embedding(self, embedding: Tensor) -> Tensor:  # noqa: D102
        return self.posterior_hidden.part(1, embedding)

    def advance(self, state: State, action: Tensor) -> Tensor:
        """The prior's mean and standard deviation side by side."""
        hidden = self.after_input(self.input.part(0, state.sample) + action)
        return torch.cat(self.prior_head(hidden), dim=-1)

    def prior(self, carry: Tensor, noise: Tensor | None) -> State:  # noqa: D102
        mean, stddev = carry.chunk(2, dim=-1)
        return self.state(mean, stddev, noise, carry[..., :0])

    def posterior(  # noqa: D102
        self, carry: Tensor, embedding: Tensor, noise: Tensor | None
    ) -> State:
        hidden = self.after_posterior(self.posterior_hidden.part(0, carry) + embedding)
        mean, stddev = self.posterior_head(hidden)
        return self.state(mean, stddev, noise, carry[..., :0])
