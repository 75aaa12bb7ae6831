"""Run episodes: the one loop between agents and environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from gymnasium.vector import VectorEnv

from planet_torch.agent import Agent
from planet_torch.chunk import Episode
from planet_torch.guard import check_row


def run_episodes(
    envs: VectorEnv,
    agent: Agent,
    seeds: Sequence[int],
    on_decision: Callable[[np.ndarray], None] | None = None,
) -> list[Episode]:
    """Run one episode in each of B environments, side by side, and return them.

    What an environment that ended early does meanwhile is not recorded; those of
    ``build_envs.environments`` wait.

    Args:
        envs: B environments with equal spaces.
        agent: is reset, then asked for B actions at every decision.
        seeds: one a row; a seed fixes its episode's start and all that is random in it.
        on_decision: is told the B returns so far after every decision.

    Raises:
        NotFiniteError: at a number in a row that is not finite, with what led to it.
    """
    action_shape = envs.single_action_space.shape
    assert action_shape is not None  # only spaces of parts have none
    recorders = [_Recorder(seed) for seed in seeds]
    # Gymnasium's annotation forgets that each environment may have a seed of its own.
    observations, _ = envs.reset(seed=[int(s) for s in seeds])  # type: ignore[arg-type]
    agent.reset(len(recorders))
    for recorder, observation in zip(recorders, observations, strict=True):
        recorder.begin(observation, action_shape)
    while not all(recorder.ended for recorder in recorders):
        actions = agent.act(observations)
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        rows = zip(observations, actions, rewards, terminated, truncated, strict=True)
        for recorder, row in zip(recorders, rows, strict=True):
            recorder.record(*row)
        if on_decision:
            on_decision(np.array([recorder.total for recorder in recorders]))
    return [recorder.episode() for recorder in recorders]


class _Recorder:
    """The rows of one episode, until it ends."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rows: list[tuple[np.ndarray, np.ndarray, float]] = []
        self.ended = self.terminated = False
        self.total = 0.0

    def begin(self, observation: np.ndarray, action_shape: tuple[int, ...]) -> None:
        self.rows = [(observation.copy(), np.zeros(action_shape, np.float32), 0.0)]
        check_row(self.seed, self.rows)

    def record(
        self,
        observation: np.ndarray,
        action: np.ndarray,
        reward: float,
        terminated: bool | np.bool_,
        truncated: bool | np.bool_,
    ) -> None:
        if self.ended:
            return
        self.rows.append((observation.copy(), action.copy(), float(reward)))
        check_row(self.seed, self.rows)
        self.total += float(reward)
        self.terminated = bool(terminated)
        self.ended = bool(terminated or truncated)

    def episode(self) -> Episode:
        observations, actions, rewards = zip(*self.rows, strict=True)
        return Episode(
            observation=np.stack(observations),
            action=np.stack(actions).astype(np.float32),
            reward=np.asarray(rewards, dtype=np.float32),
            terminated=self.terminated,
        )
