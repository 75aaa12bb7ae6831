from contextlib import closing

import numpy as np
import pytest
import torch

from planet_torch import cores
from planet_torch.envs import make, tasks
from planet_torch.envs.simulator import Simulator, one_by_one
from planet_torch.planners import CEM, ICEM

pytest.importorskip("dm_control")

PAPER = [
    "dmc/cartpole-balance",
    "dmc/cartpole-swingup",
    "dmc/reacher-easy",
    "dmc/cheetah-run",
    "dmc/finger-spin",
    "dmc/ball_in_cup-catch",
    "dmc/walker-walk",
]
# Sparse and several poles; RK4; termination; quaternions; forces; muscles with a state
# of their own; another speed. The random actions of all but one meet some reward.
OTHERS = [
    "dmc/cartpole-balance_sparse",
    "dmc/cartpole-three_poles",
    "dmc/acrobot-swingup",
    "dmc/lqr-lqr_2_1",
    "dmc/fish-upright",
    "dmc/dog-stand",
    "dmc/humanoid-stand",
    "dmc/quadruped-fetch",
    "dmc/reacher-hard",
    "dmc/walker-run",
]
REST = sorted({task.name for task in tasks()} - {*PAPER, *OTHERS})
SLOW = {"dmc/dog-fetch", "dmc/dog-run", "dmc/dog-trot", "dmc/dog-walk"}  # large models


def started(name, seed=0, steps=2, **options):
    """An environment in the middle of an episode, with its random unit actions."""
    env = make(name, observation="state", **options)
    env.reset(seed=seed)
    random = np.random.default_rng(seed)
    for _ in range(steps):
        env.step(some_actions(random, env))
    return env, random


def some_actions(random, env, *shape):
    size = (*shape, *env.action_space.shape)
    return random.uniform(-1, 1, size).astype(np.float32)


def place(env, **joints):
    physics = env.unwrapped.environment.physics
    for joint, position in joints.items():
        physics.named.data.qpos[joint] = position
    physics.forward()


def returns_in(simulator, actions):
    return simulator(torch.from_numpy(actions).double()).numpy()


@pytest.fixture
def simulate():
    """A simulator that is closed in the end."""
    open_ones = []

    def make_simulator(*envs):
        open_ones.append(Simulator(list(envs), threads=2))
        return open_ones[-1]

    yield make_simulator
    for simulator in open_ones:
        simulator.close()


def assert_equal_to_stepping(name, simulate, **options):
    """Of five candidates the environment, as it was before, executes the fourth."""
    env, random = started(name, **options)
    actions = some_actions(random, env, 5, 3)
    simulator, before = simulate(env), whole_state(env)
    at_once = returns_in(simulator, actions[None])[0]
    simulator.copies[0].rewards_of = one_by_one
    asked = returns_in(simulator, actions[None])[0]
    np.testing.assert_array_equal(whole_state(env), before)
    stepped = sum(env.step(action)[1] for action in actions[3])
    np.testing.assert_allclose(at_once, asked, rtol=0, atol=1e-9)
    assert asked[3] == pytest.approx(stepped, rel=0, abs=1e-12)


@pytest.mark.parametrize("name", [*PAPER, *OTHERS])
def test_returns_equal_stepping_the_environment(name, simulate):
    assert_equal_to_stepping(name, simulate)


@pytest.mark.parametrize("name", ["dmc/walker-walk", "dmc/humanoid-stand"])
def test_the_physics_is_the_environments_own_to_the_bit(name, simulate):
    """In contact, that takes the solver's warm start, too."""
    env, random = started(name, steps=30)
    actions = some_actions(random, env, 6)
    copies = simulate(env).copies[0]
    control = copies.in_own_units(actions[None]).astype(np.float64)
    rolled = copies.rolled(control.repeat(copies.repeat, axis=1))
    for decision, action in enumerate(actions, start=1):
        env.step(action)
        qpos = rolled.qpos[0, decision * copies.repeat - 1]
        np.testing.assert_array_equal(qpos, env.unwrapped.environment.physics.data.qpos)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in REST],
)
def test_returns_equal_stepping_the_environment_in_all_other_tasks(name, simulate):
    assert_equal_to_stepping(name, simulate)


