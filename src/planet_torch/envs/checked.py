"""An environment whose every answer is checked, and whose faults say where they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from jaxtyping import Float64

from planet_torch.envs.wrappers import Env, Step

TOLERANCE = 1e-3  # how far an action may leave its bounds by rounding; clipped


class EnvError(RuntimeError):
    """An environment failed, hung, died, or gave what its spaces do not allow.

    The message names the environment, the decision, and what to do.
    """


def fault(name: str, place: str, what: str) -> EnvError:
    """The fault of an environment at some place of an episode."""
    return EnvError(f"environment {name}, {place}: {what}")


def place_of(decision: int, seed: int | None) -> str:
    """Which decision it is; the 0th is the reset."""
    at = f"decision {decision}" if decision else "the reset"
    return at if seed is None else f"{at} of the episode with seed {seed}"


def check_length(name: str, rows: int, terminated: bool, chunk: int) -> None:
    """Raise EnvError if an episode is cut before a chunk can be cut from it."""
    if rows < chunk and not terminated:
        raise fault(
            name,
            f"decision {rows - 1}",
            f"it cut an episode after {rows} rows, fewer than the {chunk} of a chunk, "
            "and nobody knows how it would have gone on; set train.chunk to at most "
            f"{rows}, or give back terminated if the task was over",
        )


class Checked(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Passes on what is right, and raises ``EnvError`` for anything else.

    Wrong is an exception, and an observation that is not of its space's shape and
    dtype. An action up to ``TOLERANCE`` beyond [-1, 1] is clipped; further, NaN, or of
    another shape, is a ValueError. A number from the environment that is not finite is
    the rollout's to find.
    """

    def __init__(self, env: Env, name: str) -> None:
        RecordConstructorArgs.__init__(self, name=name)
        super().__init__(env)
        self.name = name
        self._decision = 0
        self._seed: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._decision, self._seed = 0, seed
        with self._named():
            observation, info = self.env.reset(seed=seed, options=options)
        return self._checked(observation), info

    def step(self, action: Any) -> Step:
        """One decision."""
        action = checked_action(action, self.action_space.shape)
        self._decision += 1
        with self._named():
            observation, reward, terminated, truncated, info = self.env.step(action)
            total = float(reward)
        return (
            self._checked(observation),
            total,
            bool(terminated),
            bool(truncated),
            info,
        )

    def _checked(self, observation: Any) -> np.ndarray:
        """The observation, if it is one of the space."""
        space = self.observation_space
        given = np.asarray(observation)
        if (given.shape, given.dtype) != (space.shape, space.dtype):
            raise self._fault(
                f"the observation is {given.dtype} {given.shape}, but should be "
                f"{space.dtype} {space.shape}; mend the environment"
            )
        return given

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say where it was, if anything fails."""
        try:
            yield
        except EnvError:
            raise
        except Exception as error:
            raise self._fault(
                f"{type(error).__name__}: {error}; mend the environment, or let "
                "--env.isolate True restart it"
            ) from error

    def _fault(self, what: str) -> EnvError:
        return fault(self.name, place_of(self._decision, self._seed), what)


def checked_action(
    action: Any, shape: tuple[int, ...] | None
) -> Float64[np.ndarray, "A"]:
    """The action as float64 in [-1, 1], or a ValueError that says what is wrong."""
    given = np.asarray(action, np.float64)
    if given.shape != shape:
        raise ValueError(
            f"action has shape {given.shape}, the environment's is {shape}"
        )
    if not np.isfinite(given).all():
        raise ValueError(f"action {given} is not finite")
    if np.abs(given).max(initial=0) > 1 + TOLERANCE:
        raise ValueError(f"action {given} is out of [-1, 1]; clip it before the step")
    return given.clip(-1, 1)
