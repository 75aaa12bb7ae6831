"""Environments that misbehave: "hostile:raises" and the like.

Each misbehaves at its seventh decision. Those that end in ``_once`` do so the first
time only, even if the process that they are in dies: a file remembers it.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

import toys

WHEN = 7  # the decision, in each episode


class Hostile(toys.Integrator):
    """Well-behaved but for what ``evil`` makes of a step or a picture."""

    def __init__(self, evil, once=False):
        self.evil, self.once = evil, once

    @property
    def is_due(self):
        if self.steps != WHEN:
            return False
        done = Path(os.environ["HOSTILE_MEMORY"]) if self.once else None
        if done and done.exists():
            return False
        if done:
            done.touch()
        return True

    def step(self, action):
        result = super().step(action)
        return self.evil(self, *result) if self.is_due else result


class BadPictures(toys.Integrator):
    """Draws what ``picture`` makes of it from some decision on."""

    def __init__(self, picture):
        self.picture = picture

    def render(self):
        image = super().render()
        return self.picture(image) if self.steps >= WHEN else image


class BadStates(toys.Integrator):
    """Observes what ``state`` makes of it."""

    def __init__(self, state):
        self.state = state

    def step(self, action):
        observation, *rest = super().step(action)
        return self.state(observation) if self.steps >= WHEN else observation, *rest


def fail(env, *result):
    raise KeyError("a joint that is not there")


def hang(env, *result):
    Path(os.environ.get("HOSTILE_MEMORY", os.devnull)).touch()
    time.sleep(1000)


def crash(env, *result):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(env, *result):
    os._exit(3)


def pay(reward):
    return lambda env, observation, _, *rest: (observation, reward, *rest)


def end(terminated, truncated):
    return lambda env, observation, reward, *_: (
        observation,
        reward,
        terminated,
        truncated,
        {},
    )


def raises():
    return Hostile(fail)


def hangs():
    return Hostile(hang)


def crashes():
    return Hostile(crash)


def leaves():
    return Hostile(leave)


def raises_once():
    return Hostile(fail, once=True)


def hangs_once():
    return Hostile(hang, once=True)


def crashes_once():
    return Hostile(crash, once=True)


def pays_nan():
    return Hostile(pay(np.nan))


def pays_nan_once():
    return Hostile(pay(np.nan), once=True)


def pays_none():
    return Hostile(pay(None))


def is_over():
    return Hostile(end(True, False))


def is_cut():
    return Hostile(end(False, True))


def is_of_the_old_interface():
    return Hostile(lambda env, *result: result[:4])


def draws_floats():
    return BadPictures(lambda image: image / 255)


def draws_grey():
    return BadPictures(lambda image: image[..., 0])


def draws_nothing():
    return BadPictures(lambda image: None)


def sees_too_much():
    return BadStates(lambda state: np.r_[state, state])


def sees_nan():
    return BadStates(lambda state: state * np.nan)


def sees_words():
    return BadStates(lambda state: "here")


def cannot_be_made():
    raise RuntimeError("no licence")


def dies_while_made():
    os._exit(5)


def cannot_reset():
    env = toys.Integrator()
    env.reset = lambda **_: 1 / 0
    return env


def odd_seeds_crash():
    """Dies in the first step of each episode with an odd seed."""

    class Odd(toys.Integrator):
        def reset(self, *, seed=None, options=None):
            self.seed = seed
            return super().reset(seed=seed)

        def step(self, action):
            if self.seed is not None and self.seed % 2:
                os._exit(3)
            return super().step(action)

    return Odd()


def double(pipe, offset):
    """A process that answers a number with its double, and dies at others."""
    while (number := pipe.recv()) is not None:
        if number < 0:
            os._exit(-number)
        if number == 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        pipe.send(2 * number + offset)


def sleep(pipe, path=None):
    """A process that never answers, and tidies up if it can."""
    try:
        pipe.send("here")
        time.sleep(600)
    finally:
        if path is not None:
            Path(path).touch()


def ignore(pipe):
    """A process that does not even listen when it is to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(pipe)


def own_one_that_hangs(pipe):
    """In a process of its own, have an isolated environment that hangs."""
    from planet_torch.envs import make

    env = make("hostile:hangs", isolate=True)
    env.reset(seed=5)
    pipe.send(env._worker._process.pid)
    for _ in range(WHEN):
        env.step(np.ones(1, np.float32))
