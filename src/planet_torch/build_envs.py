"""From a config to its environments, and what a model must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from gymnasium.vector import SyncVectorEnv

from planet_torch.checkpoint import fitting
from planet_torch.config import Config
from planet_torch.envs import make
from planet_torch.envs.wrappers import Waits


@dataclass(frozen=True)
class Spaces:
    """What a model must know of the tasks.

    Attributes:
        observation: the shape of one observation; three axes are a picture.
        action_size: A, of the task that needs most; the others ignore the rest.
    """

    observation: tuple[int, ...]
    action_size: int

    @classmethod
    def learned(cls, state: Mapping[str, Any]) -> Spaces:
        """Those of the tasks that a checkpoint has learned."""
        with fitting():
            stored = state["spaces"]
            return cls(tuple(stored["observation"]), stored["action_size"])

    def check(self, task: str, now: Spaces) -> None:
        """Raise ValueError if they are not what the environments have now."""
        if now != self:
            raise ValueError(
                f"the environment of {task} now has {now}, but what has been learned "
                f"is for {self}; have it as it was, or begin another run"
            )

    def __str__(self) -> str:
        """In words, for errors."""
        shape = " x ".join(map(str, self.observation)) or "one number"
        return f"observations of {shape} and actions of {self.action_size}"


def environments(
    config: Config, task: str, count: int, learned: Spaces | None = None
) -> SyncVectorEnv:
    """``count`` environments of a task, stepped together.

    Args:
        config: of the run.
        task: one of the run's.
        count: how many.
        learned: the spaces of the agent that acts; actions are as many as in the task
            if left out.

    Raises:
        ValueError: if they are no longer those that the agent has learned.
    """
    size = learned.action_size if learned and len(config.tasks) > 1 else None
    make_one = partial(make, task, **asdict(config.env), action_size=size)
    envs = SyncVectorEnv([lambda: Waits(make_one())] * count)
    try:
        if learned:
            learned.check(task, _spaces_of(envs))
    except ValueError:
        envs.close()
        raise
    return envs


def _spaces_of(envs: SyncVectorEnv) -> Spaces:
    """Of the observations and actions of one of them."""
    observation = envs.single_observation_space.shape
    action = envs.single_action_space.shape
    assert observation is not None  # only spaces of parts have none
    assert action is not None
    return Spaces(observation, action[0])


def decisions(envs: SyncVectorEnv) -> int:
    """The most decisions that an episode of these environments has."""
    return int(envs.get_attr("decisions")[0])


def spaces(config: Config, begin: bool = False) -> Spaces:
    """The spaces that all tasks fit in, from one environment of each.

    Args:
        config: of the run.
        begin: whether to begin an episode of each, to see that it can.

    Raises:
        ValueError: if one agent cannot learn these tasks, or not in such chunks.
        ImportError: if what an environment needs is not installed.
        EnvError: if one cannot begin an episode.
    """
    if len(set(config.tasks)) < len(config.tasks):
        raise ValueError(f"task (={config.task!r}) names a task twice")
    found: dict[str, Spaces] = {}
    for task in config.tasks:
        with closing(environments(config, task, 1)) as envs:
            _check_chunk(config, task, decisions(envs) + 1)
            found[task] = _spaces_of(envs)
            if begin:
                envs.reset(seed=0)
    observations = {task: spaces.observation for task, spaces in found.items()}
    if len({*observations.values()}) > 1:
        raise ValueError(
            f"one agent needs tasks with observations of one shape, not {observations};"
            " with --env.observation pixels they are"
        )
    most = max(spaces.action_size for spaces in found.values())
    return Spaces(observations[config.tasks[0]], most)


def _check_chunk(config: Config, task: str, rows: int) -> None:
    """Raise ValueError if no episode of a task is as long as a chunk."""
    if config.train.chunk > rows:
        raise ValueError(
            f"train.chunk (={config.train.chunk}) is more than the {rows} rows of an "
            f"episode of {task}; lower it, or lower env.action_repeat"
        )
