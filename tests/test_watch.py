"""Signs that nothing is learned are told once, and a healthy run has none."""

import warnings

import numpy as np
import pytest

from planet_torch.chunk import Episode
from planet_torch.watch import EPISODES, PATIENCE, Watch

HEALTHY = {"divergence": 3.0, "gradient": 5.0}


def episode(moving=True, reward=0.0):
    rows = np.arange(4, dtype=np.float32)
    observation = np.stack([rows * moving, rows * 0], axis=1)
    return Episode(observation, rows[:, None] * 0, np.float32([0, 1, 1, 1]) * reward)


def test_a_healthy_run_is_left_alone():
    """Warnings are errors here."""
    watch = Watch(gradient_clip=10.0)
    for number in range(3 * PATIENCE):
        watch.fit(HEALTHY)
        watch.episode(episode(reward=float(number)))


@pytest.mark.parametrize(
    ("means", "sign"),
    [
        ({"divergence": 0.0}, "divergence is zero since 10 fits.*objective.kl_weight"),
        ({"gradient": 11.0}, r"above optimiser.gradient_clip \(10\).*learning_rate"),
    ],
)
def test_what_lasts_is_told_once(means, sign):
    watch = Watch(gradient_clip=10.0)
    for _ in range(PATIENCE - 1):
        watch.fit(HEALTHY | means)
    watch.fit(HEALTHY)  # it was not for long
    for _ in range(PATIENCE - 1):
        watch.fit(HEALTHY | means)
    with pytest.warns(UserWarning, match=sign):
        watch.fit(HEALTHY | means)
    watch.fit(HEALTHY | means)


def test_latent_overshooting_has_a_divergence_to_look_at_too():
    watch = Watch(gradient_clip=10.0)
    for _ in range(PATIENCE - 1):
        watch.fit({"latent_overshooting": 0.0})
    with pytest.warns(UserWarning, match="divergence is zero since 10 fits"):
        watch.fit({"latent_overshooting": 0.0})


def test_pictures_that_never_change_are_told():
    watch = Watch(gradient_clip=10.0)
    with pytest.warns(UserWarning, match=r"observations .* are the same.*env.camera"):
        watch.episode(episode(moving=False))


@pytest.mark.parametrize("reward", [0.0, 2.0])
def test_a_reward_that_never_changes_is_told(reward):
    watch = Watch(gradient_clip=10.0)
    for _ in range(EPISODES - 1):
        watch.episode(episode(reward=reward))
    with pytest.warns(UserWarning, match=f"reward of 10 episodes was {reward:g}:"):
        watch.episode(episode(reward=reward))


def test_two_rewards_are_enough():
    watch = Watch(gradient_clip=10.0)
    watch.episode(episode(reward=1.0))
    with warnings.catch_warnings():
        for _ in range(2 * EPISODES):
            watch.episode(episode(reward=0.0))
