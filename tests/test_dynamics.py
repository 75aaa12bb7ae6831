"""One contract for all dynamics, and the equations of each."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from planet_torch.build_model import DYNAMICS
from planet_torch.drnn import DRNN, TwoBeliefs
from planet_torch.dynamics import Sizes, State, stack
from planet_torch.objectives import kl_divergence
from planet_torch.recurrent import RNN, RSSM, ReleasedRNN
from planet_torch.ssm import SSM
from toy_models import stream

PARTS = ("mean", "stddev", "sample", "belief")
SIZES = {"stochastic_size": 3, "belief_size": 4, "units": 5}
FAIR = [kind for kind in DYNAMICS if kind != "rnn-released"]


def build(kind, norm="none"):
    torch.manual_seed(0)
    return DYNAMICS[kind](Sizes(2, 6, **SIZES, norm=norm))


def assert_states_close(actual, expected):
    for part in PARTS:
        assert_close(getattr(actual, part), getattr(expected, part), msg=part)


def chunk(dynamics, batch=3, length=5, seed=1):
    """Embeddings, actions and noise for ``observe``."""
    rows, generator = (batch, length), stream(seed)
    shapes = [(*rows, 6), (*rows, 2), (2, *rows, dynamics.stochastic_size)]
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


@pytest.fixture(params=DYNAMICS)
def dynamics(request):
    return build(request.param)


# The contract.


def test_shapes(dynamics):
    posteriors, priors = dynamics.observe(*chunk(dynamics))
    for state in (posteriors, priors):
        assert state.mean.shape == (3, 5, dynamics.stochastic_size)
        assert state.belief.shape == (3, 5, dynamics.belief_size)
        assert state.features.shape == (3, 5, dynamics.feature_size)


@pytest.mark.parametrize("kind", [k for k in DYNAMICS if k != "drnn"])
def test_heads_read_the_sample_and_then_the_belief(kind):
    _, priors = build(kind).observe(*chunk(build(kind)))
    together = torch.cat([priors.sample, priors.belief], dim=-1)  # as reference
    assert torch.equal(priors.features, together)


def test_the_first_state_is_zero(dynamics):
    state = dynamics.initial(2, 3)
    assert state.features.shape == (2, 3, dynamics.feature_size)
    assert all(getattr(state, part).eq(0).all() for part in PARTS)


@settings(max_examples=10)
@given(st.sampled_from(sorted(DYNAMICS)), st.integers(1, 4), st.integers(1, 5))
def test_a_batch_is_a_stack_of_singles(kind, batch, length):
    dynamics = build(kind)
    embeddings, actions, noise = chunk(dynamics, batch, length)
    posteriors, priors = dynamics.observe(embeddings, actions, noise)
    start = posteriors[:, 0]
    imagined = dynamics.imagine(start, actions, noise[0])
    for b in range(batch):
        one = slice(b, b + 1)
        alone = dynamics.observe(embeddings[one], actions[one], noise[:, one])
        assert_states_close(posteriors[one], alone[0])
        assert_states_close(priors[one], alone[1])
        single = dynamics.imagine(start[one], actions[one], noise[0, one])
        assert_states_close(imagined[one], single)


@pytest.mark.parametrize("cut", [1, 3])
def test_observe_on_a_prefix_is_the_prefix_and_goes_on_from_it(dynamics, cut):
    embeddings, actions, noise = chunk(dynamics)
    whole = dynamics.observe(embeddings, actions, noise)
    head = dynamics.observe(embeddings[:, :cut], actions[:, :cut], noise[:, :, :cut])
    last = head[0][:, -1]
    tail = dynamics.observe(
        embeddings[:, cut:], actions[:, cut:], noise[:, :, cut:], last
    )
    for whole_part, head_part, tail_part in zip(whole, head, tail, strict=True):
        assert_states_close(whole_part[:, :cut], head_part)
        assert_states_close(whole_part[:, cut:], tail_part)


def test_imagine_with_no_actions_is_empty(dynamics):
    start = dynamics.initial(3)
    nothing = dynamics.imagine(
        start, torch.zeros(3, 0, 2), torch.zeros(3, 0, dynamics.stochastic_size)
    )
    assert nothing.features.shape == (3, 0, dynamics.feature_size)


def test_a_step_is_observe_of_one_row(dynamics):
    embeddings, actions, noise = chunk(dynamics)
    posteriors, _ = dynamics.observe(embeddings, actions, noise)
    state = dynamics.initial(3)
    for t in range(5):
        state = dynamics.step(state, actions[:, t], embeddings[:, t], noise[0, :, t])
        assert_states_close(state, posteriors[:, t])


def test_a_step_without_noise_is_at_its_mean(dynamics):
    embeddings, actions, noise = (part[..., 0, :] for part in chunk(dynamics))
    start = dynamics.initial(3)
    still = dynamics.step(start, actions, embeddings, None)
    assert torch.equal(still.sample, still.mean)
    zeros = dynamics.step(start, actions, embeddings, torch.zeros_like(noise[0]))
    assert_states_close(still, zeros)


def test_imagine_without_noise_follows_the_means(dynamics):
    start = dynamics.observe(*chunk(dynamics))[0][:, 2]
    _, actions, noise = chunk(dynamics)
    still = dynamics.imagine(start, actions, None)
    assert torch.equal(still.sample, still.mean)
    zeros = dynamics.imagine(start, actions, torch.zeros_like(noise[0]))
    assert torch.equal(still.features, zeros.features)
    assert still[:, 1].features.shape == start.features.shape


def test_imagine_chains_the_one_step_prior(dynamics):
    _, actions, noise = chunk(dynamics)
    state = start = dynamics.observe(*chunk(dynamics))[0][:, 2]
    states = dynamics.imagine(start, actions, noise[0])
    for h in range(5):
        one = slice(h, h + 1)
        state = dynamics.imagine(state, actions[:, one], noise[0, :, one])[:, 0]
        assert_states_close(states[:, h], state)


def test_the_first_prior_of_a_chunk_is_the_imagined_one(dynamics):
    embeddings, actions, noise = chunk(dynamics)
    posteriors, priors = dynamics.observe(embeddings, actions, noise)
    first = dynamics.imagine(dynamics.initial(3), actions[:, :1], noise[1, :, :1])
    assert_states_close(priors[:, :1], first)
    second = dynamics.imagine(posteriors[:, 0], actions[:, 1:2], noise[1, :, 1:2])
    assert_states_close(priors[:, 1:2], second)


def test_a_prior_has_not_seen_its_own_observation_and_a_posterior_has(dynamics):
    embeddings, actions, noise = chunk(dynamics)
    posteriors, priors = dynamics.observe(embeddings, actions, noise)
    changed = embeddings.clone()
    changed[:, 2] += 1
    new_posteriors, new_priors = dynamics.observe(changed, actions, noise)
    assert_states_close(new_priors[:, :3], priors[:, :3])
    assert_states_close(new_posteriors[:, :2], posteriors[:, :2])
    assert not torch.equal(new_posteriors.features[:, 2], posteriors.features[:, 2])
    assert not torch.equal(new_priors.features[:, 3], priors.features[:, 3])


def test_row_t_is_moved_by_the_action_of_row_t(dynamics):
    embeddings, actions, noise = chunk(dynamics)
    _, priors = dynamics.observe(embeddings, actions, noise)
    changed = actions.clone()
    changed[:, 2] += 1
    _, moved = dynamics.observe(embeddings, changed, noise)
    differs = (moved.features != priors.features).any(-1).any(0)
    assert differs.tolist() == [False, False, True, True, True]


def reached(dynamics, loss):
    """The names of the parameters that a loss has a gradient for."""
    dynamics.zero_grad()
    loss.backward()
    parameters = dynamics.named_parameters()
    return {name for name, p in parameters if p.grad is not None and p.grad.any()}


def used(dynamics):
    """The parameters that filtering and imagining depend on."""
    embeddings, actions, noise = chunk(dynamics)
    posteriors, _ = dynamics.observe(embeddings, actions, noise)
    imagined = dynamics.imagine(posteriors[:, -1], actions, noise[0])
    features = torch.cat([posteriors.features, imagined.features], dim=1)
    return reached(dynamics, features.square().sum())


def trained(dynamics, kl_weight=1.0):
    """The parameters that heads on the posteriors and the divergence train."""
    posteriors, priors = dynamics.observe(*chunk(dynamics))
    kl = kl_divergence(posteriors, priors).sum()
    return reached(dynamics, posteriors.features.square().sum() + kl_weight * kl)


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("kind", FAIR)
def test_the_bound_trains_all_that_acting_uses_and_nothing_else(kind, norm):
    dynamics = build(kind, norm)
    everything = {name for name, _ in dynamics.named_parameters()}
    assert used(dynamics) == trained(dynamics) == everything


def test_the_released_recipe_does_not_train_the_prior_that_acting_uses():
    dynamics = build("rnn-released")
    untrained = used(dynamics) - trained(dynamics, kl_weight=0.0)
    layers = ("prior_hidden", "prior_head.mean")
    parts = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert untrained == parts
    assert used(dynamics) <= trained(dynamics)  # with the divergence it would be


def test_the_gradient_flows_back_through_time_and_samples(dynamics):
    embeddings, actions, noise = chunk(dynamics)
    embeddings.requires_grad_()
    posteriors, _ = dynamics.observe(embeddings, actions, noise)
    posteriors.features[:, -1].sum().backward()
    assert embeddings.grad.abs().sum((0, 2)).gt(0).all()


def test_observe_does_not_change_its_start(dynamics):
    start = dynamics.observe(*chunk(dynamics))[0][:, 0]
    kept = start.map(torch.clone)
    dynamics.observe(*chunk(dynamics, seed=2), start)
    assert_states_close(start, kept)


# The state.


def test_a_state_is_indexed_and_stacked_in_all_its_parts():
    def numbered(n):
        return State(*(torch.full((2, 1), n + i / 10) for i in range(4)))

    states = stack([numbered(1.0), numbered(2.0), numbered(3.0)])
    assert states.belief.shape == (2, 3, 1)
    assert_states_close(states[:, 1], numbered(2.0))
    assert_states_close(states[:, 1:][:, -1], numbered(3.0))
    assert_states_close(numbered(1.0).map(lambda part: part + 1), numbered(2.0))


# The recurrent state-space model.


def dense(linear, *inputs):
    return F.linear(torch.cat(inputs, dim=-1), linear.weight, linear.bias)


def gaussian(head, hidden, noise):
    mean, raw = dense(head.mean, hidden), dense(head.stddev, hidden)
    stddev = torch.log1p(raw.exp()) + 0.1
    return mean, stddev, mean + stddev * noise


@torch.no_grad()
def test_rssm_is_its_equations():
    """Section 1.2 step by step: the sample moves on; the prior reads h_t, not x_t."""
    rssm = build("rssm")
    embeddings, actions, noise = chunk(rssm)
    posteriors, priors = rssm.observe(embeddings, actions, noise)
    sample, belief = torch.zeros(3, 3), torch.zeros(3, 4)
    for t in range(5):
        x = torch.relu(dense(rssm.input, sample, actions[:, t]))
        belief = rssm.cell(x, belief)
        hidden = torch.relu(dense(rssm.prior_hidden, belief))
        prior = State(*gaussian(rssm.prior_head, hidden, noise[1, :, t]), belief)
        assert_states_close(priors[:, t], prior)
        hidden = torch.relu(dense(rssm.posterior_hidden, belief, embeddings[:, t]))
        q = State(*gaussian(rssm.posterior_head, hidden, noise[0, :, t]), belief)
        assert_states_close(posteriors[:, t], q)
        sample = q.sample


@torch.no_grad()
def test_ssm_is_its_equations():
    """The prior reads the sample, the posterior the prior's moments; no belief."""
    ssm = build("ssm")
    embeddings, actions, noise = chunk(ssm)
    posteriors, priors = ssm.observe(embeddings, actions, noise)
    sample, nothing = torch.zeros(3, 3), torch.zeros(3, 0)
    for t in range(5):
        x = torch.relu(dense(ssm.input, sample, actions[:, t]))
        prior = State(*gaussian(ssm.prior_head, x, noise[1, :, t]), nothing)
        assert_states_close(priors[:, t], prior)
        inputs = (prior.mean, prior.stddev, embeddings[:, t])
        hidden = torch.relu(dense(ssm.posterior_hidden, *inputs))
        q = State(*gaussian(ssm.posterior_head, hidden, noise[0, :, t]), nothing)
        assert_states_close(posteriors[:, t], q)
        sample = q.sample


