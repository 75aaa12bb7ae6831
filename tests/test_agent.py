"""The agent filters what it executed, plans, and explores."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from planet_torch.agent import (
    BangBangAgent,
    PlanetAgent,
    RandomAgent,
    RhythmicAgent,
)
from planet_torch.planners import CEM, Planner
from toy_models import counting_model, small_images, small_model, stream


class FixedPlan(Planner):
    """A planner that always returns the same plan, and remembers what it was given."""

    def __init__(self, action=0.25):
        self.action = action

    def plan(self, returns_of, batch, action_dim, generator, previous, proposals):
        self.returns_of, self.previous = returns_of, previous
        self.proposals = proposals
        return torch.full((batch, 3, action_dim), self.action)

    def search(self, trials, generator, previous):
        raise AssertionError("plan does not search")


def agent_of(model, planner, shape=(1,), actions=1, exploration=0.0, seed=0):
    return PlanetAgent(model, planner, shape, actions, stream(seed), exploration)


def vector(*values):
    return np.array(values, np.float32)[:, None]


def spied(model):
    """The model, and a list of the actions that will have been filtered."""
    seen, step = [], model.dynamics.step

    def spy(state, action, embedding, noise):
        seen.append(action.clone())
        return step(state, action, embedding, noise)

    model.dynamics.step = spy
    return model, seen


@pytest.mark.parametrize("exploration", [0.3, 5.0])
def test_the_executed_action_is_fed_back_noise_clipping_and_all(exploration):
    """A port feeds the planned action back, without noise."""
    model, seen = spied(counting_model())
    agent = agent_of(model, FixedPlan(), exploration=exploration)
    agent.reset(2)
    executed = [agent.act(vector(1, 2)) for _ in range(3)]
    assert seen[0].eq(0).all()  # nothing was executed before the reset
    for action, fed_back in zip(executed, seen[1:], strict=False):
        assert_close(fed_back, torch.from_numpy(action), rtol=0, atol=0)
        assert not np.any(action == 0.25)  # noise was added


def test_changing_the_returned_action_does_not_change_what_is_fed_back():
    model, seen = spied(counting_model())
    agent = agent_of(model, FixedPlan())
    action = agent.act(np.zeros(1, np.float32))
    action *= 0
    agent.act(np.zeros(1, np.float32))
    assert seen[1].item() == 0.25


def test_noise_has_the_standard_deviation_asked_for_and_is_added_once():
    """0.3 is a standard deviation; a port takes it for a variance (0.55)."""
    agent = agent_of(counting_model(), FixedPlan(action=0.0), exploration=0.3)
    agent.reset(20_000)
    actions = agent.act(np.zeros((20_000, 1), np.float32))
    inside = actions[np.abs(actions) < 0.6]  # clipping does not reach these
    assert inside.std() == pytest.approx(0.3 * 0.8796, rel=0.02)  # normal within 2 std
    assert actions.mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("planned", "executed"), [(0.7, 0.7), (3.0, 1.0), (-3.0, -1.0)]
)
def test_without_exploration_the_plan_is_executed_within_the_bounds(planned, executed):
    agent = agent_of(counting_model(), FixedPlan(planned))
    assert agent.act(np.zeros(1, np.float32)) == np.float32(executed)


def test_with_exploration_actions_are_clipped_after_the_noise():
    agent = agent_of(counting_model(), FixedPlan(), exploration=5.0)
    agent.reset(100)
    actions = agent.act(np.zeros((100, 1), np.float32))
    assert np.abs(actions).max() == 1


def test_the_plan_starts_from_the_posterior_of_this_very_observation():
    planner = FixedPlan()
    agent = agent_of(counting_model(), planner)
    agent.reset(2)
    for rows in ((10, 20), (70, 80)):
        agent.act(vector(*rows))
        returns = planner.returns_of(torch.ones(2, 1, 1, 1))
        assert returns.flatten().tolist() == [row + 1 for row in rows]


def test_the_next_plan_may_start_from_this_one_and_a_reset_forgets_it():
    planner = FixedPlan()
    agent = agent_of(counting_model(), planner)
    agent.act(np.zeros(1, np.float32))
    assert planner.previous is None
    agent.act(np.zeros(1, np.float32))
    assert_close(planner.previous, torch.full((1, 3, 1), 0.25))
    agent.reset(2)
    agent.act(vector(0, 0))
    assert planner.previous is None


def test_a_reset_forgets_everything():
    model = small_model()
    planner = CEM(horizon=2, candidates=6, elites=2, iterations=2)
    agent = agent_of(model, planner, (16, 16, 3), 2, exploration=0.1)
    observation = small_images(3).numpy()

    def episode():
        agent.generator.manual_seed(1)
        agent.reset(3)
        return [agent.act(observation) for _ in range(3)]

    first, second = episode(), episode()
    np.testing.assert_array_equal(first, second)


def test_one_observation_without_a_batch_gives_one_action():
    model = small_model()
    agent = agent_of(model, FixedPlan(), (16, 16, 3), 2)
    batched = agent.act(small_images(1).numpy())
    agent.reset()
    single = agent.act(small_images().numpy())
    assert batched.shape == (1, 2)
    assert single.shape == (2,)


def test_a_picture_that_cannot_be_written_is_read():
    """Some environments keep theirs; PyTorch warns, and a warning fails a test."""
    observation = np.zeros(1, np.float32)
    observation.flags.writeable = False
    agent = agent_of(counting_model(), FixedPlan())
    agent.reset()
    assert agent.act(observation) == 0.25


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("given", [{"joint": 0.5}, np.zeros((16, 16, 3))])
def test_observations_of_another_kind_are_refused(given):
    agent = agent_of(small_model(), FixedPlan(), (16, 16, 3), 2)
    agent.reset()
    with pytest.raises(ValueError, match=r"(object|float64), .* learned from uint8"):
        agent.act(given)


@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (1, 8, 8, 3), (16, 16)])
def test_observations_of_another_shape_are_refused(shape):
    agent = agent_of(small_model(), FixedPlan(), (16, 16, 3), 2)
    with pytest.raises(ValueError, match=r"reset for \(1, 16, 16, 3\)"):
        agent.act(np.zeros(shape, np.uint8))


def test_each_image_read_has_fresh_noise_while_acting_too():
    model, read = small_model(), []
    model.encoder.register_forward_hook(lambda _, inputs, __: read.append(inputs[0]))
    agent = agent_of(model, FixedPlan(), (16, 16, 3), 2)
    for _ in range(2):
        agent.act(small_images(1).numpy())
    assert 0 < (read[0] - read[1]).abs().max() < 1 / 32


def test_equal_seeds_act_equally_and_others_do_not():
    planner = CEM(horizon=2, candidates=6, elites=2, iterations=2)
    actions = [
        agent_of(small_model(), planner, (16, 16, 3), 2, seed=seed).act(
            small_images(1).numpy()
        )
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert np.abs(actions[0] - actions[2]).max() > 0


def test_random_actions_are_uniform_within_the_bounds():
    agent = RandomAgent(3, stream())
    agent.reset(5000)
    actions = agent.act(np.zeros((5000, 16, 16, 3), np.uint8))
    assert actions.shape == (5000, 3)
    assert actions.dtype == np.float32
    quarters = np.histogram(actions, 4, (-1, 1))[0] / actions.size
    np.testing.assert_allclose(quarters, 0.25, atol=0.015)
    assert not np.array_equal(actions, agent.act(np.zeros((5000, 1))))


def begun(agent, batch, decisions):
    """The actions of ``batch`` new episodes, (decisions, batch, A)."""
    agent.reset(batch)
    return np.stack([agent.act(np.zeros((batch, 1))) for _ in range(decisions)])


def test_bang_bang_actions_are_at_their_bounds_and_held():
    actions = begun(BangBangAgent(3, stream()), 5000, 9)
    assert actions.shape == (9, 5000, 3)
    assert set(np.unique(actions)) == {-1, 1}
    assert abs(actions.mean()) < 0.02
    # A quarter is drawn anew, and half of these draws are as before.
    turned = actions[1:] != actions[:-1]
    np.testing.assert_allclose(turned.mean((1, 2)), 1 / 8, atol=0.01)
    alone = turned[:, :, 0] & ~turned[:, :, 1]  # each component for itself
    np.testing.assert_allclose(alone.mean(), 1 / 8 * 7 / 8, atol=0.01)


def test_bang_bang_holds_nothing_over_a_reset():
    agent = BangBangAgent(3, stream())
    before = begun(agent, 5000, 1)
    np.testing.assert_allclose((begun(agent, 5000, 1) == before).mean(), 0.5, atol=0.02)


def test_rhythmic_actions_go_to_and_fro_in_periods_of_4_to_20_decisions():
    actions = begun(RhythmicAgent(3, stream()), 4000, 400)
    assert actions.shape == (400, 4000, 3)
    assert set(np.unique(actions)) == {-1, 1}
    np.testing.assert_allclose(actions[0].mean(), 0, atol=0.02)  # phases are uniform
    turns = (actions[1:] != actions[:-1]).sum(0)  # two a period
    assert 2 * 399 / 20 - 1 <= turns.min() < 41
    assert 195 < turns.max() <= 2 * 399 / 4 + 1
    # Half of the periods are below the geometric mean of the bounds.
    np.testing.assert_allclose((turns > 2 * 399 / 80**0.5).mean(), 0.5, atol=0.02)
    assert abs(np.corrcoef(turns[:, 0], turns[:, 1])[0, 1]) < 0.05  # each its own


def test_rhythms_are_drawn_anew_by_a_reset_and_repeat_by_the_seed():
    one, same = RhythmicAgent(2, stream()), RhythmicAgent(2, stream())
    first = begun(one, 2, 40)
    np.testing.assert_array_equal(first, begun(same, 2, 40))
    assert not np.array_equal(first, begun(one, 2, 40))
