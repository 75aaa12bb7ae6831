"""Agents: something that is reset at the start of episodes and asked for actions."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from planet_torch.dynamics import State
from planet_torch.planners import Planner
from planet_torch.world_model import WorldModel


@runtime_checkable
class Agent(Protocol):
    """What a rollout needs: one call at the start of episodes, one a decision."""

    def reset(self, batch: int) -> None:
        """Begin ``batch`` episodes at once."""

    def act(
        self, observation: Shaped[np.ndarray, "B *shape"]
    ) -> Float[np.ndarray, "B A"]:
        """The next action of each episode, in [-1, 1]."""


class RandomAgent:
    """Uniform random actions: the seed episodes of Algorithm 1, random collection.

    Args:
        action_size: A.
        generator: the stream of all the agent's randomness.
    """

    def __init__(self, action_size: int, generator: torch.Generator) -> None:
        self.action_size = action_size
        self.generator = generator

    def reset(self, batch: int) -> None:
        """Nothing to forget."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """One action a row of ``observation``."""
        return self.drawn(len(observation)).cpu().numpy()

    def drawn(self, batch: int) -> Float[Tensor, "B A"]:
        """Uniform in [-1, 1]."""
        shape, device = (batch, self.action_size), self.generator.device
        actions = torch.rand(shape, generator=self.generator, device=device)
        return actions.mul_(2).sub_(1)


class BangBangAgent(RandomAgent):
    """Random actions at their bounds, held for a while.

    Each component is -1 or 1, drawn anew at a quarter of the decisions and kept at the
    others. What pushes one way for a while moves a body further than uniform draws,
    which average out.
    """

    held: Tensor | None = None

    def reset(self, batch: int) -> None:
        """Hold nothing of the episodes before."""
        self.held = None

    def act(self, observation: np.ndarray) -> np.ndarray:
        """One action a row of ``observation``."""
        actions = torch.where(self.drawn(len(observation)) < 0, -1.0, 1.0)
        if self.held is not None:
            anew = self.drawn(len(observation)) < -0.5  # a quarter of [-1, 1]
            actions = torch.where(anew, actions, self.held)
        self.held = actions
        return actions.cpu().numpy()


class RhythmicAgent(RandomAgent):
    """Random actions that push each actuator to and fro in a rhythm of its own.

    Each component is a square wave between -1 and 1, of one period and phase for all of
    an episode: log-uniform between 4 and 20 decisions, and uniform. Swings add up where
    the period is that of the body.
    """

    def reset(self, batch: int) -> None:
        """Draw the rhythms of ``batch`` episodes."""
        self.periods = 4 * 5 ** ((self.drawn(batch) + 1) / 2)
        self.phases = (self.drawn(batch) + 1) / 2
        self.decisions = 0

    def act(self, observation: np.ndarray) -> np.ndarray:
        """One action a row of ``observation``."""
        turns = self.decisions / self.periods + self.phases
        self.decisions += 1
        return torch.where(turns % 1 < 0.5, 1.0, -1.0).cpu().numpy()


class PlanetAgent:
    """Filter the observation, plan in latent space, add exploration noise.

    There is no policy network: each decision runs the planner from a sample of the
    current posterior and executes the first action of the plan (Algorithm 1).

    Args:
        world_model: the learned model.
        planner: the planner to run on imagined returns.
        observation_shape: of one observation.
        action_size: A.
        generator: the stream of all the agent's randomness, on the model's device.
        exploration: standard deviation of the noise added to each action.
        proposals: plans by the model's critic that compete in the search.
    """

    def __init__(
        self,
        world_model: WorldModel,
        planner: Planner,
        observation_shape: tuple[int, ...],
        action_size: int,
        generator: torch.Generator,
        exploration: float = 0.0,
        proposals: int = 0,
    ) -> None:
        self.world_model = world_model
        self.planner = planner
        self.observation_shape = tuple(observation_shape)
        self.action_size = action_size
        self.generator = generator
        self.exploration = exploration
        self.proposals = proposals
        self.reset(1)

    @torch.inference_mode()  # as what follows, or the first step is compiled apart
    def reset(self, batch: int = 1) -> None:
        """Begin ``batch`` episodes: zero state, zero previous action, no plan."""
        self.state: State = self.world_model.dynamics.initial(batch)
        self.action = torch.zeros(batch, self.action_size, device=self.generator.device)
        self.plan: Tensor | None = None

    @torch.inference_mode()
    def act(
        self, observation: Shaped[np.ndarray, "*batch_shape"]
    ) -> Float[np.ndarray, "*batch A"]:
        """The next action of each episode, in [-1, 1].

        Args:
            observation: (B, *shape) for the B episodes begun, or one observation
                without that axis, for which the action has no batch axis either.
        """
        given = np.asarray(observation)
        expected = np.uint8 if len(self.observation_shape) == 3 else np.floating
        if not np.issubdtype(given.dtype, expected):
            raise ValueError(
                f"the observations are {given.dtype}, but the agent has learned from "
                f"{expected.__name__}; make the environment with the options of the run"
            )
        # A copy, since some environments' pictures are read-only.
        rows = torch.tensor(given, device=self.generator.device)
        single = rows.shape == self.observation_shape
        self.filter(rows[None] if single else rows)
        returns_of = self.world_model.returns_from(self.state, self.generator)
        self.plan = self.planner.plan(
            returns_of,
            len(self.action),
            self.action_size,
            self.generator,
            self.plan,
            self.proposed(),
        )
        self.action = self.explore(self.plan[:, 0])
        # A copy: what the caller does to it must not change what is filtered next.
        action = self.action.cpu().numpy().copy()
        return action[0] if single else action

    def proposed(self) -> Float[Tensor, "B P H A"] | None:
        """What the model's critic would do from here, if it is asked."""
        if not self.proposals:
            return None
        return self.world_model.greedy_plans(
            self.state, self.proposals, self.planner.horizon, self.generator
        )

    def filter(self, observation: Shaped[Tensor, "B *shape"]) -> None:
        """Move the state on by the action that was executed and its observation."""
        expected = (len(self.action), *self.observation_shape)
        if observation.shape != expected:
            raise ValueError(
                f"the observations have shape {tuple(observation.shape)}, but the "
                f"agent was reset for {expected}; make the environment with the "
                "options of the run, and reset the agent for as many episodes as it has"
            )
        prepared = self.world_model.prepare(observation, self.generator)
        self.state = self.world_model.filter(
            self.state, prepared, self.action, self.generator
        )

    def explore(self, action: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        """The action to execute: with noise added, then clipped to the bounds."""
        noise = torch.randn(
            action.shape, generator=self.generator, device=action.device
        )
        return (action + self.exploration * noise).clamp(-1, 1)