@torch.no_grad()
def test_drnn_is_its_equations():
    """Two GRUs, a sample between them; the prior has zeros for the embedding."""
    drnn = build("drnn")
    embeddings, actions, noise = chunk(drnn)
    posteriors, priors = drnn.observe(embeddings, actions, noise)
    sample, encoder, decoder = (torch.zeros(3, size) for size in (3, 4, 4))
    for t in range(5):

        def step(embedding, epsilon, before=(sample, encoder, decoder), t=t):
            sample, encoder, decoder = before
            seen = torch.cat([embedding, actions[:, t], sample], dim=-1)
            encoder = drnn.encoder(seen, encoder)
            hidden = torch.relu(dense(drnn.hidden, encoder, sample, decoder))
            drawn = gaussian(drnn.head, hidden, epsilon)
            return TwoBeliefs(*drawn, drnn.decoder(drawn[2], decoder), encoder)

        prior = step(torch.zeros(3, 6), noise[1, :, t])
        posterior = step(embeddings[:, t], noise[0, :, t])
        for state, expected in ((priors, prior), (posteriors, posterior)):
            assert_states_close(state[:, t], expected)
            assert_close(state.encoder[:, t], expected.encoder)
        sample, encoder, decoder = (
            *(posterior.sample, posterior.encoder),
            posterior.belief,
        )


