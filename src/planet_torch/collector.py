"""What plays the episodes that the agent plans and the model then learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from gymnasium.vector import SyncVectorEnv

from planet_torch import build
from planet_torch.agent import Agent
from planet_torch.attempts import OnDecision
from planet_torch.build_envs import Spaces
from planet_torch.chunk import Episode
from planet_torch.config import Config
from planet_torch.rollout import run_episodes
from planet_torch.world_model import WorldModel

Played = tuple[Episode, int]
"""An episode, and the environment steps that it took."""
PlayTask = Callable[[str, list[int], OnDecision], Played]
"""Runs the episode of a task with one seed."""


@runtime_checkable
class Collector(Protocol):
    """Plays one episode of each task after the updates of an iteration.

    Attributes:
        weights: those that act in this iteration, if they are not the newest.
    """

    weights: Mapping[str, torch.Tensor] | None

    def begin(self, tasks: Sequence[str], seeds: Sequence[int], collected: int) -> None:
        """Before the updates: what will be asked for after them, if nothing fails.

        The noise on the actions depends on how many episodes of each task were
        ``collected`` until then.
        """

    def play(self, task: str, seeds: list[int], on_decision: OnDecision) -> Played:
        """The episode of a task with one seed."""

    def finish(self) -> None:
        """The iteration is over."""

    def close(self) -> None:
        """The run is over."""


class InTurn:
    """Plays when it is asked, by the newest weights (Algorithm 1).

    Args:
        config: of the run.
        spaces: of its tasks.
        model: that acts; may be updated between episodes.
        envs: one of each task.
        stream: of the agent's randomness.
    """

    weights: Mapping[str, torch.Tensor] | None = None

    def __init__(
        self,
        config: Config,
        spaces: Spaces,
        model: WorldModel,
        envs: Mapping[str, SyncVectorEnv],
        stream: torch.Generator,
    ) -> None:
        self.agent = partial(build.collector, config, spaces, model, stream)
        self.envs = envs
        self.collected = 0

    def begin(self, tasks: Sequence[str], seeds: Sequence[int], collected: int) -> None:
        """Nothing is played before it is asked for."""
        self.collected = collected

    def play(self, task: str, seeds: list[int], on_decision: OnDecision) -> Played:
        """The episode of a task with one seed."""
        agent = self.agent(collected=self.collected)
        return play(self.envs, agent, task, seeds, on_decision)

    def finish(self) -> None:
        """What a run that was not in turn until now began with has no use any more."""
        self.weights = None

    def close(self) -> None:
        """Nothing is open."""


def play(
    envs: Mapping[str, SyncVectorEnv],
    agent: Agent,
    task: str,
    seeds: Sequence[int],
    on_decision: OnDecision | None = None,
) -> Played:
    """Run the episode of a task with one seed in its environment."""
    (episode,) = run_episodes(envs[task], agent, seeds, on_decision)
    (steps,) = envs[task].get_attr("environment_steps")
    return episode, int(steps)