@pytest.mark.parametrize("name", PAPER)
def test_returns_equal_stepping_along_a_way_that_is_rewarded(name, simulate):
    """Random actions hardly meet a sparse reward; these are planned to."""
    seeds = {"dmc/finger-spin": 3, "dmc/walker-walk": 3}
    env, _ = started(name, seeds.get(name, 0), steps=0)
    if name == "dmc/ball_in_cup-catch":
        place(env, ball_x=0.0, ball_z=0.33)  # in the cup
    simulator = simulate(env)
    icem = ICEM(horizon=3, candidates=30, iterations=3, elites=5)
    generator = torch.Generator().manual_seed(0)
    plan, promised, stepped = None, 0.0, 0.0
    for _ in range(8):
        size = env.action_space.shape[0]
        plan = icem.plan(simulator, 1, size, generator, plan)
        promised += returns_in(simulator, plan[:, None].numpy()[:, :, :1])[0, 0]
        stepped += env.step(plan[0, 0].numpy())[1]
    assert stepped > 1
    assert promised == pytest.approx(stepped, rel=0, abs=1e-6)


def test_the_ball_is_in_the_cup_where_the_task_says_so(simulate):
    """Candidates that swing the cup differently lose the ball at different times."""
    env, random = started("dmc/ball_in_cup-catch", steps=0)
    place(env, ball_x=0.0, ball_z=0.33)
    actions = np.sign(some_actions(random, env, 1, 30, 5))
    simulator = simulate(env)
    at_once = returns_in(simulator, actions)[0]
    simulator.copies[0].rewards_of = one_by_one
    np.testing.assert_array_equal(at_once, returns_in(simulator, actions)[0])
    assert len(set(at_once)) > 5


@pytest.mark.parametrize("repeat", [1, 5])
def test_the_action_repeat_of_the_environment_is_used(repeat, simulate):
    assert_equal_to_stepping("dmc/cartpole-balance", simulate, action_repeat=repeat)


def whole_state(env):
    import mujoco

    model = env.unwrapped.environment.physics.model.ptr
    data = env.unwrapped.environment.physics.data.ptr
    signature = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, signature))
    mujoco.mj_getState(model, data, state, signature)
    parts = [state, data.sensordata, data.xpos, data.qacc, data.ctrl]
    parts += [model.body_pos, model.geom_pos, model.geom_rgba, model.opt.gravity]
    return np.concatenate([np.ravel(part) for part in parts])


@pytest.mark.parametrize("name", ["dmc/walker-walk", "dmc/hopper-hop"])
def test_the_environment_is_left_as_it_was(name, simulate):
    env, random = started(name)
    task = dict(vars(env.unwrapped.environment.task))
    before = whole_state(env)
    returns_in(simulate(env), some_actions(random, env, 1, 50, 4))
    np.testing.assert_array_equal(whole_state(env), before)
    assert vars(env.unwrapped.environment.task) == task


def test_returns_follow_the_environment_through_steps_and_resets(simulate):
    """The target of an episode lies in the model, not in the state."""
    env, random = started("dmc/reacher-easy")
    simulator = simulate(env)
    actions = some_actions(random, env, 1, 20)
    for seed in range(6):
        env.reset(seed=seed)
        promised = returns_in(simulator, actions[None])[0, 0]
        stepped = sum(env.step(action)[1] for action in actions[0])
        assert promised == pytest.approx(stepped, rel=0, abs=1e-9)


def test_each_environment_of_a_batch_has_its_own_returns(simulate):
    envs = [started("dmc/cartpole-swingup", seed)[0] for seed in (1, 2)]
    actions = np.zeros((2, 3, 4, 1), np.float32)
    together = returns_in(simulate(*envs), actions)
    alone = [returns_in(simulate(env), actions[:1])[0] for env in envs]
    np.testing.assert_array_equal(together, alone)
    assert together[0, 0] != together[1, 0]
    with pytest.raises(ValueError, match=r"actions are for 1 environments.* has 2"):
        returns_in(simulate(*envs), actions[:1])


