"""The models learn a world whose answers are known, and look ahead in it."""

import pytest
import torch
from torch import nn

from planet_torch.chunk import Chunk
from planet_torch.dynamics import Sizes
from planet_torch.networks import MLP
from planet_torch.objectives import Divergence, Observation, Reward
from planet_torch.optimiser import Adam
from planet_torch.recurrent import RNN, RSSM, ReleasedRNN
from planet_torch.world_model import WorldModel
from toy_models import objective, stream


def pushed_point(batch, length, generator):
    """A point on a line, whose place is observed and whose speed actions change."""
    first = torch.rand(batch, 2, 1, 1, generator=generator) * 2 - 1
    action = torch.rand(batch, length, 1, generator=generator) * 2 - 1
    speed = 0.3 * first[:, 0] + 0.3 * action.cumsum(1)
    place = first[:, 1] + 0.3 * speed.cumsum(1)
    return Chunk(place, action, place.squeeze(-1).tanh())


def learned(kind, divergence, updates=250):
    """A small model of the pushed point."""
    torch.manual_seed(0)
    small = {"stochastic_size": 4, "belief_size": 16, "units": 16}
    dynamics = kind(Sizes(1, 1, **small, activation="elu"))
    heads = [MLP(dynamics.feature_size, 1, layers=1, units=16) for _ in range(2)]
    model = WorldModel(nn.Identity(), dynamics, *heads)
    terms = [Observation(10.0), Reward(10.0), divergence]
    optimiser, generator = Adam(model.parameters(), 5e-3, 1e-5), stream()
    for _ in range(updates):
        chunk = pushed_point(16, 10, generator)
        loss, _ = objective(model, terms, chunk, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


@torch.no_grad()
def unexplained(model, context=4):
    """The share of the variance of open-loop rewards that it does not predict."""
    generator = stream(1)
    chunk = pushed_point(200, 12, generator)
    past, future = slice(context), slice(context, None)
    posteriors, _ = model.observe(
        chunk.observation[:, past], chunk.action[:, past], generator
    )
    noise = model.noise(200, 12 - context, generator=generator)
    states = model.dynamics.imagine(posteriors[:, -1], chunk.action[:, future], noise)
    error = model.reward(states.features).squeeze(-1) - chunk.reward[:, future]
    return (error.square().mean() / chunk.reward[:, future].var()).item()


@pytest.mark.parametrize("kind", [RSSM, RNN])
def test_rewards_are_predicted_eight_steps_ahead(kind):
    assert unexplained(learned(kind, Divergence(1.0, free_nats=0.5))) < 0.5


def test_the_released_recipe_for_the_rnn_cannot_look_ahead():
    """Its prior is never trained, which is why there is another RNN."""
    assert unexplained(learned(ReleasedRNN, Divergence(0.0))) > 0.8
