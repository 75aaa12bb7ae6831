"""Making environments, and the contract that all of them keep."""

import logging
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env

from planet_torch.envs import PaddedActions, make, tasks
from planet_torch.envs.wrappers import UnitActions

RED = np.array([200, 10, 20], np.uint8)


class Counter(gymnasium.Env):
    """Its state counts up by the action; reward is the state; ends above a limit."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(np.float32([0.0, -4.0]), np.float32([2.0, 4.0]))

    def __init__(self, render_mode="rgb_array", end=np.inf):
        self.render_mode, self.end = render_mode, end

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(size=2)
        return self.state.copy(), {}

    def step(self, action):
        self.taken = action
        self.state = self.state + action
        total = float(self.state.sum())
        return self.state.copy(), total, total > self.end, False, {}

    def render(self):
        picture = np.zeros((100, 60, 3), np.uint8)
        picture[:50] = RED
        return picture


def counter():
    return Counter()


def ending():
    return Counter(end=12)


def discrete():
    env = Counter()
    env.action_space = Discrete(3)
    return env


def headless():
    return Counter(render_mode=None)


def nothing():
    return 3


@pytest.fixture(autouse=True)
def this_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "factories", sys.modules[__name__])


gymnasium.register("Counter-v0", entry_point=Counter, max_episode_steps=7)
gymnasium.register("Long-v0", entry_point=Counter, max_episode_steps=1200)

NAMES = [
    "dmc/cartpole-balance",
    "dmc/reacher-easy",
    "gym/Counter-v0",
    "factories:counter",
]


@pytest.mark.parametrize("observation", ["pixels", "state"])
@pytest.mark.parametrize("name", NAMES)
# The checker would rather see inner environments and bounded states.
@pytest.mark.filterwarnings("ignore:.*(unwrapped version|is -infinity|is infinity)")
def test_gymnasium_finds_no_fault(name, observation):
    env = make(name, image_size=16, observation=observation)
    check_env(env, skip_render_check=True)


@pytest.mark.filterwarnings("ignore:.*out of date")
def test_an_old_version_of_an_environment_is_no_task():
    with pytest.raises(ValueError, match=r"no task 'gym/Pendulum-v0': .* depre"):
        make("gym/Pendulum-v0")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_no_action_is_beyond_the_bounds_of_the_environment(kind):
    """0.2 + 0.1 is more than 0.3 in float64."""
    bounds = np.random.default_rng(0).uniform(-1, 1, (2, 500)).round(1)
    low, high = bounds.min(0), bounds.max(0) + 0.1
    env = gymnasium.Env()
    env.action_space = Box(low.astype(kind), high.astype(kind), dtype=kind)
    unit = UnitActions(env)
    for action in (-1, 0.3, 1):
        assert env.action_space.contains(unit.action(np.full(500, float(action))))


def test_what_an_environment_of_gymnasium_needs_is_an_import_error(monkeypatch):
    def lacking(*args, **options):
        raise gymnasium.error.DependencyNotInstalled("Box2D is not installed")

    monkeypatch.setattr(gymnasium, "make", lacking)
    with pytest.raises(ImportError, match=r"gym/BipedalWalker-v3 .*Box2D is not"):
        make("gym/BipedalWalker-v3")


def play(env, seed, decisions=6):
    """All that an episode shows, under random actions."""
    actions = np.random.default_rng(seed).uniform(-1, 1, (decisions, 9))
    shown = [env.reset(seed=seed)[0]]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(
            action[: env.action_space.shape[0]].astype(np.float32)
        )
        shown += [observation, np.array([reward, terminated, truncated])]
        if terminated or truncated:
            break
    return shown


@pytest.mark.parametrize("observation", ["pixels", "state"])
@pytest.mark.parametrize("name", [*NAMES, "dmc/finger-spin", "dmc/lqr-lqr_2_1"])
def test_a_seed_determines_the_episode_whatever_came_before(name, observation):
    fresh, used = (make(name, image_size=16, observation=observation) for _ in range(2))
    play(used, seed=1)
    for one, other in zip(play(fresh, 2), play(used, 2), strict=True):
        np.testing.assert_array_equal(one, other)
    starts = [fresh.reset(seed=seed)[0] for seed in (2, 3)]
    assert (
        name.startswith("dmc/lqr")
        or observation == "pixels"
        or (starts[0] != starts[1]).any()
    )


@pytest.mark.parametrize("name", NAMES)
def test_spaces_are_the_agreed_ones(name):
    env = make(name, image_size=20)
    assert env.observation_space == Box(0, 255, (20, 20, 3), np.uint8)
    assert env.action_space == Box(-1, 1, env.action_space.shape, np.float32)
    state = make(name, observation="state")
    observation, _ = state.reset(seed=0)
    assert observation.dtype == np.float32
    assert observation in state.observation_space


@pytest.mark.parametrize("name", NAMES)
def test_rewards_are_summed_over_the_action_repeat(name):
    single, double = (
        make(name, action_repeat=repeat, observation="state") for repeat in (1, 2)
    )
    single.reset(seed=4)
    double.reset(seed=4)
    action = np.full(single.action_space.shape, 0.3, np.float32)
    for _ in range(3):
        (_, first, *_), (observation, second, *_) = (
            single.step(action),
            single.step(action),
        )
        held = double.step(action)
        np.testing.assert_array_equal(observation, held[0])
        assert held[1] == pytest.approx(first + second)


@pytest.mark.parametrize(("repeat", "decisions"), [(8, 125), (3, 333), (400, 2)])
def test_an_episode_is_truncated_after_1000_control_steps(repeat, decisions):
    env = make("dmc/pendulum-swingup", action_repeat=repeat, observation="state")
    env.reset(seed=0)
    ends = [env.step(np.zeros(1))[2:4] for _ in range(decisions)]
    assert ends == [(False, False)] * (decisions - 1) + [(False, True)]
    env.reset(seed=0)
    assert env.step(np.zeros(1))[2:4] == (False, False)


def test_the_ends_of_an_environment_are_its_own():
    env = make("gym/Counter-v0", action_repeat=2, observation="state")
    env.reset(seed=0)
    assert [env.step(-np.ones(2))[3] for _ in range(4)] == [False] * 3 + [True]
    env = make("factories:ending", observation="state")
    env.reset(seed=0)
    ends = [env.step(np.ones(2))[2:4] for _ in range(3)]
    assert ends[0] == (False, False)
    assert (True, False) in ends


@pytest.mark.parametrize(
    ("name", "repeat", "decisions", "steps"),
    [
        ("dmc/cartpole-balance", None, 125, 1000),
        ("dmc/cartpole-balance", 3, 333, 999),
        ("gym/Counter-v0", 2, 4, 7),  # ends by itself, inside a decision
        ("gym/Counter-v0", 1, 7, 7),
    ],
)
def test_control_steps_are_counted_as_they_are_made(name, repeat, decisions, steps):
    env = make(name, action_repeat=repeat, observation="state")
    assert env.get_wrapper_attr("decisions") == decisions
    action = np.zeros(env.action_space.shape)
    for _ in range(2):  # each episode anew
        env.reset(seed=0)
        taken = 1
        while not any(env.step(action)[2:4]):
            taken += 1
        assert taken == decisions
        assert env.get_wrapper_attr("environment_steps") == steps


@pytest.mark.parametrize(
    ("name", "limit", "decisions"),
    [
        ("gym/Long-v0", None, 600),  # as it is registered
        ("gym/Long-v0", 100, 50),
        ("gym/Long-v0", 2000, 600),  # it ends itself
        ("factories:counter", None, 500),
        ("factories:counter", 1500, 750),
        ("dmc/cartpole-balance", 100, 50),
    ],
)
def test_an_episode_may_be_as_long_as_its_environment_or_as_asked(
    name, limit, decisions
):
    env = make(name, action_repeat=2, time_limit=limit, observation="state")
    assert env.get_wrapper_attr("decisions") == decisions
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape)
    ends = [env.step(action)[2:4] for _ in range(decisions)]
    assert ends == [(False, False)] * (decisions - 1) + [(False, True)]


def test_actions_are_scaled_to_the_bounds():
    env = UnitActions(Counter())
    env.reset(seed=0)
    for unit, own in [([-1, -1], [0, -4]), ([1, 1], [2, 4]), ([0, 0.5], [1, 2])]:
        env.step(np.array(unit, float))
        np.testing.assert_allclose(env.unwrapped.taken, own)


@pytest.mark.parametrize(
    ("low", "high", "own"),
    [
        (-np.inf, np.inf, [0.25, -1]),
        (-1e10, 1e10, [0.25, -1]),
        (3, np.inf, [4.25, 3]),
        (-np.inf, -3, [-3.75, -5]),
    ],
)
def test_where_a_bound_is_missing_an_action_is_as_long_as_it_was(low, high, own):
    env = Counter()
    env.action_space = Box(low, high, (2,))
    env = UnitActions(env)
    env.reset(seed=0)
    env.step(np.array([0.25, -1]))
    np.testing.assert_array_equal(env.unwrapped.taken, own)


def test_an_action_may_be_a_number_alone():
    env = Counter()
    env.action_space = Box(0, 4, ())
    env = UnitActions(env)
    assert env.action_space.shape == (1,)
    assert env.action(np.array([0.5])) == 3
    assert env.action(np.array([0.5])).shape == ()


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        (np.zeros(3), r"shape \(3,\), the environment's is \(2,\)"),
        (np.zeros((1, 2)), "shape"),
        (np.array([0, np.nan]), "not finite"),
        (np.array([np.inf, 0]), "not finite"),
        (np.array([0, 1.01]), r"out of \[-1, 1\]"),
        (np.array([-3, 0]), r"out of \[-1, 1\]"),
    ],
)
@pytest.mark.parametrize("name", ["dmc/reacher-easy", "factories:counter"])
def test_a_wrong_action_is_refused(name, action, complaint):
    env = make(name, image_size=16)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=complaint):
        env.step(action)


def test_an_excess_by_rounding_is_clipped():
    env = UnitActions(Counter())
    env.reset(seed=0)
    env.step(np.array([1.0005, -1.0005]))
    np.testing.assert_array_equal(env.unwrapped.taken, [2, -4])


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("dmc/cartpole-balence", {}, "did you mean 'dmc/cartpole-balance'"),
        ("cartpole-balance", {}, "did you mean 'dmc/cartpole-balance'"),
        ("dmc/xyzzy", {}, "there are dmc/acrobot"),
        ("dmc/cartpole-balence", {"action_repeat": 4}, "did you mean"),
        ("gym/Countre-v0", {}, "Counter"),
        ("factories:countre", {}, "did you mean 'counter'"),
        ("factories:nothing", {}, "not a gymnasium.Env"),
        ("factories:discrete", {}, "continuous"),
        ("factories:headless", {}, "render_mode='rgb_array', not None"),
        ("dmc/cartpole-balance", {"renderer": "raycats"}, "did you mean 'raycast'"),
        ("dmc/cartpole-balance", {"observation": "pixel"}, "did you mean 'pixels'"),
        ("dmc/cartpole-balance", {"camera": 2}, "not one of .'fixed', 'lookatcart'"),
        ("dmc/cartpole-balance", {"camera": "top"}, "not one of"),
        ("dmc/cartpole-balance", {"image_size": 0}, "image_size"),
        ("dmc/cartpole-balance", {"time_limit": 0}, "whole number"),
        ("dmc/cartpole-balance", {"time_limit": 1001}, "more than the 1000"),
        ("dmc/cartpole-balance", {"action_repeat": -1}, "action_repeat"),
        ("dmc/cartpole-balance", {"action_repeat": 1001}, "exceeds time_limit"),
    ],
)
def test_a_wrong_name_or_option_is_refused(name, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(name, **options)


def test_a_missing_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("dm_control")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dm_control", None)
    with pytest.raises(ImportError, match=r"pip install 'planet-torch\[dmc\]'"):
        make("dmc/cartpole-balance")


def test_pictures_of_any_environment_are_area_averages():
    env = make("factories:counter", image_size=2)
    picture, _ = env.reset(seed=0)
    np.testing.assert_array_equal(picture[0], [RED, RED])
    np.testing.assert_array_equal(picture[1], np.zeros((2, 3)))
    odd = make("factories:counter", image_size=3).reset(seed=0)[0]
    np.testing.assert_allclose(odd[1, 1], RED / 2, atol=1)


def test_the_camera_is_an_option():
    pictures = [
        make("dmc/cartpole-balance", camera=camera).reset(seed=0)[0]
        for camera in (0, 1, "lookatcart")
    ]
    np.testing.assert_array_equal(pictures[1], pictures[2])
    assert (pictures[0] != pictures[1]).any()


def test_padding_ignores_the_rest():
    plain = make("dmc/reacher-easy", observation="state")
    padded = make("dmc/reacher-easy", observation="state", action_size=6)
    assert padded.action_space.shape == (6,)
    plain.reset(seed=0)
    padded.reset(seed=0)
    for rest in (-1, 1):
        want = plain.step(np.array([0.5, -0.5]))[0]
        got = padded.step(np.array([0.5, -0.5, *[rest] * 4]))[0]
        np.testing.assert_array_equal(want, got)
    with pytest.raises(ValueError, match="shape"):
        padded.step(np.zeros(2))
    with pytest.raises(ValueError, match="less than the 2"):
        PaddedActions(plain, 1)


def test_ten_environments_step_together():
    envs = gymnasium.vector.SyncVectorEnv(
        [lambda: make("dmc/cartpole-balance", image_size=16)] * 10
    )
    pictures, _ = envs.reset(seed=list(range(10)))
    assert pictures.shape == (10, 16, 16, 3)
    alone = make("dmc/cartpole-balance", image_size=16)
    alone.reset(seed=7)
    pictures, rewards, *_ = envs.step(np.full((10, 1), 0.5, np.float32))
    picture, reward, *_ = alone.step(np.array([0.5]))
    np.testing.assert_array_equal(pictures[7], picture)
    assert rewards[7] == reward


def test_the_table_is_the_suite():
    make("dmc/cartpole-balance")  # imports it without OpenGL
    from dm_control import suite

    names = {f"dmc/{domain}-{task}" for domain, task in suite.ALL_TASKS}
    assert {task.name for task in tasks()} == names
    repeats = {task.name: task.action_repeat for task in tasks()}
    assert repeats["dmc/cartpole-swingup"] == 8
    assert repeats["dmc/cheetah-run"] == repeats["dmc/ball_in_cup-catch"] == 4
    assert repeats["dmc/finger-spin"] == repeats["dmc/humanoid-run"] == 2


@pytest.mark.parametrize(
    "task",
    [task for task in tasks() if "dog" not in task.name],
    ids=lambda task: task.name,
)
def test_every_task_runs(task):
    env = make(task.name, image_size=16)
    assert env.action_space.shape == (task.action_size,)
    assert env.get_wrapper_attr("action_repeat") == task.action_repeat
    first, _ = env.reset(seed=0)
    env.action_space.seed(0)
    picture, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert picture.shape == first.shape == (16, 16, 3)
    assert (picture != first).any()
    assert np.isfinite(reward)
    assert not terminated
    assert not truncated


def test_nothing_is_said_of_a_model_that_no_user_can_change(caplog):
    make("dmc/cheetah-run").close()  # of which MuJoCo warns
    assert not caplog.records
    logging.getLogger("absl").warning("what comes later is heard")
    assert len(caplog.records) == 1


def test_the_table_is_read_without_the_simulator():
    program = (
        "import sys, planet_torch.envs as e; e.tasks(); print('mujoco' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("discount", [0.0, 1.0])
def test_a_task_that_ends_has_terminated_if_nothing_follows(discount):
    env = make("dmc/cartpole-balance", observation="state")
    env.reset(seed=0)
    env.unwrapped.environment.task.get_termination = lambda physics: discount
    assert env.step(np.zeros(1))[2:4] == (discount == 0, discount == 1)
