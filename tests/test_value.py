"""Values: what is expected after the end of a plan."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from planet_torch.chunk import Chunk, Episode
from planet_torch.critic import Critic, worth
from planet_torch.networks import MLP
from planet_torch.objectives import filtered
from planet_torch.optimiser import Adam
from planet_torch.replay import Replay
from planet_torch.value import GreedyValue, ImaginedValue, Value, lambda_return
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


def with_critic(model, discount, size, **hidden):
    """A small model with a critic of actions of that size."""
    torch.manual_seed(0)
    model.value = Critic(
        model.dynamics.feature_size, size, **{"layers": 1, "units": 16, **hidden}
    )
    model.discount = discount
    return model


def learned_by(model, term, length=4):
    """The names of the weights that a term moves."""
    chunk = filtered(model, small_chunk(length=length), stream())
    term(model, chunk, stream())[0].backward()
    return {name for name, p in model.named_parameters() if p.grad is not None}


def test_only_the_value_head_learns_from_it():
    model = with_value(small_model(), 0.9)
    names = {f"value.{name}" for name, _ in model.value.named_parameters()}
    assert learned_by(model, Value()) == names


@pytest.mark.parametrize(
    "term", [GreedyValue(), GreedyValue(distance=2), ImaginedValue(distance=2)]
)
def test_only_the_newest_critics_learn_from_the_greedy_value(term):
    model = with_critic(small_model(), 0.9, size=2)
    newest = model.value.critics.named_parameters()
    names = {f"value.critics.{name}" for name, _ in newest}
    assert learned_by(model, term) == names


def seldom_paid():
    """From place -1 every action leads to 0, and there 1 is paid, and other ones not.

    Then all is over, in place 2. One time of eight the action in 0 was 1.
    """
    action = torch.tensor([-1.0, 0.0, 1.0])[
        torch.randint(3, (96, 4), generator=stream())
    ]
    action[:, 2] = torch.tensor([-1.0] * 6 + [0.0, 1.0]).repeat(12)
    place = torch.tensor([-1.0, 0.0, 2.0, 2.0]).expand(96, 4)
    reward = torch.zeros(96, 4)
    reward[:, 2] = action[:, 2] == 1
    return Chunk(place[..., None], action[..., None], reward)


def fitted(model, term, chunk, updates=800, rate=0.01):
    """The model, after its value has learned from a chunk, or from what gives some."""
    optimiser = Adam(
        [p for p in model.value.parameters() if p.requires_grad], 1e-2, 1e-8
    )
    for _ in range(updates):
        drawn = chunk() if callable(chunk) else chunk
        loss, _ = term(model, filtered(model, drawn, stream()), stream())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if isinstance(model.value, Critic):
            model.value.follow(rate)
    return model


def test_what_is_seldom_done_is_worth_what_it_is_worth_at_its_best():
    """Half of 1 in place 0, times 1 - 0.5, and half of that a step before it.

    By the actions that were taken it would be an eighth of that.
    """
    model = with_critic(counting_model(), 0.5, size=1, activation="elu")
    fitted(model, GreedyValue(trace=0.0), seldom_paid(), rate=0.05)
    places = torch.tensor([[-1.0], [0.0]])
    assert_close(
        model.value(places).flatten(), torch.tensor([0.25, 0.5]), atol=0.03, rtol=0
    )
    taken = worth(model.value.points(places[1:]), torch.tensor([[-1.0]])).mean()
    assert_close(taken, torch.zeros(()), atol=0.03, rtol=0)
    assert model.value.choose(places[1:]).tolist() == [[1.0]]


def test_it_is_learned_of_what_was_imagined_too():
    """The model imagines places 5 too far; these are worth what the true ones are."""
    model = with_critic(counting_model(), 0.5, size=1, activation="elu")
    prior = model.dynamics.prior
    model.dynamics.prior = lambda carry, noise: prior(carry + 5, noise)
    place = torch.arange(6.0).expand(4, 6)[..., None]
    action = torch.randint(3, (4, 6, 1), generator=stream()) - 1.0
    chunk = Chunk(place, action, torch.ones(4, 6))
    fitted(model, GreedyValue(distance=1, starts=3), chunk, updates=600)
    imagined = model.value(torch.tensor([[6.0], [7.0], [8.0]])).flatten()
    assert_close(imagined, torch.ones(3), atol=0.05, rtol=0)


class Paid(torch.nn.Module):
    """1 in every place from 1 on."""

    def forward(self, features):
        return (features >= 1).float()


def waiting(*places):
    """Chunks that stay each in its place, unpaid."""
    place = torch.tensor(places).repeat(3, 1).T
    return Chunk(place[..., None], torch.zeros_like(place)[..., None], 0 * place)


class Table(torch.nn.Module):
    """Numbers for each of the places from -2 to 2, for an action of one component."""

    def __init__(self):
        super().__init__()
        self.numbers = torch.nn.Parameter(torch.zeros(5, 3))

    def forward(self, features):
        return self.numbers[features.squeeze(-1).long() + 2]


@pytest.mark.parametrize("distance", [1, 3])
def test_what_was_never_done_is_worth_what_the_model_imagines(distance):
    """From 0 a step up is paid at once and for ever: 1. To wait costs half of that."""
    model = with_critic(counting_model(), 0.5, size=1)
    model.value.critics, model.value.slow = (
        torch.nn.ModuleList([Table(), Table()]) for _ in range(2)
    )
    model.reward, prior = Paid(), model.dynamics.prior
    model.dynamics.prior = lambda carry, noise: prior(carry.clamp(-2, 2), noise)
    chunk = waiting(-2.0, -1.0, 0.0, 1.0, 2.0)

    def term(model, chunk, generator):
        model.value.follow(0.05)  # as the term beside it does
        return ImaginedValue(distance=distance, starts=16)(model, chunk, generator)

    fitted(model, term, chunk)
    points = model.value.points(torch.zeros(3, 1))
    each = worth(points, torch.tensor([[-1.0], [0.0], [1.0]]))
    assert_close(each.mean(0), torch.tensor([0.25, 0.5, 1.0]), atol=0.01, rtol=0)


def test_imagination_strays_once_and_then_does_the_best():
    """Of places below 0 a step up is the best; half of the first actions are drawn."""
    model = with_critic(counting_model(), 0.5, size=1)
    model.value.choose = torch.ones_like
    read = filtered(model, waiting(0.0, 0.0), stream())
    term = ImaginedValue(distance=3, starts=1000)
    features, actions = term.imagine(model, model.value, read, stream())
    assert features.shape == (2000, 4, 1)
    assert actions.shape == (2000, 3, 1)
    assert_close(features[:, 1:], actions.cumsum(dim=1))  # of starts in 0
    assert (actions[:, 1:] == 1).all()
    first = actions[:, 0]
    shares = [(first == point).float().mean().item() for point in (-1, 0, 1)]
    assert shares == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=0.05)


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


@pytest.mark.parametrize("greedy", [False, True])
def test_after_the_end_of_a_task_nothing_is_expected(tmp_path, greedy):
    """A decision is paid 1 until the eighth ends the task, and 1 for ever is worth 1.

    So three decisions before the end it is 1 - 0.5^3, and nothing at the end.
    """
    replay, random = Replay(tmp_path), np.random.default_rng(0)
    place = np.arange(9, dtype=np.float32)[:, None]
    reward = np.minimum(place[:, 0], 1)
    for _ in range(4):
        action = random.uniform(-1, 1, (9, 1)).astype(np.float32) * reward[:, None]
        replay.add(Episode(place, action, reward, terminated=True))
    model = with_value(counting_model(), 0.5)
    torch.manual_seed(0)
    hidden = {"layers": 2, "units": 32, "activation": "elu"}
    model.value = Critic(1, 1, **hidden) if greedy else MLP(1, 1, **hidden)
    term, draws = GreedyValue() if greedy else Value(), stream()
    fitted(model, term, lambda: replay.sample(16, 6, draws), 600, rate=0.05)
    learned = model.value(torch.tensor([[5.0], [6.0], [7.0], [8.0]])).flatten()
    assert_close(learned, torch.tensor([0.875, 0.75, 0.5, 0.0]), atol=0.2, rtol=0)


def nothing(features):
    """Two critics of one component think that all is worth 0."""
    return features.new_zeros(2, *features.shape[:-1], 1, 3)


def test_a_greedy_value_learns_lambda_returns_of_the_slow_critics():
    """These think that a place is worth itself, so 10.25 and 17 follow, as above."""
    model = with_critic(counting_model(), 0.5, size=1)
    model.value.target = lambda features, points: features.squeeze(-1)
    model.value.points = nothing
    place, reward = torch.tensor([[[99.0, 20, 30]], [[18, 2, 4]]])
    chunk = Chunk(place[..., None], 0 * place[..., None], reward)
    term = GreedyValue(trace=0.5)
    loss, _ = term(model, filtered(model, chunk, stream()), stream())
    assert loss == (10.25**2 + 17**2) / 2  # of two critics


def test_a_greedy_value_learns_half_of_what_was_and_half_of_what_was_imagined():
    """All is worth 1 and thought to be worth 0, by two critics: half of 1 each."""
    model = with_critic(counting_model(), 0.5, size=1)
    model.value.target = lambda features, points: torch.ones_like(features[..., 0])
    model.value.points = nothing
    place = torch.ones(3, 5, 1)
    chunk = filtered(model, Chunk(place, 0 * place, place[..., 0]), stream())
    for distance in (0, 2):
        assert GreedyValue(distance=distance)(model, chunk, stream())[0] == 1


def test_the_value_learns_lambda_returns_of_its_trace():
    """Worth 10.25 and 20 where 10.25 and 17 follow, by the returns by hand above.

    These are constants, though they hold the values that are learned.
    """
    model = with_value(counting_model(), 0.5)
    model.value = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.value.weight)
    place = torch.tensor([[10.25, 20, 30]])
    reward = torch.tensor([[18.0, 2, 4]])  # of which 1 - discount counts
    chunk = filtered(
        model, Chunk(place[..., None], 0 * place[..., None], reward), stream()
    )
    loss, _ = Value(trace=0.5)(model, chunk, stream())
    loss.backward()
    assert loss.item() == 0.5 * (0 + 3**2) / 2
    assert model.value.weight.grad.item() == (0 + 3 * 20) / 2


def test_what_is_imagined_is_worth_a_lambda_return_of_its_trace():
    """From 0 by 1 to 2, paid and worth the place: 2 from 1, and 1.25 from 0."""
    model = with_critic(counting_model(), 0.5, size=1)
    model.value.choose = torch.ones_like
    model.value.target = lambda features, points: features.squeeze(-1)
    model.value.points = nothing
    chunk = filtered(model, waiting(0.0, 0.0), stream())
    term = ImaginedValue(trace=0.5, distance=2, stray=0.0)
    assert term(model, chunk, stream())[0] == (1.25**2 + 2**2) / 2  # of two critics
