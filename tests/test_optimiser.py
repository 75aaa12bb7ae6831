"""Adam is TensorFlow 1's, whose epsilon is not corrected for bias."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from planet_torch.optimiser import Adam, average_into

LR, BETA1, BETA2 = 1e-3, 0.9, 0.999


def adam_of_tensorflow(value, gradients, eps):
    """lr_t = lr sqrt(1 - b2^t) / (1 - b1^t); value -= lr_t m / (sqrt(v) + eps)."""
    m = v = np.zeros_like(value)
    for t, gradient in enumerate(gradients, 1):
        m = BETA1 * m + (1 - BETA1) * gradient
        v = BETA2 * v + (1 - BETA2) * gradient**2
        step = LR * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)
        value = value - step * m / (np.sqrt(v) + eps)
    return value


def run(optimiser, parameter, gradients):
    for gradient in gradients:
        parameter.grad = torch.as_tensor(gradient, dtype=torch.float32)
        optimiser.step()
    return parameter.detach().clone()


@pytest.mark.parametrize("eps", [1e-4, 1e-8])
def test_it_is_the_loop_of_tensorflow(eps):
    # Gradients as small as the epsilon, where its place matters.
    gradients = np.random.default_rng(0).normal(size=(40, 6)) * 10.0 ** -np.arange(6)
    start = np.linspace(-1, 1, 6)
    expected = adam_of_tensorflow(start, gradients, eps)
    parameter = nn.Parameter(torch.as_tensor(start, dtype=torch.float32))
    ours = run(Adam([parameter], LR, eps), parameter, gradients)
    assert_close(ours.double(), torch.as_tensor(expected), atol=1e-6, rtol=0)


def test_it_is_not_the_adam_of_pytorch():
    """The first step with gradient 1e-4: lr / (1 + 31.6) and not lr / (1 + 1)."""
    steps = []
    for kind in (Adam, torch.optim.Adam):
        parameter = nn.Parameter(torch.zeros(1))
        run(kind([parameter], lr=LR, eps=1e-4), parameter, [np.array([1e-4])])
        steps.append(-parameter.item())
    assert steps == pytest.approx([LR / (1 + 1000**0.5), LR / 2], rel=1e-4)


def test_a_saved_optimiser_goes_on_to_the_same_bits():
    gradients = np.random.default_rng(1).normal(size=(10, 3)) * 1e-4
    whole = nn.Parameter(torch.ones(3))
    expected = run(Adam([whole], LR, 1e-4), whole, gradients)
    cut = nn.Parameter(torch.ones(3))
    first = Adam([cut], LR, 1e-4)
    run(first, cut, gradients[:4])
    second = Adam([cut], LR, 1e-4)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(run(second, cut, gradients[4:]), expected)


def test_it_goes_on_with_a_learning_rate_of_its_own():
    """A step of Adam is in proportion to the rate."""
    moved = []
    for rate in (LR, LR / 4):
        parameter = nn.Parameter(torch.zeros(1))
        first = Adam([parameter], LR, 1e-4)
        before = run(first, parameter, [np.ones(1)] * 5)
        second = Adam([parameter], rate, 1e-4)
        second.load_state_dict(first.state_dict())
        moved.append((run(second, parameter, [np.ones(1)]) - before).item())
    assert moved[1] == pytest.approx(moved[0] / 4, rel=1e-4)


def test_the_rate_halves_with_every_half_life():
    """With gradients all alike a step of Adam is as long as its rate."""
    steps = []
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = Adam([parameter], LR, 1e-8, half_life=4)
    for _ in range(9):
        before = parameter.item()
        steps.append(before - run(optimiser, parameter, [np.ones(1)]).item())
    assert [steps[0], steps[4], steps[8]] == pytest.approx(
        [LR, LR / 2, LR / 4], rel=1e-3
    )


def test_what_is_steady_keeps_its_rate_from_when_it_is_said():
    """Two half-lives on, one takes steps of a quarter, and the other full ones."""
    both = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    halved = Adam(both, LR, 1e-8, half_life=4)
    steady = Adam(both, LR, 1e-8, half_life=4, steady=both[1:])

    def step(optimiser):
        before = [parameter.item() for parameter in both]
        for parameter in both:
            parameter.grad = torch.ones(1)
        optimiser.step()
        return [was - now.item() for was, now in zip(before, both, strict=True)]

    for _ in range(8):
        step(halved)
    steady.load_state_dict(halved.state_dict())
    assert step(steady) == pytest.approx([LR / 4, LR], rel=1e-3)
    halved.load_state_dict(steady.state_dict())
    assert step(halved) == pytest.approx([LR * 2**-2.25] * 2, rel=1e-3)


@pytest.mark.parametrize("steady", [0, 1])
@pytest.mark.parametrize("updates", [0, 3])
def test_what_is_saved_is_saved_again_to_the_bit(steady, updates):
    """Also where there was no update in between."""
    both = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    first, second = (
        Adam(both, LR, 1e-4, half_life=7, steady=both[:steady]) for _ in range(2)
    )
    for _ in range(updates):
        for parameter in both:
            parameter.grad = torch.ones(1)
        first.step()
    saved = copy.deepcopy(first.state_dict())
    second.load_state_dict(saved)
    assert second.state_dict() == saved


def test_it_goes_on_in_the_midst_of_a_half_life():
    gradients = np.random.default_rng(2).normal(size=(10, 3))
    whole, cut = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    expected = run(Adam([whole], LR, 1e-4, half_life=7), whole, gradients)
    first = Adam([cut], LR, 1e-4, half_life=7)
    run(first, cut, gradients[:5])
    second = Adam([cut], LR, 1e-4, half_life=7)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(run(second, cut, gradients[5:]), expected)


def test_the_time_is_that_of_the_optimiser_where_a_parameter_had_no_gradient_at_first():
    """Its epsilon is one for all, so a late parameter must not change the others."""
    late, early = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimiser = Adam([late, early], LR, 1e-4)
    gradients = np.full((8, 1), 1e-4)
    run(optimiser, early, gradients[:5])
    late.grad = torch.full((1,), 1e-4)
    run(optimiser, early, gradients[5:])
    alone = nn.Parameter(torch.zeros(1))
    assert torch.equal(early.detach(), run(Adam([alone], LR, 1e-4), alone, gradients))


def linear(value):
    """A layer whose only weight has a value."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


@pytest.mark.parametrize(
    ("decay", "updates", "expected"), [(0.9, 1000, 0.3), (0.9, 1, 3 * 9 / 11)]
)
def test_the_average_moves_by_its_decay_and_faster_at_first(decay, updates, expected):
    average, newest = linear(0.0), linear(3.0)
    average_into(average, newest, decay, updates)
    assert average.weight.item() == pytest.approx(expected)
    assert newest.weight.item() == 3


def test_without_decay_the_average_is_the_newest_to_the_bit():
    torch.manual_seed(0)
    average, newest = nn.Linear(50, 50), nn.Linear(50, 50)
    average_into(average, newest, 0.0, 7)
    assert torch.equal(average.weight, newest.weight)
