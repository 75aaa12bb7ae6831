"""What a few seeds say: mean, interquartile mean, and intervals by the bootstrap.

After Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical
Precipice", whose library ``rliable`` gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

Scores = Float64[np.ndarray, "*batch N"]
Statistic = Callable[[Scores], Float64[np.ndarray, "*batch"]]


class Estimate(NamedTuple):
    """A number that depends on the seeds, and how far it may be trusted.

    Attributes:
        value: for the seeds that were run.
        low: where the interval begins; NaN if no seed was repeated.
        high: where it ends.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Such as 512 (480 to 533)."""
        if np.isnan(self.low):
            return f"{round(self.value)}"
        return f"{round(self.value)} ({round(self.low)} to {round(self.high)})"


def mean(scores: Scores) -> Float64[np.ndarray, "*batch"]:
    """The mean over the last axis."""
    return np.asarray(scores.mean(-1))


def interquartile_mean(scores: Scores) -> Float64[np.ndarray, "*batch"]:
    """The mean of the middle half, over the last axis.

    A quarter of the scores is left out at each end, rounded down to whole scores; so
    it is the mean of fewer than four.
    """
    count = scores.shape[-1]
    cut = count // 4
    return mean(np.sort(scores, axis=-1)[..., cut : count - cut])


def estimate(
    tasks: Sequence[Float64[np.ndarray, "_"]],
    statistic: Statistic = mean,
    confidence: float = 0.95,
    repetitions: int = 10_000,
    paired: bool = False,
) -> Estimate:
    """A statistic of all scores, with its interval by the stratified bootstrap.

    Each repetition draws as many seeds as there are, with replacement and for each
    task by itself; the interval goes from percentile to percentile of what comes out.
    With few seeds it is too narrow: three can be drawn in only ten ways.

    Args:
        tasks: for each task the score of each seed; tasks may have different numbers.
        statistic: `mean` or `interquartile_mean`.
        confidence: the share of repetitions that the interval holds.
        repetitions: of the draw; its random stream is fixed.
        paired: whether one seed is one run in all tasks, and so is drawn in all of them
            together.

    Raises:
        ValueError: if a task has no score, or paired tasks have not as many each.
    """
    if not tasks or not all(map(len, tasks)):
        raise ValueError("an estimate needs a score of every task")
    value = float(statistic(np.concatenate(tasks)))
    if min(map(len, tasks)) < 2:
        return Estimate(value, np.nan, np.nan)
    random = np.random.default_rng(0)
    if paired:
        together = np.stack(tasks)
        count = together.shape[1]
        draws = [*together[:, random.integers(count, size=(repetitions, count))]]
    else:
        draws = [s[random.integers(len(s), size=(repetitions, len(s)))] for s in tasks]
    outside = 100 * (1 - confidence) / 2
    values = statistic(np.concatenate(draws, axis=1))
    low, high = np.percentile(values, [outside, 100 - outside])
    return Estimate(value, float(low), float(high))
