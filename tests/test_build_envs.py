"""Environments as a config names them, and what a model must know of them."""

from dataclasses import replace

import pytest

import toys
from planet_torch import build_envs
from planet_torch.build_envs import Spaces
from planet_torch.config import EnvConfig
from planet_torch.presets import PRESETS

DEBUG = PRESETS["debug"]


@pytest.mark.parametrize(
    ("task", "actions", "decisions"),
    [("dmc/cartpole-swingup", 1, 125), ("dmc/walker-walk", 6, 500)],
)
def test_spaces_are_those_of_the_task(task, actions, decisions):
    config = replace(DEBUG, task=task)
    assert build_envs.spaces(config) == Spaces((16, 16, 3), actions)
    envs = build_envs.environments(config, task, 2)
    assert build_envs.decisions(envs) == decisions
    assert envs.num_envs == 2
    envs.close()


def test_several_tasks_share_the_actions_of_the_one_that_needs_most():
    task = "dmc/cartpole-swingup, dmc/walker-walk"
    config = replace(DEBUG, task=task)
    most = build_envs.spaces(config)
    assert most == Spaces((16, 16, 3), 6)
    envs = build_envs.environments(config, "dmc/cartpole-swingup", 1, most)
    assert envs.single_action_space.shape == (6,)
    envs.close()


@pytest.mark.parametrize(
    ("task", "options", "error"),
    [
        ("toys:integrator,toys:integrator", {}, "names a task twice"),
        ("toys:integrator,", {}, "no task ''"),
        (
            "dmc/cartpole-balance,dmc/cheetah-run",
            {"env": EnvConfig(observation="state")},
            r"of one shape, not .*balance': \(5,\).*run': \(17,\)",
        ),
        (
            "toys:integrator,dmc/reacher-easy",
            {"train": replace(DEBUG.train, chunk=252)},
            r"chunk \(=252\) is more than the 251 rows of an episode of dmc/reacher",
        ),
        (
            "gym/Pendulum-v1",  # ends by itself after 200 steps
            {
                "train": replace(DEBUG.train, chunk=69),
                "env": EnvConfig(action_repeat=3, observation="state"),
            },
            r"chunk \(=69\) is more than the 68 rows",
        ),
    ],
)
def test_tasks_that_cannot_be_learned_together_are_refused(task, options, error):
    with pytest.raises(ValueError, match=error):
        build_envs.spaces(replace(DEBUG, task=task, **options))


@pytest.mark.parametrize(
    ("learned", "error"),
    [
        (Spaces((16, 16, 3), 1), r"has observations of 16 x 16 x 3 and actions of 2, "),
        (Spaces((16, 16, 3), 3), r"for observations of 16 x 16 x 3 and actions of 3;"),
        (
            Spaces((32, 32, 3), 2),
            r"is for observations of 32 x 32 x 3 and actions of 2",
        ),
        (Spaces((5,), 2), r"is for observations of 5 and actions of 2"),
        (Spaces((), 2), r"is for observations of one number and actions of 2"),
    ],
)
def test_environments_are_those_that_were_learned_or_none(learned, error, monkeypatch):
    closed = []

    def close(env):
        closed.append(env)

    monkeypatch.setattr(toys.Plane, "close", close)
    config = replace(DEBUG, task="toys:plane")
    with pytest.raises(ValueError, match=f"environment of toys:plane .*{error}"):
        build_envs.environments(config, "toys:plane", 3, learned)
    assert len(closed) == 3


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, "'spaces'"),
        ({"spaces": None}, "not subscriptable"),
        ({"spaces": {"observation": 3, "action_size": 1}}, "not iterable"),
        ({"spaces": {"observation": [3]}}, "'action_size'"),
    ],
)
def test_a_checkpoint_without_spaces_is_told_as_one(values, error):
    with pytest.raises(ValueError, match=f"does not fit the config: .*{error}"):
        Spaces.learned(values)
