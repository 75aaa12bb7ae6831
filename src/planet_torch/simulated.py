"""Planning with the true simulator: what an agent with a perfect model would do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from planet_torch import build, build_envs
from planet_torch.chunk import Episode
from planet_torch.config import Config
from planet_torch.envs.simulator import Env, Simulator
from planet_torch.planners import Planner
from planet_torch.rollout import run_episodes


class SimulatorAgent:
    """Plan each decision on copies of the environments' own physics.

    It never looks at an observation, and changes nothing in the environments.

    Args:
        envs: the B environments that it acts in, made by `make("dmc/...")`.
        planner: the planner to run on the true returns.
        generator: the stream of all the agent's randomness, on the CPU.
        threads: for the physics; by default one for each core.

    Attributes:
        seconds: spent planning so far.

    Raises:
        ValueError: if an environment is not one of dm_control.
    """

    def __init__(
        self,
        envs: Sequence[Env],
        planner: Planner,
        generator: torch.Generator,
        threads: int | None = None,
    ) -> None:
        self.simulator = Simulator(envs, threads)
        shape = envs[0].action_space.shape
        assert shape is not None  # only spaces of parts have none
        self.action_size = shape[0]
        self.planner = planner
        self.generator = generator
        self.seconds = 0.0
        self.reset(len(envs))

    def reset(self, batch: int) -> None:
        """Begin an episode in each of the B environments: there is no plan yet."""
        if batch != len(self.simulator.copies):
            raise ValueError(
                f"batch (={batch}) must be the number of environments that the agent "
                f"plans for, {len(self.simulator.copies)}"
            )
        self.plan: Tensor | None = None

    def act(
        self, observation: Shaped[np.ndarray, "B *shape"]
    ) -> Float[np.ndarray, "B A"]:
        """The first action of a new plan for each environment, in [-1, 1]."""
        start = time.perf_counter()
        batch = len(self.simulator.copies)
        self.plan = self.planner.plan(
            self.simulator, batch, self.action_size, self.generator, self.plan
        )
        self.seconds += time.perf_counter() - start
        return self.plan[:, 0].numpy().copy()

    def close(self) -> None:
        """End the threads."""
        self.simulator.close()


class Planned(NamedTuple):
    """An episode, and the mean time that a decision in it took, in seconds."""

    episode: Episode
    seconds: float


def plan_episodes(
    config: Config,
    episodes: int,
    threads: int | None = None,
    on_decision: Callable[[np.ndarray], None] | None = None,
) -> Iterator[Planned]:
    """Run episodes of a `SimulatorAgent`, one after another.

    Each depends on the seed and on its place among them alone, not on how many there
    are or on the threads.

    Args:
        config: its task, seed, env and planner count.
        episodes: how many.
        threads: for the physics; by default one for each core.
        on_decision: is told the return so far after every decision.

    Raises:
        ValueError: if the task has no simulator, or the planner cannot be.
        ImportError: if dm_control is not installed.
    """
    if not config.task.startswith("dmc/") or len(config.tasks) > 1:
        raise ValueError(
            f"task {config.task!r} has no simulator to plan with; name one task of the "
            "suite, dmc/... in `planet list`"
        )
    generator, planner = torch.Generator(), build.simulator_planner(config)
    with (
        closing(build_envs.environments(config, config.task, 1)) as envs,
        closing(SimulatorAgent(envs.envs, planner, generator, threads)) as agent,
    ):
        for word in np.random.SeedSequence(config.seed).generate_state(episodes):
            generator.manual_seed(int(word))
            agent.seconds = 0.0
            (episode,) = run_episodes(envs, agent, [int(word)], on_decision)
            yield Planned(episode, agent.seconds / (len(episode) - 1))
