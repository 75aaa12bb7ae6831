"""Presets: configs by name, each a plain value.

``paper`` is the released code's last version with the camera-ready numbers. The others
depart from it, and docs/paper-to-code.md says how.
"""

from __future__ import annotations

from typing import Literal

from planet_torch.config import (
    Config,
    EnvConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    PlannerConfig,
    TrainConfig,
)

Preset = Literal["paper", "paper-overshooting", "cpu", "debug"]

PRESETS: dict[Preset, Config] = {
    "paper": Config(),
    # The objective of the first release, on the dynamics of the last: one-step KL 1,
    # each of 49 longer distances 1 / 49, global prior 0.1, beside a squared error that
    # was not halved, so all are half of it here.
    "paper-overshooting": Config(
        objective=ObjectiveConfig(
            kl_weight=25.0,
            overshooting=50,
            overshooting_weight=25 / 49,
            global_prior_weight=0.05,
            free_nats=2.0,
        )
    ),
    "cpu": Config(
        env=EnvConfig(image_size=32),
        model=ModelConfig(
            belief_size=128,
            units=128,
            width=16,
            reward_layers=2,
            reward_units=128,
            activation="elu",
            norm="layer",
        ),
        objective=ObjectiveConfig(
            observation_weight=20.0,
            decoded=0.2,
            free_nats=1.0,
            kl_balance=0.8,
            value_discount=0.97,
        ),
        optimiser=OptimiserConfig(epsilon=1e-5, gradient_clip=100.0, average=0.995),
        planner=PlannerConfig(
            horizon=5,
            candidates=64,
            elites=8,
            iterations=6,
            warm_start=True,
            acts_on="means",
        ),
        train=TrainConfig(
            episodes=200, seed_episodes=20, batch=16, chunk=20, evaluate_every=20
        ),
    ),
    "debug": Config(
        env=EnvConfig(image_size=16),
        model=ModelConfig(
            stochastic_size=4,
            belief_size=16,
            units=16,
            width=4,
            reward_layers=1,
            reward_units=16,
        ),
        planner=PlannerConfig(horizon=3, candidates=8, elites=2, iterations=2),
        train=TrainConfig(
            episodes=4,
            seed_episodes=2,
            updates=3,
            batch=4,
            chunk=8,
            evaluate_every=1,
            evaluation_episodes=2,
        ),
    ),
}