def test_heads_of_the_drnn_read_the_later_belief_alone():
    """Else there would be a way from an observation around the sample."""
    drnn = build("drnn")
    embeddings, actions, noise = chunk(drnn, length=1)
    embeddings.requires_grad_()
    posteriors, _ = drnn.observe(embeddings, actions, noise)
    assert torch.equal(posteriors.features, posteriors.belief)
    posteriors.features.sum().backward(retain_graph=True)
    assert embeddings.grad.any()
    with torch.no_grad():
        for moment in (drnn.head.mean, drnn.head.stddev):
            moment.weight.zero_()
    embeddings.grad.zero_()
    drnn.observe(embeddings, actions, noise)[0].features.sum().backward()
    assert not embeddings.grad.any()


@pytest.mark.parametrize("kind", ["rnn", "rnn-released"])
def test_deterministic_models_do_not_read_the_noise(kind):
    dynamics = build(kind)
    embeddings, actions, noise = chunk(dynamics)
    first = dynamics.observe(embeddings, actions, noise)
    second = dynamics.observe(embeddings, actions, 2 - noise)
    for one, other in zip(first, second, strict=True):
        assert_states_close(one, other)
        assert torch.equal(one.sample, one.mean)


def test_the_released_rnn_is_the_rssm_without_noise():
    rssm, rnn = build("rssm"), build("rnn-released")
    embeddings, actions, noise = chunk(rssm)
    zero = torch.zeros_like(noise)
    for one, other in zip(
        rssm.observe(embeddings, actions, zero),
        rnn.observe(embeddings, actions, noise),
        strict=True,
    ):
        assert_states_close(one, other)


