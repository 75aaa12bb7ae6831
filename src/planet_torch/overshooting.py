"""Overshooting: terms of the loss for what is predicted several steps ahead.

A chunk of L rows has L places from which to imagine: the state before its first row,
which is zero in the paper, and each posterior but the last. The filter has imagined one
row from each, the priors; from there the model goes on to D rows. What is d steps ahead
of the place before row t is in row t + d - 1; what would be past the end of the chunk
is never computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from planet_torch.dynamics import State
from planet_torch.objectives import (
    Filtered,
    Term,
    decoding_error,
    divergence,
    kl_divergence,
)
from planet_torch.world_model import WorldModel


def imagine_ahead(
    model: WorldModel, chunk: Filtered, distance: int, generator: torch.Generator
) -> Iterator[State]:
    """The states of rows that were imagined from d = 1, 2, ... D rows before them.

    The gradient flows through the posteriors from which the roll-outs start.

    Yields:
        For each d the rows d - 1 to L - 1, (B, L - d + 1, ...).

    Raises:
        ValueError: if D is not from 1 to L.
    """
    batch, length, _ = chunk.action.shape
    if not 1 <= distance <= length:
        raise ValueError(
            f"the overshooting distance (={distance}) must be from 1 to the number of "
            f"rows in a chunk (={length})"
        )
    dynamics = model.dynamics
    noise = model.noise(distance - 1, batch, length, generator=generator)
    actions = dynamics.project_action(chunk.action)
    state = chunk.priors  # d = 1
    yield state
    for d in range(1, distance):
        # The last row of the chunk has nowhere to go.
        carry = dynamics.advance(state[:, :-1], actions[:, d:])
        state = dynamics.prior(carry, noise[d - 1, :, d:])
        yield state


@dataclass(frozen=True)
class LatentOvershooting(Term):
    """The divergence over all distances up to D (Eq. 7), in place of ``Divergence``.

    1/D * sum over d = 1..D of beta_d * KL(q(s_t | o_<=t) || p(s_t | o_<=t-d))

    As reference, first release: the free nats are taken from each row's KL; each
    distance is averaged over the rows it reaches, and these averages have equal shares
    however few their rows; posteriors are constants as targets of d > 1, and not as
    starts. The last release misses distance D and divides zero by zero past the end.

    Args:
        betas: one for each distance; with a single one this is ``Divergence``.
        free_nats: nats a row, at each distance, that cost nothing.
        balance: for distance 1, as in ``Divergence``.
        weight: factor in the loss.
    """

    betas: Sequence[float]
    free_nats: float = 3.0
    balance: float | None = None
    weight: float = 1.0
    name = "latent_overshooting"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        constants = chunk.posteriors.map(torch.detach)
        imagined = imagine_ahead(model, chunk, len(self.betas), generator)
        losses, shown = [], []
        for d, (beta, priors) in enumerate(zip(self.betas, imagined, strict=True)):
            if d == 0:
                kl = divergence(chunk.posteriors, priors, self.balance)
            else:
                kl = kl_divergence(constants[:, d:], priors)
            losses.append(beta * (kl - self.free_nats).clamp(min=0).mean())
            shown.append(kl.mean())
        return torch.stack(losses).mean(), torch.stack(shown).mean()


@dataclass(frozen=True)
class ObservationOvershooting(Term):
    """-log p(o_t | s_t) where s_t was imagined d rows before (Amos et al., 2018).

    It comes on top of the one-step term (Figure 3b), as the mean over d = 1..D of the
    means over the rows that each distance reaches. No release of PlaNet has it.

    Args:
        distance: D.
        decoded: the share of the rows that is decoded at each distance, in (0, 1];
            below 1 an unbiased estimate whose cost falls in proportion.
        weight: factor in the loss.
    """

    distance: int
    decoded: float = 1.0
    weight: float = 1.0
    name = "observation_overshooting"

    def __call__(  # noqa: D102
        self, model: WorldModel, chunk: Filtered, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        losses = []
        imagined = imagine_ahead(model, chunk, self.distance, generator)
        for d, states in enumerate(imagined):
            target = chunk.observation[:, d:]
            losses.append(
                decoding_error(model, states.features, target, self.decoded, generator)
            )
        loss = torch.stack(losses).mean()
        return loss, loss
