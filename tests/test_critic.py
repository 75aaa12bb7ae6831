"""What actions are worth, component by component."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from planet_torch.critic import Critic, worth
from toy_models import stream

HIDDEN = {"layers": 1, "units": 7}


class Constant(nn.Module):
    """Gives the same numbers for every state."""

    def __init__(self, *numbers):
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor(numbers))

    def forward(self, features):
        return self.numbers.expand(*features.shape[:-1], -1)


def critic_of(newest, slow=None):
    """A critic of two components; Q_j of each of a pair, at -1, 0 and 1."""
    critic = Critic(1, 2, **HIDDEN)
    critic.critics = nn.ModuleList(Constant(*numbers) for numbers in newest)
    critic.slow = nn.ModuleList(Constant(*numbers) for numbers in slow or newest)
    return critic


def by_hand():
    """The means of the pair are 0, 1, 4 and 3, 1, 0."""
    return critic_of([[1.0, 2, 5, 3, 1, 0], [-1.0, 0, 3, 3, 1, 0]])


STATE = torch.zeros(1)


def target(critic, features):
    return critic.target(features, critic.points(features))


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ([-1.0, -1.0], (0 + 3) / 2),
        ([0.0, 1.0], (1 + 0) / 2),
        ([0.5, -0.25], (2.5 + 1.5) / 2),  # half way from 1 to 4, a quarter from 1 to 3
    ],
)
def test_the_worth_of_actions_by_hand(action, expected):
    pair = worth(by_hand().points(STATE), torch.tensor(action))
    assert pair.tolist() == [expected + 0.5, expected - 0.5]


def test_the_value_and_the_best_action_by_hand():
    assert by_hand()(STATE).tolist() == [(4 + 3) / 2]
    assert by_hand().choose(STATE).tolist() == [1.0, -1.0]


def test_targets_are_what_the_slow_critics_think_of_the_choice_of_the_newest():
    """The slow ones would choose -1 and 1, for (9 + 8) / 2."""
    slow = [[9.0, 0, 2, 4, 0, 8]] * 2
    newest = [[1.0, 2, 5, 3, 1, 0]] * 2  # choose 1 and -1
    assert target(critic_of(newest, slow), STATE).tolist() == (2 + 4) / 2


def test_slow_critics_follow_by_a_share_of_the_way():
    critic = critic_of([[8.0] * 6] * 2, [[0.0] * 6] * 2)
    critic.follow(0.25)
    assert target(critic, STATE).tolist() == 2
    critic.follow(0.5)
    assert target(critic, STATE).tolist() == 5


def test_slow_critics_begin_as_the_newest_and_are_not_learned():
    critic = Critic(3, 2, **HIDDEN)
    features = torch.randn(5, 3, generator=stream())
    assert_close(target(critic, features), critic(features).squeeze(-1))
    assert not any(p.requires_grad for p in critic.slow.parameters())


@given(st.integers(0, 99), st.integers(1, 6))
def test_no_action_is_worth_more_than_the_value_and_the_best_is_worth_it(seed, size):
    torch.manual_seed(seed)
    critic = Critic(4, size, **HIDDEN)
    features = torch.randn(50, 4)
    value = critic(features).squeeze(-1)
    drawn, points = torch.rand(50, size) * 2 - 1, critic.points(features)
    assert (worth(points, drawn).mean(0) <= value + 1e-6).all()
    assert_close(worth(points, critic.choose(features)).mean(0), value)
