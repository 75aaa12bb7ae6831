"""Environments: ``make`` one by its name; ``tasks`` are the names of the suite."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import gymnasium

from planet_torch.envs.checked import Checked, EnvError
from planet_torch.envs.dm_control import EPISODE_STEPS, DmControl, Task, suite_tasks
from planet_torch.envs.isolate import Isolated
from planet_torch.envs.wrappers import (
    Env,
    FlatState,
    PaddedActions,
    Pixels,
    RepeatActions,
    UnitActions,
)
from planet_torch.nested import unknown

__all__ = ["EnvError", "PaddedActions", "Task", "make", "tasks"]

RENDERERS = ("raycast", "gl")
OBSERVATIONS = ("pixels", "state")


def tasks() -> tuple[Task, ...]:
    """The tasks of the DeepMind Control Suite, as ``make`` names them."""
    return suite_tasks()


def make(
    name: str,
    *,
    image_size: int = 64,
    renderer: str = "raycast",
    camera: int | str = 0,
    action_repeat: int | None = None,
    observation: str = "pixels",
    time_limit: int | None = None,
    action_size: int | None = None,
    isolate: bool = False,
    step_seconds: float = 60.0,
) -> Env:
    """Make an environment with actions in [-1, 1] and pixels or a vector to observe.

    Observations are uint8 (image_size, image_size, 3), or float32 (n,). Rewards are
    summed over the action repeat. A seed given to ``reset`` determines the episode.
    What goes wrong in it is an ``EnvError``, which says where.

    Args:
        name: ``dmc/<domain>-<task>`` of the DeepMind Control Suite, ``gym/<id>`` of
            Gymnasium, or ``package.module:factory``, where ``factory()`` returns a
            ``gymnasium.Env`` made with ``render_mode="rgb_array"``.
        image_size: of the square picture, in pixels.
        renderer: ``raycast`` (no OpenGL) or ``gl`` (dm_control's own pixels); dmc only.
        camera: number or name of the camera; dmc only.
        action_repeat: control steps per decision; by default the paper's for dmc, or 1.
        observation: ``pixels`` or ``state``.
        time_limit: control steps after which an episode is truncated; by default those
            of an environment that is registered with a limit, or 1000.
        action_size: pads the actions to this size, so that one agent can act in several
            tasks; by default they are as many as the task needs.
        isolate: put it into a process of its own; see ``Isolated``.
        step_seconds: that a decision may take there.

    Raises:
        ValueError: for an unknown name or option.
        ImportError: if what the environment needs is not installed.
    """
    _expect("renderer", renderer, RENDERERS)
    _expect("observation", observation, OBSERVATIONS)
    default = _default_repeat(name)
    repeat = default if action_repeat is None else action_repeat
    _expect_positive(image_size=image_size, action_repeat=repeat)
    _expect_limit(name, time_limit)
    made = partial(
        _made,
        name,
        image_size,
        renderer,
        camera,
        repeat,
        observation,
        time_limit,
        action_size,
    )
    return Isolated(made, name, step_seconds) if isolate else made()


def _made(
    name: str,
    image_size: int,
    renderer: str,
    camera: int | str,
    repeat: int,
    observation: str,
    time_limit: int | None,
    action_size: int | None,
) -> Env:
    """The environment, with all that is wrapped around it."""
    source, _, rest = name.partition("/")
    if source == "dmc":
        domain, _, task = rest.partition("-")
        env: Env = DmControl(
            domain, task, image_size=image_size, renderer=renderer, camera=camera
        )
    else:
        mode = "rgb_array" if observation == "pixels" else None
        env = _registered(rest, mode) if source == "gym" else _own(name)
    own = env.spec and env.spec.max_episode_steps
    default = math.ceil(own / repeat) * repeat if own else EPISODE_STEPS
    env = UnitActions(RepeatActions(env, repeat, time_limit or default))
    env = Pixels(env, image_size) if observation == "pixels" else FlatState(env)
    env = env if action_size is None else PaddedActions(env, action_size)
    return Checked(env, name)


def _default_repeat(name: str) -> int:
    """The action repeat of a suite task, which has to exist, or else 1."""
    if not name.startswith("dmc/"):
        return 1
    known = {task.name: task.action_repeat for task in tasks()}
    _expect("task", name, known)
    return known[name]


def _registered(identifier: str, render_mode: str | None) -> Env:
    """An environment of Gymnasium's registry."""
    try:
        return gymnasium.make(identifier, render_mode=render_mode)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise ValueError(f"no task 'gym/{identifier}': {error}") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise ImportError(f"gym/{identifier} needs more: {error}") from error


def _own(name: str) -> Env:
    """What the user's own factory returns."""
    module, colon, factory = name.partition(":")
    if not colon:
        _expect("task", name, [task.name for task in tasks()])
    place = importlib.import_module(module)
    _expect(f"factory in {module}", factory, dir(place))
    try:
        env = getattr(place, factory)()
    except Exception as error:
        raise EnvError(f"{name} raised {type(error).__name__}: {error}") from error
    if not isinstance(env, gymnasium.Env):
        raise ValueError(f"{name} returned {env!r}, which is not a gymnasium.Env")
    return env


def _expect_limit(name: str, time_limit: int | None) -> None:
    if time_limit is None:
        return
    _expect_positive(time_limit=time_limit)
    if name.startswith("dmc/") and time_limit > EPISODE_STEPS:
        raise ValueError(
            f"time_limit (={time_limit}) is more than the {EPISODE_STEPS} control "
            "steps after which the suite ends an episode"
        )


def _expect_positive(**options: Any) -> None:
    for option, value in options.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{option} (={value!r}) must be a positive whole number")


def _expect(what: str, value: str, allowed: Iterable[str]) -> None:
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(unknown(value, allowed, what))
