"""Small tasks with known answers, and a way to die in the middle of learning them.

Tests name these tasks as a user names his own: "toys:integrator".
"""

import importlib
import os
import signal
import sys
from functools import wraps

import gymnasium
import numpy as np
from gymnasium.spaces import Box

STEPS = 12  # decisions of an episode
PLANE_STEPS = 7  # of the plane
START, GOAL, SPEED = -0.75, 0.75, 0.25


class Integrator(gymnasium.Env):
    """A point on a line, pushed left or right, and paid 1 a decision near its goal."""

    action_space = Box(-1, 1, (1,), np.float32)
    observation_space = Box(-1, 1, (1,), np.float32)
    render_mode = "rgb_array"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.place = START + self.np_random.uniform(-0.2, 0.2)
        return self.observation, {}

    @property
    def observation(self):
        return np.array([self.place], np.float32)

    def step(self, action):
        self.steps += 1
        self.place = float(np.clip(self.place + SPEED * action[0], -1, 1))
        reward = min(1, 1.15 - abs(self.place - GOAL) / (GOAL - START))
        return self.observation, reward, False, self.steps >= STEPS, {}

    def render(self):
        """A bright column where the point is."""
        image = np.zeros((16, 16, 3), np.uint8)
        image[:, round((self.place + 1) / 2 * 15)] = 200
        return image


class Diary(gymnasium.Env):
    """Observes (time, last action), and is paid the time; ends when ``seed`` says."""

    action_space = Box(-1, 1, (2,), np.float32)
    observation_space = Box(-np.inf, np.inf, (3,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.end = 0, seed
        return np.array([0, 0, 0], np.float32), {}

    def step(self, action):
        self.time += 1
        observation = np.array([self.time, *action], np.float32)
        return observation, float(self.time), self.time == self.end, False, {}


class Poison(Integrator):
    """Pays so much that no loss is finite."""

    def step(self, action):
        observation, _, *end = super().step(action)
        return observation, 1e38, *end


class Plane(Integrator):
    """Is pushed by its second action, paid the first, and ends inside a decision."""

    action_space = Box(-1, 1, (2,), np.float32)

    def step(self, action):
        observation, reward, *_ = super().step(action[1:])
        return observation, reward + action[0], self.steps >= PLANE_STEPS, False, {}


integrator, diary, poison, plane = Integrator, Diary, Poison, Plane


def hook(place, calls, action, when="before"):
    """Do something before or after the n-th call of "module:object.function"."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for part in owners:
        owner = getattr(owner, part)
    original, count = getattr(owner, name), 0

    @wraps(original)
    def counted(*args, **kwargs):
        nonlocal count
        count += 1
        if count == calls and when == "before":
            action()
        result = original(*args, **kwargs)
        if count == calls and when == "after":
            action()
        return result

    setattr(owner, name, counted)


def planet(arguments, place=None, calls=0, when="before", send=signal.SIGKILL):
    """The command, in a process of its own, which gets a signal at some place."""
    from planet_torch import video
    from planet_torch.cli import main

    # As on a terminal: a shell has what it starts in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    video.video_suffix = lambda: ".gif"  # to start ffmpeg takes longer than to learn
    if place:
        hook(place, calls, lambda: os.kill(os.getpid(), send), when)
    sys.exit(main(arguments))
