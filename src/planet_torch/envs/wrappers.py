"""What turns any continuous-action Gymnasium environment into one PlaNet can learn.

Actions in [-1, 1], held for several control steps whose rewards are summed; images of
one size, or one flat vector, as observations.
"""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs
from jaxtyping import Float, Float32, UInt8

BOUND = 1e9  # from there on it is none, as in lqr, which has 1e10

Env = gymnasium.Env[Any, Any]
Step = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]


def unit_box(size: int) -> Box:
    """The action space [-1, 1] of that many dimensions."""
    return Box(-1.0, 1.0, (size,), np.float32)


class Waits(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """After its end an episode stands still, until a reset with a seed.

    Gymnasium's vector environments reset one that has ended, without a seed, and step
    it on beside the others. What it would do then is of no use, and may fail.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._last: Any = None  # the observation that an episode ended with

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, or go on waiting."""
        if seed is None and self._last is not None:
            return self._last, {}
        self._last = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """One decision, or none."""
        if self._last is not None:
            return self._last, 0.0, False, False, {}
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self._last = observation
        return observation, reward, terminated, truncated, info


class UnitActions(gymnasium.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Actions in [-1, 1], flat, mapped linearly to the bounds of the environment.

    A dimension without bounds gets the action as it is, and one with a single bound the
    2 next to it.
    """

    def __init__(self, env: Env) -> None:
        """Wrap an environment whose action space is a Box, or raise ValueError."""
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
            raise ValueError(
                f"actions must be continuous (a Box of floats), not {space}"
            )
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        below, above = np.abs(low) < BOUND, np.abs(high) < BOUND
        low = np.where(below, low, np.where(above, high - 2, -1))
        high = np.where(above, high, np.where(below, low + 2, 1))
        self._low, self._high = low, high
        self._centre, self._half = (low + high) / 2, (high - low) / 2
        self._shape, self._dtype = space.shape, space.dtype
        self.action_space = unit_box(int(np.prod(space.shape)))

    def action(self, action: Float[np.ndarray, "A"]) -> Float[np.ndarray, "..."]:
        """The action in the environment's own units."""
        return self.in_own_units(action)

    def in_own_units(
        self, unit: Float[np.ndarray, "*batch A"]
    ) -> Float[np.ndarray, "..."]:
        """Actions of [-1, 1] in the environment's own units and shape."""
        unit = unit.reshape((*unit.shape[:-1], *self._shape))
        own = self._centre + self._half * unit
        own = np.clip(own, self._low, self._high)  # beyond them by rounding
        return np.asarray(own, self._dtype)


class RepeatActions(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Hold each action for several control steps, and sum their rewards.

    The episode is truncated after the last whole decision within ``time_limit`` control
    steps, and earlier where the environment ends it itself, be it inside a decision.

    Attributes:
        action_repeat: control steps a decision.
        decisions: the most that an episode has, by ``time_limit`` and by the limit of
            an environment registered with Gymnasium.
        environment_steps: control steps since the last reset.
    """

    def __init__(self, env: Env, repeat: int, time_limit: int) -> None:
        """Repeat each action ``repeat`` times."""
        RecordConstructorArgs.__init__(self, repeat=repeat, time_limit=time_limit)
        super().__init__(env)
        if repeat > time_limit:
            raise ValueError(
                f"action_repeat (={repeat}) exceeds time_limit (={time_limit})"
            )
        limit = (env.spec and env.spec.max_episode_steps) or time_limit
        self.decisions = min(time_limit // repeat, math.ceil(limit / repeat))
        self.action_repeat, self.environment_steps = repeat, 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self.environment_steps = 0
        return self.env.reset(**options)

    def step(self, action: Any) -> Step:
        """One decision."""
        total = 0.0
        for _ in range(self.action_repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            self.environment_steps += 1
            if terminated or truncated:
                break
        timeout = self.environment_steps >= self.decisions * self.action_repeat
        return observation, total, terminated, truncated or timeout, info


class Pixels(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Observe the rendered picture, (size, size, 3) uint8, and not the state."""

    def __init__(self, env: Env, size: int) -> None:
        """Wrap an environment with ``render_mode="rgb_array"``, or raise ValueError."""
        RecordConstructorArgs.__init__(self, size=size)
        super().__init__(env)
        if env.render_mode != "rgb_array":
            raise ValueError(
                f"pixels need render_mode='rgb_array', not {env.render_mode!r}; "
                "or ask for observation='state'"
            )
        self.size = size
        self.observation_space = Box(0, 255, (size, size, 3), np.uint8)

    def observation(self, observation: Any) -> UInt8[np.ndarray, "size size 3"]:
        """The picture in place of the observation."""
        del observation
        image = np.asarray(self.env.render())
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"render() gave {image.dtype} {image.shape}, not uint8 "
                "(height, width, 3)"
            )
        return resized(image, self.size)


def resized(
    image: UInt8[np.ndarray, "height width 3"], size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """The whole picture squeezed to a square, each pixel the mean of what it covers."""
    if image.shape[:2] == (size, size):
        return image
    from PIL import Image

    small = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    return np.asarray(small)


class FlatState(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Observe the environment's own observation as one float32 vector."""

    def __init__(self, env: Env) -> None:
        """Wrap an environment whose observations can be flattened."""
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        space = gymnasium.spaces.flatten_space(env.observation_space)
        if not isinstance(space, Box):
            raise ValueError(f"{env.observation_space} does not flatten to a vector")
        self.observation_space = Box(-np.inf, np.inf, space.shape, np.float32)

    def observation(self, observation: Any) -> Float32[np.ndarray, "n"]:
        """The observation as a vector."""
        space = self.env.observation_space
        return np.asarray(gymnasium.spaces.flatten(space, observation), np.float32)


class PaddedActions(gymnasium.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Take actions of a common size, so that one agent can act in every task.

    The environment uses the first dimensions, and ignores the rest (as reference:
    one agent on all tasks).
    """

    def __init__(self, env: Env, size: int) -> None:
        """Pad to ``size`` dimensions, or raise ValueError where that is too few."""
        RecordConstructorArgs.__init__(self, size=size)
        super().__init__(env)
        shape = env.action_space.shape
        assert shape is not None
        assert len(shape) == 1
        if shape[0] > size:
            raise ValueError(
                f"size (={size}) is less than the {shape[0]} actions needed"
            )
        self._used = shape[0]
        self.action_space = unit_box(size)

    def action(self, action: Float[np.ndarray, "A"]) -> Float[np.ndarray, "used"]:
        """The dimensions that the environment uses."""
        return action[: self._used]