def test_padded_actions_beyond_those_of_the_task_are_ignored(simulate):
    env, random = started("dmc/cheetah-run")
    actions = some_actions(random, env, 1, 2, 3)
    padded = np.concatenate([actions, np.ones_like(actions)], axis=-1)
    simulator = simulate(env)
    np.testing.assert_array_equal(
        returns_in(simulator, padded), returns_in(simulator, actions)
    )


def test_many_candidates_come_in_slices_and_the_same(simulate, monkeypatch):
    env, random = started("dmc/finger-spin")
    actions = some_actions(random, env, 1, 40, 3)
    simulator = simulate(env)
    whole = returns_in(simulator, actions)
    monkeypatch.setattr("planet_torch.envs.simulator.SLICE", 1000)
    np.testing.assert_array_equal(returns_in(simulator, actions), whole)


def test_a_candidate_that_makes_the_physics_diverge_has_no_return(
    simulate, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs the warning to a file
    env, _ = started("dmc/cartpole-balance")
    actions = np.zeros((1, 3, 2, 1), np.float32)
    actions[0, 1] = 1
    simulator = simulate(env)
    env.unwrapped.environment.physics.model.actuator_gear[:, 0] = 1e13
    returns = returns_in(simulator, actions)[0]
    np.testing.assert_array_equal(np.isnan(returns), [False, True, False])


def test_an_environment_without_a_simulator_is_refused():
    pytest.importorskip("gymnasium.envs.classic_control")
    import gymnasium

    with pytest.raises(ValueError, match="only dmc/"):
        Simulator([gymnasium.make("Pendulum-v1")])


def test_a_containers_share_bounds_the_threads(monkeypatch):
    """Threads that only wait for each other make it slower."""
    env, _ = started("dmc/cartpole-balance")
    monkeypatch.setattr(cores, "share", lambda: 1.0)
    for asked, used in ((None, 1), (0, 1), (3, 3)):
        with closing(Simulator([env], asked)) as simulator:
            assert simulator.pool.nthread == used


def test_planning_with_the_simulator_balances_the_pole(simulate):
    """The best is 8 a decision. Left alone, the pole falls."""
    env, _ = started("dmc/cartpole-swingup", steps=0)
    place(env, hinge_1=0.2)
    cem = CEM(horizon=6, candidates=60, elites=10, iterations=3)
    simulator, generator = simulate(env), torch.Generator().manual_seed(0)
    rewards = []
    for _ in range(12):
        plan = cem.plan(simulator, 1, 1, generator)
        rewards.append(env.step(plan[0, 0].numpy())[1])
    assert np.mean(rewards[-4:]) > 7


def test_a_pole_is_balanced_in_the_middle_alone(simulate):
    """Of five candidates some leave the range, at a quarter of a metre."""
    env, random = started("dmc/cartpole-balance_sparse", steps=0)
    place(env, slider=0.2, hinge_1=0.0)
    actions = np.sign(some_actions(random, env, 1, 8, 1)).repeat(3, axis=2)
    simulator = simulate(env)
    at_once = returns_in(simulator, actions)[0]
    simulator.copies[0].rewards_of = one_by_one
    np.testing.assert_array_equal(at_once, returns_in(simulator, actions)[0])
    assert len(set(at_once)) > 1


def test_nothing_is_paid_after_the_end_of_a_task(simulate):
    env, random = started("dmc/lqr-lqr_2_1")
    env.unwrapped.environment.task.get_termination = lambda physics: 0.0
    actions, simulator = some_actions(random, env, 1, 4, 3), simulate(env)
    returns = returns_in(simulator, actions)[0]
    np.testing.assert_array_equal(returns, returns_in(simulator, actions[:, :, :1])[0])
    reward, terminated = env.step(actions[0, 3, 0])[1:3]
    assert terminated
    assert returns[3] == pytest.approx(reward, rel=0, abs=1e-12)
