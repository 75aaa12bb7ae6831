"""Rows of episodes: an observation, the action before it, the reward with it."""

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import toys
from planet_torch.envs.wrappers import Waits
from planet_torch.rollout import run_episodes


class Counting:
    """Acts (1, 1), (2, 2), ... hundredths in each of the episodes, by one array."""

    def reset(self, batch):
        self.batch, self.decisions = batch, 0
        self.action = np.zeros((batch, 2), np.float32)

    def act(self, observation):
        assert observation.shape == (self.batch, 3)
        self.decisions += 1
        self.action[:] = np.float32(self.decisions / 100)
        return self.action


def run(ends, **options):
    """Episodes that end after so many decisions."""
    envs = SyncVectorEnv([toys.diary] * len(ends))
    return run_episodes(envs, Counting(), ends, **options)


def test_a_row_is_an_observation_with_what_led_to_it():
    (episode,) = run([5])
    time = np.arange(6, dtype=np.float32)
    action = np.stack([time, time], axis=1) / 100
    np.testing.assert_array_equal(episode.observation, np.c_[time, action])
    np.testing.assert_array_equal(episode.action, action)
    np.testing.assert_array_equal(episode.reward, time)
    assert episode.reward.dtype == episode.action.dtype == np.float32
    assert len(episode) == 6
    assert episode.terminated
    assert episode.score == 15


def test_an_episode_that_ends_early_waits_for_the_others():
    """What its environment does meanwhile, by itself, is not recorded."""
    episodes = run([2, 7, 4])
    assert [len(episode) for episode in episodes] == [3, 8, 5]
    for episode in episodes:
        np.testing.assert_array_equal(episode.reward, np.arange(len(episode)))
        np.testing.assert_array_equal(episode.observation[:, 0], episode.reward)


class Counted(toys.Diary):
    """Counts what is asked of it, and wants a seed."""

    resets = steps_asked = 0

    def reset(self, *, seed=None, options=None):
        assert seed is not None
        self.resets += 1
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps_asked += 1
        return super().step(action)


def test_an_environment_that_waits_is_left_alone():
    """Gymnasium would reset it without a seed, and step it on."""
    made = [Counted(), Counted()]
    envs = SyncVectorEnv([lambda env=env: Waits(env) for env in made])
    for ends in ([2, 7], [5, 3]):  # and it begins again
        episodes = run_episodes(envs, Counting(), ends)
        plain = run(ends)
        for one, other in zip(episodes, plain, strict=True):
            np.testing.assert_array_equal(one.observation, other.observation)
            np.testing.assert_array_equal(one.reward, other.reward)
    assert [env.resets for env in made] == [2, 2]
    assert [env.steps_asked for env in made] == [2 + 5, 7 + 3]


def test_a_time_limit_is_no_end():
    (episode,) = run_episodes(SyncVectorEnv([toys.integrator]), Push(), [0])
    assert len(episode) == toys.STEPS + 1
    assert not episode.terminated


class Push:
    def reset(self, batch):
        self.batch = batch

    def act(self, observation):
        return np.ones((self.batch, 1), np.float32)


def test_a_seed_fixes_the_episode_whatever_its_neighbours():
    envs = SyncVectorEnv([toys.integrator] * 3)
    first = run_episodes(envs, Push(), [3, 5, 7])
    second = run_episodes(envs, Push(), [7, 3, 9])
    np.testing.assert_array_equal(first[0].observation, second[1].observation)
    np.testing.assert_array_equal(first[2].reward, second[0].reward)
    assert first[0].score != first[1].score


def test_the_returns_so_far_are_told_after_each_decision():
    told = []
    run([2, 3], on_decision=lambda returns: told.append(returns.tolist()))
    assert told == [[1, 1], [3, 3], [3, 6]]


def test_an_interrupted_rollout_can_be_repeated():
    def stop(returns):
        raise KeyboardInterrupt

    envs = SyncVectorEnv([toys.integrator])
    with pytest.raises(KeyboardInterrupt):
        run_episodes(envs, Push(), [1], stop)
    (again,) = run_episodes(envs, Push(), [1])
    (fresh,) = run_episodes(SyncVectorEnv([toys.integrator]), Push(), [1])
    np.testing.assert_array_equal(again.observation, fresh.observation)
