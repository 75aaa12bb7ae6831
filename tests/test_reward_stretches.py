"""What `benchmarks/reward_stretches.py` says of rewards worked by hand."""

import numpy as np

from scripts import BENCHMARKS, script

stretches = script(BENCHMARKS / "reward_stretches.py").stretches


def test_stretches_begin_with_the_first_that_is_paid():
    """Half of the highest is paid, less is a pause."""
    reward = np.array([0, 0, 2, 1, 0.9, 0, 2, 0.0])
    assert stretches(reward) == {True: [2, 1], False: [2, 1]}


def test_without_a_reward_all_is_pause():
    assert stretches(np.zeros(3)) == {True: [], False: [3]}
