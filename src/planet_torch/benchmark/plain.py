"""The reference of ``planet benchmark --reference``: PlaNet as one writes it first.

The same networks and the same arithmetic, without anything that makes them faster:
convolutions of the whole batch in the usual memory order, a time loop that joins its
inputs at each step and asks for prior and posterior, ``torch.nn.GRUCell``, PyTorch's
Adam, and a planner that takes one environment after another. They are of the RSSM, the
one-step bound, the behaviour's value and the cross-entropy method, in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planet_torch.build_envs import Spaces
from planet_torch.build_model import scalar_head
from planet_torch.config import Config
from planet_torch.networks import (
    after_convolution,
    after_linear,
    decoder_kernels,
    encoder_stages,
)
from planet_torch.value import Value, lambda_return

ONLY: dict[str, object] = {
    "model.dynamics": "rssm",
    "model.candidate_starts": "shared",
    "objective.reward_overshooting": 0,
    "objective.overshooting": 0,
    "objective.observation_overshooting": 0,
    "objective.global_prior_weight": 0.0,
    "objective.value_of": "behaviour",
    "planner.method": "cem",
    "planner.decision_budget_ms": None,
}
"""Options of which the loops know one value alone."""

Moments = tuple[Tensor, Tensor]  # mean and standard deviation


class Plain(nn.Module):
    """An RSSM with its heads, its loss and its search.

    Raises:
        ValueError: if the config is of anything else.
    """

    def __init__(self, config: Config, spaces: Spaces) -> None:
        super().__init__()
        check(config)
        model = self.model = config.model
        self.config = config
        self.discount = config.objective.value_discount
        if len(spaces.observation) != 3:
            raise ValueError("the reference loops of a benchmark need pictures")
        pixels, _, channels = spaces.observation
        self.action_size = spaces.action_size
        self.encoder = _encoder(config, pixels, channels)
        with torch.no_grad():
            embedding = self.encoder(torch.zeros(1, channels, pixels, pixels)).shape[1]
        S, D, units = model.stochastic_size, model.belief_size, model.units
        after = (units, model.activation, model.norm)
        self.input = nn.Sequential(
            nn.Linear(S + self.action_size, units), after_linear(*after)
        )
        self.cell = nn.GRUCell(units, D)
        self.prior, self.posterior = (
            nn.Sequential(
                nn.Linear(width, units), after_linear(*after), nn.Linear(units, 2 * S)
            )
            for width in (D, D + embedding)
        )
        self.decoder = _decoder(config, pixels, channels)
        self.reward = scalar_head(model, S + D)
        self.value = scalar_head(model, S + D) if self.discount else None

    def prepare(self, image: Tensor) -> Tensor:
        """Pictures (..., H, W, C) uint8 as (..., C, H, W) with noise."""
        levels = 2**self.model.image_bits
        value = torch.floor(image.float() / (256 / levels)) / levels - 0.5
        noise = torch.rand_like(value) / levels
        return (value + noise).movedim(-1, -3).contiguous()

    def moments(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation."""
        mean, stddev = hidden.chunk(2, dim=-1)
        return mean, F.softplus(stddev) + self.model.min_stddev

    def advance(self, sample: Tensor, belief: Tensor, action: Tensor) -> Tensor:
        """The next belief."""
        x: Tensor = self.input(torch.cat([sample, action], dim=-1))
        new: Tensor = self.cell(x, belief)
        return new

    def loss(self, image: Tensor, action: Tensor, reward: Tensor) -> Tensor:
        """The one-step bound of a chunk, with everything decoded."""
        batch, length = reward.shape
        observation = self.prepare(image)
        embedding = self.encoder(observation.flatten(0, 1)).reshape(batch, length, -1)
        sample = embedding.new_zeros(batch, self.model.stochastic_size)
        belief = embedding.new_zeros(batch, self.model.belief_size)
        features, divergences = [], []
        for t in range(length):
            belief = self.advance(sample, belief, action[:, t])
            prior = self.moments(self.prior(belief))
            hidden = torch.cat([belief, embedding[:, t]], dim=-1)
            mean, stddev = self.moments(self.posterior(hidden))
            sample = mean + stddev * torch.randn_like(mean)
            features.append(torch.cat([sample, belief], dim=-1))
            divergences.append(self.divergence((mean, stddev), prior))
        together = torch.stack(features, dim=1).flatten(0, 1)
        weights = self.config.objective
        share = torch.randperm(batch * length, device=image.device)
        share = share[: max(1, round(weights.decoded * batch * length))]
        images = self.decoder(together[share])
        error = (images - observation.flatten(0, 1)[share]).square().sum((1, 2, 3))
        reward_error = self.reward(together).squeeze(-1) - reward.flatten()
        kl = (torch.stack(divergences) - weights.free_nats).clamp(min=0)
        loss: Tensor = (
            weights.observation_weight * 0.5 * error.mean()
            + weights.reward_weight * 0.5 * reward_error.square().mean()
            + weights.kl_weight * kl.mean()
        )
        if self.value is not None:
            loss = loss + self.value_loss(torch.stack(features, dim=1), reward)
        return loss

    def divergence(self, q: Moments, p: Moments) -> Tensor:
        """The divergence of one step, its gradient shared out if that is asked for."""
        share = self.config.objective.kl_balance
        if share is None:
            return _kl(q, p)
        held = [(mean.detach(), stddev.detach()) for mean, stddev in (q, p)]
        return share * _kl(held[0], p) + (1 - share) * _kl(q, held[1])

    def value_loss(self, features: Tensor, reward: Tensor) -> Tensor:
        """Half the squared error of the value from what followed (see ``Value``)."""
        assert self.value is not None
        value = self.value(features.detach()).squeeze(-1)
        worth = reward * (1 - self.discount)
        target = lambda_return(worth, value.detach(), self.discount, Value.trace)
        loss: Tensor = 0.5 * (value[:, :-1] - target).square().mean()
        return loss

    @torch.no_grad()
    def act(self, images: Tensor) -> Tensor:
        """A decision for each environment, one after another."""
        return torch.stack([self.plan(image) for image in images])

    def plan(self, image: Tensor) -> Tensor:
        """The first action of a plan by the cross-entropy method."""
        search, model = self.config.planner, self.model
        J, H, A = search.candidates, search.horizon, self.action_size
        embedding = self.encoder(self.prepare(image[None]))
        zero = embedding.new_zeros
        belief = self.advance(
            zero(1, model.stochastic_size), zero(1, model.belief_size), zero(1, A)
        )
        moments = self.posterior(torch.cat([belief, embedding], dim=-1))
        start = self.acting(*self.moments(moments))
        mean, stddev = zero(H, A), torch.ones_like(zero(H, A))
        for _ in range(search.iterations):
            noise = torch.randn(J, H, A, device=image.device)
            actions = (mean + stddev * noise).clamp(-1, 1)
            returns = self.returns(start.expand(J, -1), belief.expand(J, -1), actions)
            elites = actions[returns.topk(search.elites).indices]
            mean, stddev = elites.mean(dim=0), elites.std(dim=0, correction=0)
        return mean[0]

    def acting(self, mean: Tensor, stddev: Tensor) -> Tensor:
        """The state that an agent goes by."""
        if self.config.planner.acts_on == "means":
            return mean
        return mean + stddev * torch.randn_like(mean)

    def returns(self, sample: Tensor, belief: Tensor, actions: Tensor) -> Tensor:
        """The imagined returns (J,) of candidates (J, H, A)."""
        value = self.value if self.config.planner.value else None
        discount = 1.0 if value is None else self.discount
        total, factor = belief.new_zeros(len(actions)), 1.0
        for t in range(actions.shape[1]):
            belief = self.advance(sample, belief, actions[:, t])
            sample = self.acting(*self.moments(self.prior(belief)))
            features = torch.cat([sample, belief], dim=-1)
            total = total + factor * self.reward(features).squeeze(-1)
            factor *= discount
        if value is not None:
            total = total + factor / (1 - discount) * value(features).squeeze(-1)
        return total


