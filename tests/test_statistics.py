"""Aggregates over seeds: numbers by hand, laws, and those of rliable."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_torch.statistics import Estimate, estimate, interquartile_mean, mean

# What rliable 1.2.0 gives for these scores of five seeds (rows) in three tasks, with
# 50,000 repetitions; its `metrics.aggregate_mean`, `metrics.aggregate_iqm` and
# `library.get_interval_estimates`.
SCORES = np.array(
    [
        [637.0, 270.0, 41.0],
        [17.0, 813.0, 913.0],
        [607.0, 729.0, 544.0],
        [935.0, 816.0, 3.0],
        [857.0, 34.0, 730.0],
    ]
)
RLIABLE = {
    mean: Estimate(529.7333, 354.0, 693.2017),
    interquartile_mean: Estimate(576.3333, 305.0, 771.6667),
}


@pytest.mark.parametrize("statistic", RLIABLE)
def test_the_numbers_are_those_that_rliable_gave(statistic):
    ours, theirs = estimate(list(SCORES.T), statistic), RLIABLE[statistic]
    assert ours.value == pytest.approx(theirs.value, abs=1e-3)
    # Of 1,000; both intervals are drawn at random.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=8)


def test_the_numbers_are_those_of_rliable_if_it_is_here():
    """A check for developers: `pip install rliable 'pandas<3' 'statsmodels<0.15'`."""
    rliable = pytest.importorskip("rliable.metrics")
    library = pytest.importorskip("rliable.library")
    for statistic, theirs in (
        (mean, rliable.aggregate_mean),
        (interquartile_mean, rliable.aggregate_iqm),
    ):
        values, intervals = library.get_interval_estimates(
            {"": SCORES}, lambda s, of=theirs: np.array([of(s)]), reps=20_000
        )
        ours = estimate(list(SCORES.T), statistic)
        assert ours.value == pytest.approx(values[""][0])
        assert ours[1:] == pytest.approx(intervals[""][:, 0], abs=8)


@pytest.mark.parametrize(
    ("scores", "middle"),
    [
        ([7], 7),
        ([0, 3, 9], 4),  # nothing is cut from fewer than four
        ([0, 1, 2, 100], 1.5),
        ([100, 4, 9, 16, 0, 1], (1 + 4 + 9 + 16) / 4),
        ([*range(7), -1000], 2.5),
    ],
)
def test_the_interquartile_mean_by_hand(scores, middle):
    assert interquartile_mean(np.array(scores, float)) == pytest.approx(middle)


def test_the_interval_of_two_seeds_by_hand():
    """Their mean is 0, 1/2, 1/2 or 1: so 40% are within 1/2, and 95% within 0 to 1."""
    seeds = [np.array([0.0, 1.0])]
    assert estimate(seeds, confidence=0.4) == (0.5, 0.5, 0.5)
    assert estimate(seeds, confidence=0.95) == (0.5, 0, 1)


def test_each_task_is_drawn_by_itself():
    """Seeds that agree have no spread, however far the tasks are apart."""
    tasks = [np.full(3, 10.0), np.full(2, 990.0)]
    assert estimate(tasks) == (402, 402, 402)


def test_a_run_in_several_tasks_is_drawn_in_all_of_them_together():
    """Two runs, 0 and 1 in both tasks: as one task, and not as four independent."""
    tasks = [np.array([0.0, 1.0])] * 2
    assert estimate(tasks, confidence=0.4, paired=True) == (0.5, 0.5, 0.5)
    assert estimate(tasks, confidence=0.6, paired=True) == (0.5, 0, 1)
    assert estimate(tasks, confidence=0.6) == (0.5, 0.25, 0.75)


def test_one_seed_has_no_interval_and_none_no_value():
    alone = estimate([np.array([5.0]), np.array([1.0, 2.0])])
    assert alone.value == pytest.approx(8 / 3)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    assert str(alone) == "3"
    for nothing in ([], [np.array([])]):
        with pytest.raises(ValueError, match="needs a score"):
            estimate(nothing)


def test_an_estimate_is_written_with_its_interval():
    assert str(Estimate(511.6, 480.2, 533.1)) == "512 (480 to 533)"


scores = st.lists(st.floats(0, 1000), min_size=2, max_size=8).map(np.array)


@given(st.lists(scores, min_size=1, max_size=3))
def test_estimates_stay_within_the_scores_and_move_with_them(tasks):
    for statistic in (mean, interquartile_mean):
        one = estimate(tasks, statistic, repetitions=200)
        assert min(map(min, tasks)) - 1e-6 <= one.low <= one.high + 1e-6
        assert one.high <= max(map(max, tasks)) + 1e-6
        moved = estimate([s + 7 for s in tasks], statistic, repetitions=200)
        assert moved == pytest.approx(np.add(one, 7))
