"""The bound's terms, by hand and by law."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as torch_kl
from torch.testing import assert_close

from planet_torch.chunk import Chunk
from planet_torch.objectives import (
    Divergence,
    Filtered,
    GlobalPrior,
    Observation,
    Reward,
    RewardOvershooting,
    kl_divergence,
)
from toy_models import (
    counting_model,
    gaussian,
    objective,
    small_chunk,
    small_model,
    stream,
)


def filtered(q, p=None, observation=None, reward=None):
    """A filtered chunk; the parts that a test does not name are empty or zero."""
    rows = q.mean.shape[:2]
    return Filtered(
        observation=torch.zeros(*rows, 1) if observation is None else observation,
        action=torch.zeros(*rows, 1),
        reward=torch.zeros(rows) if reward is None else reward,
        posteriors=q,
        priors=q if p is None else p,
    )


# The divergence of two Gaussians.

numbers = st.floats(-3, 3, width=32)
stddevs = st.floats(0.125, 4, width=32)
sides = st.lists(st.tuples(numbers, stddevs, numbers, stddevs), min_size=1, max_size=4)


def pair(sizes):
    mean_q, stddev_q, mean_p, stddev_p = torch.tensor(sizes).T
    return gaussian(mean_q, stddev_q), gaussian(mean_p, stddev_p)


@given(sides)
def test_kl_is_that_of_torch_and_never_negative(sizes):
    q, p = pair(sizes)
    expected = torch_kl(
        Independent(Normal(q.mean, q.stddev), 1),
        Independent(Normal(p.mean, p.stddev), 1),
    )
    assert_close(kl_divergence(q, p), expected, atol=1e-4, rtol=1e-4)
    assert kl_divergence(q, p) >= -1e-6


@given(sides)
def test_kl_is_zero_if_and_only_if_they_are_equal(sizes):
    q, p = pair(sizes)
    assert kl_divergence(q, q) == 0
    apart = torch.cat([q.mean - p.mean, q.stddev - p.stddev]).abs().max()
    if apart > 0.01:
        assert kl_divergence(q, p) > 0


def test_kl_is_of_the_posterior_from_the_prior_in_nats():
    """ln(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2, not the reverse."""
    q, p = gaussian([0.0], 1.0), gaussian([3.0], 2.0)
    assert kl_divergence(q, p) == pytest.approx(math.log(2) + 10 / 8 - 0.5)


# Free nats.


def test_free_nats_are_taken_from_each_row_after_the_sum_over_the_state():
    """Rows of 8 and 1 nats: (8 - 3 + 0) / 2, and not max(4.5 - 3, 0)."""
    # Each of two dimensions gives half; below 3 a dimension alone would cost nothing.
    q, p = gaussian([[[8**0.5, 8**0.5], [1.0, 1.0]]]), gaussian(torch.zeros(1, 2, 2))
    loss, shown = Divergence(free_nats=3.0)(counting_model(), filtered(q, p), stream())
    assert loss.item() == pytest.approx(2.5)
    assert shown.item() == pytest.approx(4.5)  # what is shown has them still


def test_a_row_below_the_free_nats_has_no_gradient():
    mean = torch.tensor([[[4.0], [1.0]]], requires_grad=True)  # 8 and 0.5 nats
    term = Divergence(free_nats=3.0)
    q, p = gaussian(mean), gaussian(torch.zeros(1, 2, 1))
    term(counting_model(), filtered(q, p), stream())[0].backward()
    assert mean.grad.flatten().tolist() == [2.0, 0.0]  # mean over 2 rows of d/dm = m


# Balance.


def balanced(balance):
    """The loss and its gradients for the posterior's and the prior's parts."""
    parts = [torch.tensor([[[x]]], requires_grad=True) for x in (2.0, 0.5, -1.0, 1.5)]
    q, p = gaussian(*parts[:2]), gaussian(*parts[2:])
    loss, shown = Divergence(free_nats=0.5, balance=balance)(
        counting_model(), filtered(q, p), stream()
    )
    loss.backward()
    assert_close(shown, loss + 0.5)
    return loss.detach(), torch.stack([part.grad.squeeze() for part in parts])


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.8, 1.0])
def test_balance_shares_the_gradient_and_keeps_the_value(balance):
    plain, gradient = balanced(None)
    value, shared = balanced(balance)
    assert_close(value, plain)
    share = torch.tensor([1 - balance, 1 - balance, balance, balance])
    assert_close(shared, share * gradient)


def test_without_balance_both_sides_have_the_whole_gradient():
    _, (mean_q, _, mean_p, _) = balanced(None)
    assert mean_q.item() == pytest.approx(3 / 1.5**2)
    assert mean_p.item() == pytest.approx(-3 / 1.5**2)


# The observation and the reward.


def test_observation_is_half_the_squared_error_summed_over_it():
    """Errors 1, 1, 1 and 3, 0, 0: the mean of 3 / 2 and 9 / 2."""
    target = torch.tensor([[[1.0, 1, 1], [3, 0, 0]]])
    chunk = filtered(gaussian(torch.zeros(1, 2, 3)), observation=target)
    assert Observation()(counting_model(), chunk, stream())[0] == 3.0
    normal = -Normal(0.0, 1.0).log_prob(target).sum(-1) - 1.5 * math.log(2 * math.pi)
    assert_close(normal.mean(), torch.tensor(3.0))


def test_reward_is_half_the_squared_error_of_the_row():
    q = gaussian([[[1.0], [2.0]]])
    chunk = filtered(q, reward=torch.tensor([[0.0, 5.0]]))
    assert Reward()(counting_model(), chunk, stream())[0] == (0.5 + 4.5) / 2
    assert Reward().weight == 10.0


def test_heads_read_the_posterior_sample_and_not_its_mean_or_the_prior():
    q = gaussian([[[1.0]]], sample=torch.tensor([[[4.0]]]))
    chunk = filtered(q, gaussian([[[9.0]]]), observation=torch.tensor([[[4.0]]]))
    chunk = Filtered(**{**vars(chunk), "reward": torch.tensor([[4.0]])})
    assert Observation()(counting_model(), chunk, stream())[0] == 0
    assert Reward()(counting_model(), chunk, stream())[0] == 0


def test_decoding_a_part_of_the_rows_is_unbiased():
    rows = torch.arange(24.0).reshape(4, 6, 1)
    chunk = filtered(gaussian(torch.zeros(4, 6, 1)), observation=rows)
    full = Observation()(counting_model(), chunk, stream())[0]
    part, model, generator = Observation(decoded=0.25), counting_model(), stream()
    draws = torch.stack([part(model, chunk, generator)[0] for _ in range(1000)])
    error = draws.std() / 1000**0.5
    assert draws.std() > 0.1 * full
    assert (draws.mean() - full).abs() < 3 * error


@pytest.mark.parametrize(("share", "expected"), [(1.0, 24), (0.25, 6), (0.01, 1)])
def test_only_that_share_of_the_rows_is_decoded(share, expected):
    decoded = []
    model = counting_model()
    model.decoder.register_forward_hook(lambda *args: decoded.append(args[-1]))
    rows = torch.arange(24.0).reshape(4, 6, 1)
    # A row's own features with a row's own observation: no error in any pair.
    chunk = filtered(gaussian(rows), observation=rows)
    assert Observation(decoded=share)(model, chunk, stream())[0] == 0
    assert len(decoded[0].unique()) == len(decoded[0]) == expected


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_impossible_shares_are_refused(share):
    chunk = filtered(gaussian(torch.zeros(1, 2, 1)))
    with pytest.raises(ValueError, match=rf"\(={share}\) must be in \(0, 1\]"):
        Observation(decoded=share)(counting_model(), chunk, stream())


# The further terms.


def counted_rewards(rewards):
    """Observations 100 to 400 and actions 0, 1, 2, 4 of the counting model."""
    rows = torch.tensor([100.0, 200, 300, 400]).reshape(1, 4, 1)
    actions = torch.tensor([0.0, 1, 2, 4]).reshape(1, 4, 1)
    q = gaussian(rows)
    return Filtered(rows, actions, torch.tensor([rewards]), q, q)


def test_rewards_ahead_are_those_of_the_states_after_the_actions_between():
    """The only start with three rows after it is the first: 101, 103, 107."""
    chunk = counted_rewards([9.0, 101, 103, 107])
    assert RewardOvershooting(distance=3)(counting_model(), chunk, stream())[0] == 0
    chunk = counted_rewards([9.0, 101, 103, 109])
    loss = RewardOvershooting(distance=3)(counting_model(), chunk, stream())[0]
    assert loss.item() == pytest.approx(0.5 * 2**2 / 3)


def test_rewards_ahead_start_from_every_row_that_has_enough_after_it():
    """One step from rows 0, 1 and 2 leads to 101, 202 and 304; errors tell which."""
    chunk = counted_rewards([0.0, 101 + 1, 202 + 2, 304 + 3])
    term = RewardOvershooting(distance=1, starts=1)
    generator = stream()
    seen = {term(counting_model(), chunk, generator)[0].item() for _ in range(50)}
    assert seen == {0.5, 2.0, 4.5}


def test_rewards_further_ahead_than_the_chunk_are_refused():
    chunk = counted_rewards([0.0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"imagining 4 steps needs 5 rows .* got 4"):
        RewardOvershooting(distance=4)(counting_model(), chunk, stream())


def test_the_global_prior_is_a_standard_normal_and_has_no_free_nats():
    """KL(N(3, 2) || N(0, 1)) = (4 + 9 - 1) / 2 - ln 2, and zero for the second row."""
    q = gaussian([[[3.0], [0.0]]], torch.tensor([[[2.0], [1.0]]]))
    loss, shown = GlobalPrior(0.1)(counting_model(), filtered(q), stream())
    assert loss.item() == shown.item() == pytest.approx((6 - math.log(2)) / 2)


# The whole.


def test_the_loss_is_the_weighted_sum_and_what_is_shown_is_not_weighted():
    model, chunk = small_model(), small_chunk()
    terms = [Observation(0.5), Reward(7.0), Divergence(2.0, free_nats=0.0)]
    loss, shown = objective(model, terms, chunk, stream())
    assert list(shown) == ["observation", "reward", "divergence"]
    total = sum(term.weight * shown[term.name] for term in terms)
    assert_close(loss.detach(), total)
    assert not any(value.requires_grad for value in shown.values())


def test_two_terms_of_one_name_are_refused():
    """One would be lost, and the other counted twice."""
    terms = [Reward(), Reward(7.0)]
    with pytest.raises(ValueError, match="one name: reward, reward"):
        objective(small_model(), terms, small_chunk(), stream())


def test_each_read_of_a_chunk_has_fresh_noise():
    """mbrl-lib freezes the noise in its buffer; here a second update sees another."""
    model, chunk = small_model(), small_chunk()
    read = []
    encode = model.encoder.forward
    model.encoder.forward = lambda image: (read.append(image), encode(image))[1]
    generator = stream()
    for _ in range(2):
        objective(model, [Observation()], chunk, generator)
    assert 0 < (read[0] - read[1]).abs().max() < 1 / 32


def test_the_target_is_the_very_tensor_that_the_encoder_read():
    model, chunk = small_model(), small_chunk()
    read = []
    model.encoder.register_forward_hook(lambda _, inputs, __: read.append(inputs[0]))

    class Spy(Observation):
        def __call__(self, model, chunk, generator):
            read.append(chunk.observation)
            return super().__call__(model, chunk, generator)

    objective(model, [Spy()], chunk, stream())
    assert torch.equal(read[0], read[1])


def test_all_rows_count_the_first_too():
    """Ports skip it, and use 49 of 50."""
    model, chunk = small_model(), small_chunk()
    shape = (2, 4, 3, 16, 16)
    seen = torch.zeros(shape, requires_grad=True)
    model.prepare = lambda observation, generator: seen
    terms = [Observation(), Reward(), Divergence(free_nats=0.0)]
    objective(model, terms, chunk, stream())[0].backward()
    assert seen.grad.abs().sum((-3, -2, -1)).gt(0).all()
    rewards = Chunk(chunk.observation, chunk.action, chunk.reward.requires_grad_())
    objective(model, [Reward()], rewards, stream())[0].backward()
    assert chunk.reward.grad.ne(0).all()


def test_the_bound_has_a_gradient_for_every_parameter():
    model = small_model()
    terms = [Observation(), Reward(), Divergence(free_nats=0.0)]
    objective(model, terms, small_chunk(), stream())[0].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    zero = [n for n, p in model.named_parameters() if not p.grad.abs().sum()]
    assert without == zero == []


def test_equal_streams_give_equal_losses():
    model, chunk = small_model(), small_chunk()
    terms = [Observation(decoded=0.5), Reward(), Divergence()]
    first, second, other = (
        objective(model, terms, chunk, stream(seed))[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