def check(config: Config) -> None:
    """Raise ValueError at what the loops cannot do."""
    for name, known in ONLY.items():
        group, _, option = name.partition(".")
        value = getattr(getattr(config, group), option)
        if value != known:
            raise ValueError(
                f"the reference loops know {name} {known!r} alone, not {value!r}; "
                "leave --reference out"
            )


def _kl(q: Moments, p: Moments) -> Tensor:
    """KL(q || p) of diagonal Gaussians."""
    distributions = (torch.distributions.Normal(*moments) for moments in (q, p))
    divergence: Tensor = torch.distributions.kl_divergence(*distributions)
    return divergence.sum(dim=-1)


def _encoder(config: Config, pixels: int, channels: int) -> nn.Sequential:
    """Convolutions of kernel 4 and stride 2."""
    model = config.model
    layers: list[nn.Module] = []
    widths = [model.width * 2**i for i in range(encoder_stages(pixels))]
    for before, after in zip([channels, *widths], widths, strict=False):
        layers.append(nn.Conv2d(before, after, 4, stride=2))
        layers.append(after_convolution(after, model.activation, model.norm))
    return nn.Sequential(*layers, nn.Flatten())


def _decoder(config: Config, pixels: int, channels: int) -> nn.Sequential:
    """A linear layer, then transposed convolutions of stride 2."""
    model, kernels = config.model, decoder_kernels(pixels)
    dense = model.width * 2 ** (len(kernels) + 1)
    hidden = [model.width * 2**i for i in reversed(range(len(kernels) - 1))]
    widths = [dense, *hidden, channels]
    layers: list[nn.Module] = [
        nn.Linear(model.stochastic_size + model.belief_size, dense),
        nn.Unflatten(1, (dense, 1, 1)),
    ]
    for kernel, before, after in zip(kernels, widths, widths[1:], strict=False):
        layers.append(nn.ConvTranspose2d(before, after, kernel, stride=2))
        layers.append(after_convolution(after, model.activation, model.norm))
    return nn.Sequential(*layers[:-1])