def test_the_divergence_of_the_rnn_is_the_distance_of_its_points():
    posteriors, priors = build("rnn").observe(*chunk(build("rnn")))
    squared = (posteriors.mean - priors.mean).square().sum(-1)
    assert_close(kl_divergence(posteriors, priors), squared / (2 * 0.1**2))
    assert squared.gt(0).all()


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        # 31 x 200, 2 x (200 x 30), (60 + 1024) x 200, 2 x (200 x 30), and biases
        (SSM, 6_400 + 12_060 + 217_000 + 12_060),
        # The RSSM's 556,320 without two layers for standard deviations
        (RNN, 556_320 - 2 * 6_030),
        (ReleasedRNN, 556_320),
        # (1055 + 200) x 600, 430 x 200, 2 x (200 x 30), 230 x 600, and biases
        (DRNN, 753_600 + 86_200 + 12_060 + 138_600),
    ],
)
def test_the_others_have_the_parameters_of_the_paper_size(kind, count):
    assert sum(p.numel() for p in kind(Sizes(1, 1024)).parameters()) == count


def test_rssm_has_the_parameters_of_the_paper():
    for actions in (1, 6):
        counted = sum(p.numel() for p in RSSM(Sizes(actions, 1024)).parameters())
        assert counted == 556_120 + 200 * actions


def test_mean_and_stddev_are_layers_of_their_own_and_the_stddev_has_a_floor():
    """One layer of 60 would be the same function with another Glorot limit."""
    rssm = RSSM(Sizes(1, 1024))
    head = rssm.prior_head
    assert head.mean.weight.shape == head.stddev.weight.shape == (30, 200)
    torch.nn.init.constant_(head.stddev.bias, -100.0)
    torch.nn.init.zeros_(head.stddev.weight)
    _, stddev = head(torch.randn(4, 200))
    assert_close(stddev, torch.full((4, 30), 0.1))
    torch.nn.init.zeros_(head.stddev.bias)
    # No offset inside the softplus: a fresh head starts at ln 2 + 0.1.
    assert_close(head(torch.randn(1, 200))[1], torch.full((1, 30), 0.7931472))


def test_hidden_layers_have_the_activation_asked_for():
    torch.manual_seed(0)
    rssm = RSSM(Sizes(2, 6, **SIZES, activation="elu"))
    modules = (rssm.after_input, rssm.after_prior, rssm.after_posterior)
    for module in modules:
        assert_close(module(torch.tensor([-1.0])), torch.tensor([-0.6321206]))


def test_states_are_frozen():
    state = build("rssm").initial(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.mean = state.sample


def test_the_hidden_layer_of_the_drnn_has_relu_whatever_the_others_have():
    one, other = (
        DRNN(Sizes(2, 7, **SIZES, activation=name)) for name in ("relu", "elu")
    )
    other.load_state_dict(one.state_dict())
    action, seen = torch.randn(6, 2), torch.randn(6, 7)
    states = [d.step(d.initial(6), action, seen, None) for d in (one, other)]
    assert torch.equal(states[0].mean, states[1].mean)
