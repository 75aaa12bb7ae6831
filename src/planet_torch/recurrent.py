"""Dynamics with a belief that a GRU moves: the RSSM, and the RNNs beside it."""

from __future__ import annotations

import functools

from torch import Tensor

from planet_torch.dynamics import Dynamics, GaussianHead, PointHead, Sizes, State
from planet_torch.networks import GRUCell, Linear, SplitLinear, after_linear


class Recurrent(Dynamics):
    """A belief that a GRU moves, and a head on it for the rest of the state.

    x_t = f(s_t-1, a_t-1), h_t = GRU(x_t, h_t-1), p(s_t | h_t), q(s_t | h_t, o_t).
    The prior reads the belief h_t, as in the camera-ready paper and the last release
    (the first one read x_t, a defect).
    """

    head: type[GaussianHead | PointHead] = GaussianHead

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        S, D, units = sizes.stochastic_size, sizes.belief_size, sizes.units
        after = functools.partial(after_linear, units, sizes.activation, sizes.norm)
        self.stochastic_size, self.belief_size = S, D
        self.input = SplitLinear((S, sizes.action_size), units)
        self.after_input = after()
        self.cell = GRUCell(units, D, sizes.norm)
        self.prior_hidden = Linear(D, units)
        self.after_prior = after()
        self.prior_head = self.head(units, S, sizes.min_stddev)
        self.posterior_hidden = SplitLinear((D, sizes.embedding_size), units)
        self.after_posterior = after()
        self.posterior_head = self.head(units, S, sizes.min_stddev)

    def project_action(self, action: Tensor) -> Tensor:  # noqa: D102
        return self.input.part(1, action)

    def project_embedding(self, embedding: Tensor) -> Tensor:  # noqa: D102
        return self.posterior_hidden.part(1, embedding)

    def advance(self, state: State, action: Tensor) -> Tensor:
        """The belief h_t."""
        x = self.after_input(self.input.part(0, state.sample) + action)
        belief: Tensor = self.cell(x, state.belief)
        return belief

    def prior(self, carry: Tensor, noise: Tensor | None) -> State:  # noqa: D102
        hidden = self.after_prior(self.prior_hidden(carry))
        if noise is None:  # a plan: nobody reads the half of the head that is left out
            mean = self.prior_head.mean(hidden)
            return State(mean, mean[..., :0], mean, carry)
        mean, stddev = self.prior_head(hidden)
        return self.state(mean, stddev, noise, carry)

    def posterior(  # noqa: D102
        self, carry: Tensor, embedding: Tensor, noise: Tensor | None
    ) -> State:
        hidden = self.after_posterior(self.posterior_hidden.part(0, carry) + embedding)
        mean, stddev = self.posterior_head(hidden)
        return self.state(mean, stddev, noise, carry)


class RSSM(Recurrent):
    """Recurrent state-space model: deterministic and stochastic (Eq. 4, Figure 2c)."""


class RNN(Recurrent):
    """Deterministic only (Figure 2a): the RSSM without noise, whose prior is trained.

    The state is a point. As a Gaussian it has the smallest standard deviation that the
    RSSM could have, so the divergence is the squared distance of the prior's point from
    the posterior's, in nats: it trains the prior to give what planning feeds the GRU.

    Differs from the released recipe, which is ``ReleasedRNN``.
    """

    head = PointHead
    noisy = False


class ReleasedRNN(Recurrent):
    """Deterministic only, by the recipe of the released README (``mean_only``).

    To follow it, give the divergence the weight 0. Then nothing trains the prior, and
    what planning feeds the GRU is the output of a layer as it was initialised.
    """

    noisy = False
