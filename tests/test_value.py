"""Values: what is expected after the end of a plan."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from planet_torch.chunk import Chunk
from planet_torch.networks import MLP
from planet_torch.objectives import filtered
from planet_torch.optimiser import Adam
from planet_torch.value import Value, lambda_return
from toy_models import counting_model, gaussian, small_chunk, small_model, stream


def rows(*values):
    return torch.tensor([values])


def test_lambda_returns_by_hand():
    """G_1 = 2 + 30 / 2 = 17; G_0 = 1 + (20 + 17) / 2 / 2 = 10.25."""
    returns = lambda_return(rows(9.0, 1, 2), rows(99.0, 20, 30), 0.5, 0.5)
    assert returns.tolist() == [[10.25, 17.0]]


@given(st.floats(0, 0.99), st.floats(0, 1), st.integers(2, 6))
def test_the_value_of_equal_rewards_is_a_fixed_point(discount, trace, length):
    """Of 3 for ever, times 1 - discount: 3."""
    reward = torch.full((2, length), 3 * (1 - discount))
    value = torch.full((2, length), 3.0)
    assert_close(lambda_return(reward, value, discount, trace), value[:, 1:])


@pytest.mark.parametrize(("trace", "first"), [(0.0, 1 + 0.5 * 20), (1.0, 1 + 1 + 7.5)])
def test_the_trace_leads_from_one_step_to_all_rewards(trace, first):
    returns = lambda_return(rows(9.0, 1, 2), rows(99.0, 20, 30), 0.5, trace)
    assert returns[0, 0] == first


def with_value(model, discount):
    """A small model with a value head."""
    model.value = MLP(model.dynamics.feature_size, 1, layers=1, units=5)
    model.discount = discount
    return model


def test_only_the_value_head_learns_from_it():
    model = with_value(small_model(), 0.9)
    chunk = filtered(model, small_chunk(), stream())
    Value()(model, chunk, stream())[0].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {f"value.{name}" for name, _ in model.value.named_parameters()}


def test_it_learns_what_states_are_worth():
    """Place 1 is paid for ever, so worth 1; a step before it, unpaid, is worth 0.8."""
    model = with_value(counting_model(), 0.8)
    torch.manual_seed(0)
    model.value = MLP(1, 1, layers=1, units=16, activation="elu")
    # Half of the chunks stay at place -1 unpaid; the others go from 0 to 1 unpaid, and
    # are paid for every row after that.
    place = torch.tensor([[-1.0] * 6, [0.0, *[1.0] * 5]]).repeat(4, 1)
    reward = torch.tensor([[0.0] * 6, [0.0, 0.0, *[1.0] * 4]]).repeat(4, 1)
    chunk = Chunk(place[..., None], torch.zeros(8, 6, 1), reward)
    optimiser = Adam(model.value.parameters(), 1e-2, 1e-8)
    for _ in range(600):
        loss, _ = Value()(model, filtered(model, chunk, stream()), stream())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    worth = model.value(torch.tensor([[-1.0], [0.0], [1.0]])).flatten()
    assert_close(worth, torch.tensor([0.0, 0.8, 1.0]), atol=0.05, rtol=0)


def test_an_imagined_return_is_discounted_and_ends_in_a_value():
    """States 101, 102: 101 + 102 / 2, and then for ever 102: / 4 / (1 - 1 / 2)."""
    model = counting_model()
    model.value, model.discount = torch.nn.Identity(), 0.5
    returns_of = model.returns_from(gaussian([[100.0]]), stream())
    assert returns_of(torch.ones(1, 1, 2, 1)).tolist() == [[101 + 51 + 51]]
    model.plans_to_value = False
    assert returns_of(torch.ones(1, 1, 2, 1)).tolist() == [[101 + 102]]
