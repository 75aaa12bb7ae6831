"""The deep recurrent model of Figure 8, with which the paper tries overshooting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from planet_torch.dynamics import Dynamics, GaussianHead, Sizes, State
from planet_torch.networks import GRUCell, Linear, after_linear


@dataclass(frozen=True)
class TwoBeliefs(State):
    """A state whose sample stands between two beliefs; ``belief`` is the later one.

    Attributes:
        encoder: (*batch, D) the belief before the sample, which no head reads.
    """

    encoder: Float[Tensor, "*batch D"]

    @property
    def features(self) -> Float[Tensor, "*batch D"]:
        """The later belief alone: what is observed reaches it by the sample."""
        return self.belief


class DRNN(Dynamics):
    """Two GRUs with a sample between them (``drnn`` in the released code).

    e_t = GRU([o_t, a_t-1, s_t-1], e_t-1), q(s_t | e_t, s_t-1, h_t-1), h_t = GRU(s_t,
    h_t-1). The prior is the same function with zeros for o_t. As reference, the hidden
    layer has ReLU, whatever the activation of the other networks.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        S, D = sizes.stochastic_size, sizes.belief_size
        self.stochastic_size, self.belief_size = S, D
        self.embedding_size = sizes.embedding_size
        self.widths = [sizes.action_size, S, D, D]
        inputs = sizes.embedding_size + sizes.action_size + S
        self.encoder = GRUCell(inputs, D, sizes.norm)
        self.hidden = Linear(2 * D + S, sizes.units)
        self.after_hidden = after_linear(sizes.units, "relu", sizes.norm)
        self.head = GaussianHead(sizes.units, S, sizes.min_stddev)
        self.decoder = GRUCell(S, D, sizes.norm)

    @property
    def feature_size(self) -> int:  # noqa: D102
        return self.belief_size

    def initial(self, *batch: int) -> TwoBeliefs:  # noqa: D102
        zero = super().initial(*batch)
        return TwoBeliefs(zero.mean, zero.stddev, zero.sample, zero.belief, zero.belief)

    def project_action(self, action: Tensor) -> Tensor:  # noqa: D102
        return action

    def project_embedding(self, embedding: Tensor) -> Tensor:  # noqa: D102
        return embedding

    def advance(self, state: State, action: Tensor) -> Tensor:
        """All that came before, side by side."""
        assert isinstance(state, TwoBeliefs)
        parts = [action, state.sample, state.encoder, state.belief]
        return torch.cat(parts, dim=-1)

    def prior(self, carry: Tensor, noise: Tensor | None) -> State:  # noqa: D102
        nothing = carry.new_zeros(*carry.shape[:-1], self.embedding_size)
        return self.posterior(carry, nothing, noise)

    def posterior(  # noqa: D102
        self, carry: Tensor, embedding: Tensor, noise: Tensor | None
    ) -> State:
        action, sample, encoder, belief = torch.split(carry, self.widths, dim=-1)
        seen = torch.cat([embedding, action, sample], dim=-1)
        encoder = self.encoder(seen, encoder)
        inputs = torch.cat([encoder, sample, belief], dim=-1)
        mean, stddev = self.head(self.after_hidden(self.hidden(inputs)))
        drawn = self.state(mean, stddev, noise, belief)
        belief = self.decoder(drawn.sample, belief)
        return TwoBeliefs(mean, stddev, drawn.sample, belief, encoder)
