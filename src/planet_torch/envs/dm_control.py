"""A task of the DeepMind Control Suite as a Gymnasium environment.

dm_control chooses its OpenGL library while it is imported. Here it is told to choose
none, since both renderers bring their own: ``raycast`` needs none, ``gl`` loads it when
the first picture is drawn.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float32, Float64, UInt8

if TYPE_CHECKING:
    from dm_control.rl.control import Environment

EPISODE_STEPS = 1000  # control steps

# Table of the suite: tasks and size of the action, by domain.
_SUITE: dict[str, dict[str, int]] = {
    "acrobot": dict.fromkeys(("swingup", "swingup_sparse"), 1),
    "ball_in_cup": {"catch": 2},
    "cartpole": dict.fromkeys(
        (
            "balance",
            "balance_sparse",
            "swingup",
            "swingup_sparse",
            "two_poles",
            "three_poles",
        ),
        1,
    ),
    "cheetah": {"run": 6},
    "dog": dict.fromkeys(("stand", "walk", "trot", "run", "fetch"), 38),
    "finger": dict.fromkeys(("spin", "turn_easy", "turn_hard"), 2),
    "fish": dict.fromkeys(("upright", "swim"), 5),
    "hopper": dict.fromkeys(("stand", "hop"), 4),
    "humanoid": dict.fromkeys(("stand", "walk", "run", "run_pure_state"), 21),
    "humanoid_CMU": dict.fromkeys(("stand", "walk", "run"), 56),
    "lqr": {"lqr_2_1": 1, "lqr_6_2": 2},
    "manipulator": dict.fromkeys(
        ("bring_ball", "bring_peg", "insert_ball", "insert_peg"), 5
    ),
    "pendulum": {"swingup": 1},
    "point_mass": dict.fromkeys(("easy", "hard"), 2),
    "quadruped": dict.fromkeys(("walk", "run", "escape", "fetch"), 12),
    "reacher": dict.fromkeys(("easy", "hard"), 2),
    "stacker": dict.fromkeys(("stack_2", "stack_4"), 5),
    "swimmer": {"swimmer6": 5, "swimmer15": 14},
    "walker": dict.fromkeys(("stand", "walk", "run"), 6),
}
# The action repeats of the paper (section 5), by domain; elsewhere 2.
_REPEATS = {"cartpole": 8, "reacher": 4, "cheetah": 4, "ball_in_cup": 4}


class Task(NamedTuple):
    """A row of the table of tasks: name as for ``make``, and what to expect."""

    name: str
    action_size: int
    action_repeat: int


def suite_tasks() -> tuple[Task, ...]:
    """Every task of the suite. Does not import dm_control."""
    return tuple(
        Task(f"dmc/{domain}-{task}", size, _REPEATS.get(domain, 2))
        for domain, tasks in _SUITE.items()
        for task, size in tasks.items()
    )


@runtime_checkable
class Renderer(Protocol):
    """Draws the physics."""

    def refresh(self) -> None:
        """Look at what an episode may have changed in the model."""

    def render(self) -> UInt8[np.ndarray, "size size 3"]:
        """The picture of the present state."""

    def close(self) -> None:
        """Let go of everything held outside Python."""


class DmControl(gymnasium.Env[Float32[np.ndarray, "n"], Float32[np.ndarray, "A"]]):
    """One task, in the task's own action units, one control step at a time.

    The observation is the task's own flat vector. ``render`` draws the state.

    Attributes:
        environment: the task as dm_control has it, with its physics.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(
        self,
        domain: str,
        task: str,
        *,
        image_size: int = 64,
        renderer: str = "raycast",
        camera: int | str = 0,
    ) -> None:
        """Load a task. The wanted renderer is made when the first picture is.

        Raises:
            ImportError: if dm_control is not installed.
            ValueError: if the task's scene has no such camera.
        """
        self.environment = _load(domain, task)
        self._size, self._renderer_name = image_size, renderer
        self._camera = _camera_number(self.environment.physics.model.ptr, camera)
        self._renderer: Renderer | None = None
        action = self.environment.action_spec()
        self.action_space = Box(
            action.minimum.astype(np.float32), action.maximum.astype(np.float32)
        )
        size = sum(
            int(np.prod(spec.shape))
            for spec in self.environment.observation_spec().values()
        )
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float32)
        self.metadata = {
            **self.metadata,
            "render_fps": round(1 / self.environment.control_timestep()),
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "n"], dict[str, Any]]:
        """Begin an episode. A seed determines it, whatever came before."""
        super().reset(seed=seed, options=options)
        draw = int(self.np_random.integers(2**32))
        self.environment.task._random = np.random.RandomState(draw)
        time_step = self.environment.reset()
        if self._renderer is not None:
            self._renderer.refresh()
        return _flat(time_step.observation), {}

    def step(
        self, action: Float32[np.ndarray, "A"]
    ) -> tuple[Float32[np.ndarray, "n"], float, bool, bool, dict[str, Any]]:
        """Advance by one control step."""
        time_step = self.environment.step(action)
        ended = time_step.last()
        terminated = ended and time_step.discount == 0
        return (
            _flat(time_step.observation),
            float(time_step.reward),
            terminated,
            ended and not terminated,
            {},
        )

    def render(self) -> UInt8[np.ndarray, "size size 3"]:
        """Draw the state."""
        if self._renderer is None:
            physics = self.environment.physics
            scene = physics.model.ptr, physics.data.ptr, self._size, self._camera
            self._renderer = _renderer(self._renderer_name, *scene)
        return self._renderer.render()

    def close(self) -> None:
        """Free the renderer and the physics."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.environment.close()


def _renderer(name: str, *scene: Any) -> Renderer:
    if name == "gl":
        from planet_torch.envs.gl import OpenGL

        return OpenGL(*scene)
    from planet_torch.envs.raycast import Raycaster

    return Raycaster(*scene)


def _load(domain: str, task: str) -> Environment:
    try:
        with _no_opengl():
            from dm_control import suite
    except ImportError as error:
        raise ImportError(
            f"dmc/{domain}-{task} needs dm_control: pip install 'planet-torch[dmc]'"
        ) from error
    # Some models are drawn at random when they are loaded: always the same one here.
    with _no_warnings():
        env: Environment = suite.load(domain, task, task_kwargs={"random": 0})
    # dm_control makes an OpenGL context where a task asks for one (quadruped-escape).
    env.physics._make_rendering_contexts = lambda: None
    return env


@contextmanager
def _no_opengl() -> Iterator[None]:
    before = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = "disabled"
    try:
        yield
    finally:
        del os.environ["MUJOCO_GL"]
        if before is not None:
            os.environ["MUJOCO_GL"] = before


@contextmanager
def _no_warnings() -> Iterator[None]:
    """MuJoCo warns of the suite's own models, which a user of them cannot change."""
    log = logging.getLogger("absl")  # dm_control passes MuJoCo's warnings on to it
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _camera_number(model: Any, camera: int | str) -> int:
    names = [model.camera(number).name for number in range(model.ncam)]
    number = names.index(camera) if camera in names else camera
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise ValueError(
            f"camera (={camera!r}) is not one of {names} or 0 to {len(names) - 1}"
        )
    return number


def _flat(
    observation: dict[str, Float64[np.ndarray, "..."]],
) -> Float32[np.ndarray, "n"]:
    return np.concatenate(
        [np.ravel(part) for part in observation.values()], dtype=np.float32
    )
