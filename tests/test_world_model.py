"""Imagined returns, filtering, and what the model reads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from planet_torch.critic import Critic
from planet_torch.dynamics import State
from planet_torch.recurrent import RNN, RSSM
from planet_torch.ssm import SSM
from planet_torch.world_model import ROWS
from toy_models import counting_model, gaussian, small_images, small_model, stream


def certain(*values):
    return gaussian(torch.tensor(values)[:, None])


def test_a_return_is_the_plain_sum_of_the_predicted_rewards():
    """From 100, actions 1, 2, 4: states 101, 103, 107, whose rewards sum to 311."""
    returns_of = counting_model().returns_from(certain(100), stream())
    actions = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1)
    assert returns_of(actions).tolist() == [[311.0]]


def test_each_candidate_starts_in_the_state_of_its_own_environment():
    """The released code repeats states and actions in different orders."""
    returns_of = counting_model().returns_from(certain(100, 200), stream())
    actions = torch.tensor([[1.0, 2, 4], [10, 20, 40]])[..., None, None]
    assert returns_of(actions).tolist() == [[101, 102, 104], [210, 220, 240]]


@settings(max_examples=5)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_environments_planned_for_together_are_as_one_by_one(batch, candidates, length):
    model = small_model()
    # Make samples certain, so that the order in which noise is drawn is no matter.
    for head in (model.dynamics.prior_head, model.dynamics.posterior_head):
        head.min_stddev = 0.0
        nn.init.zeros_(head.stddev.weight)
        nn.init.constant_(head.stddev.bias, -200.0)
    observation = model.prepare(small_images(batch), stream())
    start = model.filter(
        model.dynamics.initial(batch), observation, torch.zeros(batch, 2), stream()
    )
    actions = torch.randn(batch, candidates, length, 2, generator=stream(1))
    together = model.returns_from(start, stream())(actions)
    assert together.shape == (batch, candidates)
    for b in range(batch):
        for j in range(candidates):
            returns_of = model.returns_from(start[b : b + 1], stream())
            alone = returns_of(actions[b : b + 1, j : j + 1])
            assert_close(together[b, j], alone[0, 0])


def test_candidates_share_the_start_sample_but_not_the_noise_after_it():
    model = small_model()
    state = State(
        torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1, 3), torch.zeros(1, 4)
    )
    starts = []
    advance = model.dynamics.advance
    model.dynamics.advance = lambda state, action: (
        starts.append(state.sample) or advance(state, action)
    )
    returns = model.returns_from(state, stream())(torch.zeros(1, 6, 2, 2))
    assert_close(starts[0], torch.ones(6, 3))  # the sample, not the mean
    assert len(returns.unique()) == 6


@pytest.mark.parametrize("kind", [RSSM, SSM, RNN])
def test_candidates_with_starts_of_their_own_draw_them_from_the_posterior(kind):
    """As Algorithm 2 has it. Of a deterministic model the posterior is a point."""
    model, count = small_model(kind), 4000
    model.own_starts = True
    belief = torch.randn(2, model.dynamics.belief_size, generator=stream(2))
    mean = torch.tensor([[1.0, -2.0, 0.0], [5.0, 6.0, 7.0]])
    stddev = torch.tensor([[0.5, 1.0, 2.0], [0.1, 0.2, 0.3]])
    starts = []
    advance = model.dynamics.advance
    model.dynamics.advance = lambda state, action: (
        starts.append(state) or advance(state, action)
    )
    state = State(mean, stddev, torch.full((2, 3), 99.0), belief)
    model.returns_from(state, stream())(torch.zeros(2, count, 1, 2))
    start = starts[0].map(lambda part: part.reshape(2, count, -1))
    assert_close(start.belief, belief[:, None].expand_as(start.belief))
    assert_close(start.sample.mean(dim=1), mean, atol=0.1, rtol=0)
    spread = 0 * stddev if kind is RNN else stddev
    assert_close(start.sample.std(dim=1), spread, atol=0.01, rtol=0.05)


def test_an_agent_of_means_sees_no_noise():
    """It filters to means, and the returns of equal candidates are equal."""
    model = small_model()
    model.acts_on_means = True
    observation, action = torch.randn(2, 3, 16, 16), torch.randn(2, 2)
    start = model.filter(model.dynamics.initial(2), observation, action, stream(1))
    again = model.filter(model.dynamics.initial(2), observation, action, stream(2))
    assert_close(start.sample, start.mean, atol=0, rtol=0)
    assert_close(start.features, again.features, atol=0, rtol=0)
    returns = model.returns_from(start, stream())(torch.ones(2, 6, 3, 2))
    assert_close(returns, returns[:, :1].expand(2, 6))
    # What learns is as it was.
    chunk = observation[:, None], action[:, None]
    posteriors, _ = model.observe(*chunk, stream())
    assert (posteriors.sample != posteriors.mean).all()


def test_filtering_step_by_step_gives_the_states_of_the_chunk():
    """Observation and noise of one row each; the action led to that observation."""
    model = counting_model()
    rows = torch.tensor([100.0, 200, 300]).reshape(1, 3, 1)
    posteriors, priors = model.observe(
        rows, torch.tensor([0.0, 1, 2]).reshape(1, 3, 1), stream()
    )
    assert posteriors.sample.flatten().tolist() == [100, 200, 300]
    assert priors.sample.flatten().tolist() == [0, 101, 202]
    state = model.filter(priors[:, 2], rows[:, 0], torch.ones(1, 1), stream())
    assert state.sample.tolist() == [[100]]


def test_filter_is_a_step_with_noise_of_its_stream():
    model = small_model()
    observation, action = model.prepare(small_images(4), stream()), torch.randn(4, 2)
    before = model.dynamics.initial(4)
    state = model.filter(before, observation, action, stream(5))
    noise = torch.randn(4, 3, generator=stream(5))
    embedding = model.embed(observation[:, None])[:, 0]
    step = model.dynamics.step(before, action, embedding, noise)
    assert_close(state.features, step.features)


@pytest.mark.parametrize("bits", [1, 5, 8])
def test_images_are_read_with_the_models_bits_and_fresh_noise(bits):
    model, generator = small_model(bits=bits), stream()
    first, second = (model.prepare(small_images(2, 3), generator) for _ in range(2))
    assert first.shape == (2, 3, 3, 16, 16)
    assert 0 < (first - second).abs().max() < 2.0**-bits
    assert (first - second).ne(0).float().mean() > 0.99


def test_vectors_are_read_as_they_are():
    vector = torch.randn(2, 3, 5, dtype=torch.float64)
    assert torch.equal(small_model().prepare(vector, stream()), vector.float())


def test_there_is_no_way_to_the_heads_but_through_the_state():
    model = small_model()
    assert model.decoder.dense.in_features == model.dynamics.feature_size
    assert model.reward[0].in_features == model.dynamics.feature_size


def test_rewards_of_slices_are_those_of_the_whole():
    model = small_model()
    features = torch.randn(2 * ROWS + 7, model.dynamics.feature_size)
    assert_close(model.rewards_of(features), model.reward(features).squeeze(-1))


def towards(place):
    """A model that counts, whose critic likes to go to a place, and to stay there."""
    model = counting_model()
    model.value = Critic(1, 1, layers=0, units=0)

    def choose(features):
        return (place - features).sign()

    model.value.choose = choose
    return model


@pytest.mark.parametrize("count", [1, 2])
def test_greedy_plans_follow_the_critic_in_imagination(count):
    """From 1 and 5 to 3, and then no further; others beside them change nothing."""
    plans = towards(3.0).greedy_plans(certain(1, 5), count, 4, stream())
    assert plans[:, 0].flatten().tolist() == [1, 1, 0, 0, -1, -1, 0, 0]


def test_further_greedy_plans_stray_more_and_more():
    """The critic would stay: what moves strays, up to half of the actions."""
    plans = towards(0.0).greedy_plans(certain(0, 0), 5, 2000, stream())
    assert plans.shape == (2, 5, 2000, 1)
    assert plans[:, 0].eq(0).all()
    bounds = torch.tensor([-1.0, 0.0, 1.0])
    assert torch.isin(plans, bounds).all()
    model = towards(0.0)
    model.value.choose = torch.zeros_like  # wherever it is
    strays = model.greedy_plans(certain(0), 5, 4000, stream()).abs().mean((0, 2, 3))
    assert_close(strays, torch.linspace(0, 0.5, 5), atol=0.03, rtol=0)
