import itertools
import math
import time
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.testing import assert_close

from planet_torch.planners import CEM, ICEM, MPPI, RandomShooting, coloured

ALL = [
    partial(CEM, iterations=4, elites=20),
    partial(CEM, iterations=4, elites=20, spread="mean-absolute", warm_start=True),
    partial(RandomShooting),
    partial(MPPI, iterations=4),
    partial(ICEM, iterations=4),
]
NAMES = ["cem", "cem-as-printed", "random-shooting", "mppi", "icem"]
every_planner = pytest.mark.parametrize("make", ALL, ids=NAMES)
SMALL = {"horizon": 3, "candidates": 200}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def distance_to(target):
    """The return is highest, 0, if all decisions of row b are target[b]."""
    return lambda actions: -(actions - target[:, None, None]).square().sum((-1, -2))


class Recorder:
    """A return function that remembers what it was asked."""

    def __init__(self, returns_of):
        self.returns_of = returns_of
        self.asked = []

    def __call__(self, actions):
        self.asked.append(actions.clone())
        return self.returns_of(actions)


class SlowReturns:
    """A clock, and returns that cost a second of it for each candidate."""

    def __init__(self):
        self.now = 100.0
        self.evaluated = 0

    def clock(self):
        return self.now

    def __call__(self, actions):
        self.now += actions.shape[1]
        self.evaluated += actions.shape[1]
        return distance_to(torch.tensor([[0.5]]))(actions)


# The contract of all planners


@every_planner
def test_plans_have_the_shape_asked_for_and_keep_the_bounds(make):
    far = Recorder(distance_to(torch.full((2, 5), 9.0)))
    plan = make(**SMALL).plan(far, 2, 5, seeded())
    assert plan.shape == (2, 3, 5)
    assert plan.dtype == torch.float32
    for seen in [plan, *far.asked]:
        assert seen.abs().max() <= 1
    assert plan.mean() > 0.2  # towards 9


@every_planner
def test_equal_seeds_give_equal_plans_and_others_do_not(make):
    returns_of = distance_to(torch.tensor([[0.3], [-0.6]]))
    plans = [make(**SMALL).plan(returns_of, 2, 1, seeded(s)) for s in (1, 1, 2)]
    assert torch.equal(plans[0], plans[1])
    assert not torch.equal(plans[0], plans[2])


@every_planner
def test_the_global_random_stream_is_left_alone(make):
    before = torch.get_rng_state()
    make(**SMALL).plan(distance_to(torch.zeros(1, 1)), 1, 1, seeded())
    assert torch.equal(torch.get_rng_state(), before)


@every_planner
def test_a_proposal_that_no_search_would_find_is_found(make):
    """All is worth 0 but what is within 0.01 of one plan of nine numbers."""
    needle = torch.linspace(-0.9, 0.9, 9).reshape(1, 1, 3, 3)

    def returns_of(actions):
        return 100.0 * ((actions - needle).abs().amax((-1, -2)) < 0.01)

    proposals = torch.cat([torch.zeros_like(needle), needle], dim=1)
    planner = make(**SMALL)
    found = planner.plan(returns_of, 1, 3, seeded(), None, proposals)
    if isinstance(planner, CEM):  # it gives the mean of the elites, which moves there
        lost = planner.plan(returns_of, 1, 3, seeded())
        assert (found - needle[0]).norm() < (lost - needle[0]).norm()
    else:
        assert_close(found, needle[0], atol=0.01, rtol=0)


@every_planner
def test_proposals_are_tried_in_every_iteration(make):
    proposals = torch.full((2, 2, 3, 1), 0.125)
    asked = Recorder(distance_to(torch.zeros(2, 1)))
    make(**SMALL).plan(asked, 2, 1, seeded(), None, proposals)
    for actions in asked.asked:
        assert torch.equal(actions[:, :2], proposals)


targets = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 3)),
    elements=st.floats(-0.875, 0.875, width=32),
)


@every_planner
@settings(max_examples=20, deadline=None, derandomize=True)
@given(target=targets)
def test_each_row_of_a_batch_reaches_its_own_target(make, target):
    target = torch.from_numpy(target)
    planner = make(horizon=2, candidates=500)
    plan = planner.plan(distance_to(target), *target.shape, seeded())
    error = (plan - target[:, None]).square().mean((-1, -2))
    bar = 0.25 if make.func is RandomShooting else 0.03  # a random candidate: 0.5
    assert error.max() < bar


@every_planner
def test_the_rows_of_a_batch_are_independent(make):
    one = distance_to(torch.tensor([[0.3], [-0.6]]))
    other = distance_to(torch.tensor([[-0.9], [-0.6]]))
    nothing = torch.zeros(2, 3, 1)
    first = make(**SMALL).plan(one, 2, 1, seeded(), nothing)
    second = make(**SMALL).plan(other, 2, 1, seeded(), nothing)
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@every_planner
def test_plans_are_better_than_a_random_candidate(make):
    target = torch.tensor([[0.5, -0.5], [0.1, 0.9]])
    returns_of = distance_to(target)
    plan = make(**SMALL).plan(returns_of, 2, 2, seeded())
    random = torch.rand(2, 1000, 3, 2, generator=seeded(1)) * 2 - 1
    better = returns_of(plan[:, None]) > returns_of(random)
    assert better.float().mean(dim=1).min() > 0.95


@every_planner
@pytest.mark.parametrize("worst", [math.nan, -math.inf])
def test_a_nan_or_infinitely_bad_return_never_wins(make, worst):
    """All returns are negative, and those without a number lie at the better end."""

    def returns_of(actions):
        value = actions.sum((-1, -2)) - 100
        return value.masked_fill(value > -101, worst)

    plan = make(**SMALL).plan(returns_of, 2, 2, seeded())
    assert plan.isfinite().all()
    assert (plan.sum((-1, -2)) < -0.99).all()


@every_planner
def test_one_candidate_with_a_number_is_enough(make):
    """Of 200 candidates, 199 are NaN: no refit may contain any of those."""

    def returns_of(actions):
        returns = torch.full(actions.shape[:2], math.nan)
        index = actions[:, :, 0, 0].argmax(dim=1, keepdim=True)
        return returns.scatter(1, index, -5.0)

    recorder = Recorder(returns_of)
    plan = make(**SMALL).plan(recorder, 2, 1, seeded())
    last = recorder.asked[-1]
    best = last[torch.arange(2), last[:, :, 0, 0].argmax(dim=1)]
    assert_close(plan, best)


@every_planner
def test_a_row_of_only_nan_is_an_error_that_names_it(make):
    def returns_of(actions):
        returns = actions.sum((-1, -2))
        returns[1] = math.nan
        return returns

    with pytest.raises(ValueError, match="row 1 of the batch have the return NaN"):
        make(**SMALL).plan(returns_of, 3, 1, seeded())


@every_planner
@pytest.mark.parametrize("value", [-math.inf, math.inf, 0.0])
def test_returns_may_all_be_equal(make, value):
    plan = make(**SMALL).plan(
        lambda actions: torch.full(actions.shape[:2], value), 2, 2, seeded()
    )
    assert plan.isfinite().all()


@every_planner
def test_a_wrong_shape_of_returns_or_of_the_previous_plan_is_an_error(make):
    planner = make(**SMALL)
    with pytest.raises(ValueError, match=r"shape \(2, 20., 3\).*\(2, 20.\)"):
        planner.plan(lambda actions: actions[..., 0], 2, 1, seeded())
    with pytest.raises(ValueError, match=r"\(1, 3, 1\).*\(2, 3, 1\)"):
        planner.plan(lambda a: a.sum((2, 3)), 2, 1, seeded(), torch.zeros(1, 3, 1))


@every_planner
def test_no_graph_is_built(make):
    weight = torch.ones((), requires_grad=True)
    plan = make(**SMALL).plan(lambda a: weight * a.sum((2, 3)), 1, 1, seeded())
    assert not plan.requires_grad


@every_planner
def test_a_plan_takes_the_time_it_is_given(make):
    """200 candidates in slices of 25, a second each."""
    for seconds in (60, 130, 320):
        slow = SlowReturns()
        planner = make(**SMALL, clock=slow.clock, decision_budget_ms=1e3 * seconds)
        planner.plan(slow, 1, 1, seeded())
        whole = 200 if make.func is RandomShooting else math.inf
        least = min(seconds - 27, whole)  # 26 at most in a slice of ICEM's
        assert least <= slow.evaluated <= seconds


@every_planner
def test_more_time_gives_better_plans_and_the_first_slice_is_always_done(make):
    values = {0.001: 0.0, 10_000: 0.0}
    for seconds, seed in itertools.product(values, range(5)):
        slow = SlowReturns()
        planner = make(**SMALL, clock=slow.clock, decision_budget_ms=1e3 * seconds)
        plan = planner.plan(slow, 1, 1, seeded(seed))
        assert slow.evaluated >= 25
        values[seconds] += slow(plan[:, None]).item() / 5
    assert -1.5 < values[0.001] < values[10_000]  # a random candidate has -2.5


@pytest.mark.parametrize("make", [ALL[2], ALL[4]], ids=["random-shooting", "icem"])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(seconds=st.integers(1, 700))
def test_a_plan_out_of_time_is_the_best_candidate_so_far(make, seconds):
    """Of all that were evaluated, however few; those of CEM and MPPI are means."""
    slow = SlowReturns()
    recorder = Recorder(slow)
    planner = make(**SMALL, clock=slow.clock, decision_budget_ms=1e3 * seconds)
    plan = planner.plan(recorder, 1, 1, seeded())
    value = distance_to(torch.tensor([[0.5]]))
    best = max(value(actions).max().item() for actions in recorder.asked)
    assert value(plan[:, None]).item() == best


@pytest.mark.parametrize("make", [ALL[0], ALL[3]], ids=["cem", "mppi"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_a_search_out_of_time_is_one_of_fewer_iterations(make, iterations):
    slow = SlowReturns()
    size = {"horizon": 2, "candidates": 160}  # a second each
    budget = {"clock": slow.clock, "decision_budget_ms": 160e3 * iterations}
    cut = make(**size, **budget).plan(slow, 1, 1, seeded())
    whole = make(**size, iterations=iterations).plan(SlowReturns(), 1, 1, seeded())
    assert slow.evaluated == 160 * iterations
    assert torch.equal(cut, whole)


def test_an_iteration_cut_short_refits_to_the_same_share_of_elites():
    """Time for 25 of 200 candidates leaves 3 of 20 elites."""
    slow = SlowReturns()
    recorder = Recorder(slow)
    cem = CEM(
        horizon=1, candidates=200, elites=20, clock=slow.clock, decision_budget_ms=1.0
    )
    plan = cem.plan(recorder, 1, 1, seeded())
    actions = recorder.asked[0].flatten()
    elites = actions[(actions - 0.5).abs().argsort()[:3]]
    assert_close(plan.flatten()[0], elites.mean())


@every_planner
def test_of_equal_candidates_the_first_are_the_elites(make):
    recorder = Recorder(lambda actions: torch.zeros(actions.shape[:2]))
    planner = make(**SMALL)
    plan = planner.plan(recorder, 2, 1, seeded())
    share = {CEM: 20, RandomShooting: 1, MPPI: 200, ICEM: 1}[make.func]
    assert_close(plan, recorder.asked[-1][:, :share].mean(dim=1))


def test_without_a_budget_an_iteration_is_one_call_and_no_clock_is_read():
    recorder = Recorder(lambda actions: actions.sum((2, 3)))
    planner = CEM(**SMALL, elites=5, iterations=3, clock=lambda: 1 / 0)
    planner.plan(recorder, 1, 1, seeded())
    assert [len(actions[0]) for actions in recorder.asked] == [200, 200, 200]


def test_a_budget_works_with_the_real_clock():
    def slow(actions):
        time.sleep(0.01)
        return actions.sum((2, 3))

    recorder = Recorder(slow)
    CEM(**SMALL, elites=5, decision_budget_ms=100.0).plan(recorder, 1, 1, seeded())
    assert 1 <= len(recorder.asked) <= 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CEM(elites=1001), r"elites \(=1001\).*candidates \(=1000\)"),
        (lambda: CEM(elites=0), r"elites \(=0\) must be from 1"),
        (lambda: CEM(elites=1, spread="mean-absolute"), "must be from 2"),
        (lambda: CEM(iterations=0), "iterations"),
        (lambda: CEM(horizon=0), "horizon"),
        (lambda: RandomShooting(candidates=0), "candidates"),
        (lambda: RandomShooting(decision_budget_ms=0.0), "decision_budget_ms"),
        (lambda: MPPI(sigma=0.0), "sigma"),
        (lambda: MPPI(temperature=-1.0), "temperature"),
        (lambda: MPPI(iterations=0), "iterations"),
        (lambda: ICEM(beta=-0.5), "beta"),
        (lambda: ICEM(decay=0.9), "decay"),
        (lambda: ICEM(kept_fraction=1.5), "kept_fraction"),
        (lambda: ICEM(momentum=1.0), "momentum"),
        (lambda: ICEM(candidates=8, elites=9), "elites"),
        (lambda: ICEM(sigma=-0.1), "sigma"),
    ],
)
def test_impossible_options_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# CEM, as the released code has it


FOUR = torch.tensor([0.0, 0.2, 0.6, 0.8])  # mean 0.4, deviations 0.4 0.2 0.2 0.4


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        ("population", math.sqrt((0.16 + 0.04 + 0.04 + 0.16) / 4 + 1e-6)),
        ("mean-absolute", (0.4 + 0.2 + 0.2 + 0.4) / 3),
    ],
)
def test_the_spread_of_four_elites(spread, expected):
    """The standard deviation with K - 1 would be 0.365, against 0.316 and 0.4."""
    elites = torch.stack([FOUR, -FOUR])[:, :, None, None]
    stddev = CEM(spread=spread).spread_of(elites)
    assert_close(stddev, torch.full((2, 1, 1), expected))


def test_elites_that_are_equal_leave_a_spread():
    """Of the variance of 1e-6 that is added, as reference."""
    assert CEM().spread_of(torch.zeros(1, 4, 1, 1)).item() == pytest.approx(1e-3)


def test_candidates_are_clipped_before_they_are_evaluated_and_refitted_to():
    """Were they clipped after the refit, all elites would lie beyond 1."""
    recorder = Recorder(lambda actions: actions.sum((2, 3)))
    cem = CEM(horizon=1, candidates=1000, elites=100, iterations=2)
    plan = cem.plan(recorder, 1, 1, seeded())
    first, second = recorder.asked
    assert first.max() == 1
    # 16 % of the first candidates are clipped to 1, so all elites are 1, their spread
    # is sqrt(1e-6), and half of the second candidates would lie above 1.
    assert second.min() > 1 - 0.005
    assert (second == 1).float().mean() > 0.4
    assert plan.item() == 1


def test_the_last_mean_is_returned_and_not_the_best_candidate():
    recorder = Recorder(distance_to(torch.tensor([[0.25]])))
    plan = CEM(horizon=1, candidates=50, elites=10, iterations=1).plan(
        recorder, 1, 1, seeded()
    )
    actions = recorder.asked[0].flatten()
    nearest = actions[(actions - 0.25).abs().argsort()[:10]]
    assert_close(plan.flatten()[0], nearest.mean())
    assert not torch.isclose(plan.flatten()[0], nearest[0])


def test_a_refit_keeps_nothing_of_the_distribution_before_it():
    """Candidates of the third iteration follow the second's elites alone."""

    class Moving:
        targets = iter([-0.5, 0.5, 0.0])

        def __call__(self, actions):
            return distance_to(torch.tensor([[next(self.targets)]]))(actions)

    recorder = Recorder(Moving())
    cem = CEM(horizon=1, candidates=4000, elites=400, iterations=3)
    cem.plan(recorder, 1, 1, seeded())
    second, third = (actions.flatten() for actions in recorder.asked[1:])
    elites = second[(second - 0.5).abs().argsort()[:400]]
    assert_close(third.mean(), elites.mean(), atol=0.01, rtol=0)
    assert_close(third.std(), elites.std(), atol=0.01, rtol=0)


def test_a_decision_starts_afresh_by_default():
    returns_of = distance_to(torch.tensor([[0.7]]))
    cem = CEM(**SMALL, elites=20)
    before = cem.plan(returns_of, 1, 1, seeded(1))
    again = cem.plan(returns_of, 1, 1, seeded(2), before)
    assert torch.equal(again, CEM(**SMALL, elites=20).plan(returns_of, 1, 1, seeded(2)))
    recorder = Recorder(returns_of)
    cem.plan(recorder, 1, 1, seeded(), torch.ones(1, 3, 1))
    assert recorder.asked[0].mean().abs() < 0.1


def test_rounds_of_one_candidate_and_one_elite_are_random_shooting():
    returns_of = distance_to(torch.tensor([[0.4], [0.1]]))
    cem = CEM(**SMALL, elites=1, iterations=1).plan(returns_of, 2, 1, seeded())
    assert_close(cem, RandomShooting(**SMALL).plan(returns_of, 2, 1, seeded()))


# Each option has its effect


@pytest.mark.parametrize(
    ("make", "last"),
    [
        (partial(CEM, elites=5, warm_start=True), 0.0),
        (partial(MPPI, sigma=1.0), 0.0),
        (partial(ICEM, elites=5, sigma=1.0, kept_fraction=0.0, beta=0.0), 0.8),
    ],
    ids=["cem", "mppi", "icem"],
)
def test_a_warm_start_is_around_the_previous_plan_one_decision_on(make, last):
    recorder = Recorder(lambda actions: actions.sum((2, 3)))
    previous = torch.tensor([[0.9, 0.0, 0.8], [0.0, 0.0, 0.0]])[:, :, None]
    planner = make(horizon=3, candidates=20_000)
    planner.plan(recorder, 2, 1, seeded(), previous)
    centre = recorder.asked[0].median(dim=1).values[:, :, 0]  # unmoved by the clipping
    expected = torch.tensor([[0.0, 0.8, last], [0.0, 0.0, 0.0]])
    assert_close(centre, expected, atol=0.03, rtol=0)


def first_candidates(planner, previous=None):
    recorder = Recorder(lambda actions: actions.sum((2, 3)))
    planner.plan(recorder, 1, 1, seeded(), previous)
    return recorder.asked[0][0, :, :, 0]


@pytest.mark.parametrize("make", [MPPI, ICEM])
def test_sigma_is_the_spread_of_the_first_candidates(make):
    for sigma in (0.05, 0.2):
        actions = first_candidates(make(sigma=sigma, candidates=5000, horizon=4))
        assert_close(actions.std(dim=0), torch.full((4,), sigma), rtol=0.05, atol=0)


def test_mppi_weighs_candidates_by_the_exponential_of_their_returns():
    """One e-fold of return per temperature: returns 0 and -2 at temperature 2."""
    weights = MPPI(temperature=2.0).weights(torch.tensor([[7.0, 5.0, -math.inf]]))
    e = math.e
    assert_close(weights, torch.tensor([[e / (e + 1), 1 / (e + 1), 0.0]]))


def test_a_low_temperature_is_greedy_and_a_high_one_averages():
    recorder = Recorder(distance_to(torch.tensor([[0.7]])))
    mppi = partial(MPPI, horizon=1, candidates=300, iterations=1)
    greedy = mppi(temperature=1e-6).plan(recorder, 1, 1, seeded())
    blurred = mppi(temperature=1e6).plan(recorder, 1, 1, seeded())
    actions = recorder.asked[0].flatten()
    assert_close(greedy.item(), actions[(actions - 0.7).abs().argmin()].item())
    assert_close(blurred.item(), actions.mean().item(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_coloured_noise_has_variance_one_at_each_decision(horizon, beta):
    white = torch.randn(3, 8000, horizon, 2, generator=seeded())
    noise = coloured(white, beta)
    assert noise.shape == white.shape
    variance = noise.square().mean(dim=(0, 1, 3))
    assert_close(variance, torch.ones(horizon), atol=0.03, rtol=0)


def test_the_power_of_coloured_noise_falls_with_frequency_to_minus_beta():
    white = torch.randn(1, 20_000, 16, 1, generator=seeded())
    assert_close(coloured(white, 0.0), white)
    power = torch.fft.rfft(coloured(white, 2.0), dim=2).abs().square().mean((0, 1, 3))
    ratio = power[1:] / power[1]
    assert_close(ratio, torch.arange(1.0, 9.0) ** -2, rtol=0.05, atol=0)
    assert_close(power[0], power[1], rtol=0.05, atol=0)


def test_beta_makes_candidates_smooth():
    change = [
        first_candidates(ICEM(beta=beta, sigma=0.2)).diff(dim=1).abs().mean()
        for beta in (0.0, 2.0)
    ]
    assert change[1] < 0.7 * change[0]


def candidates_of(planner, **options):
    recorder = Recorder(distance_to(torch.tensor([[0.5]])))
    plan = planner.plan(recorder, 1, 1, seeded(), **options)
    return plan, recorder.asked


def test_decay_leaves_fewer_candidates_but_twice_the_elites():
    icem = ICEM(candidates=100, elites=20, iterations=5, decay=1.5, kept_fraction=0.2)
    _, asked = candidates_of(icem)
    # 100 / 1.5^i, at least 40; plus the previous plan, then 4 kept; the mean at the end
    assert [len(actions[0]) for actions in asked] == [101, 70, 48, 44, 45]


def test_kept_elites_stay_among_the_candidates_so_that_nothing_good_is_lost():
    icem = ICEM(**SMALL, elites=10, kept_fraction=0.3, iterations=6)
    plan, asked = candidates_of(icem)
    returns_of = distance_to(torch.tensor([[0.5]]))
    for before, after in itertools.pairwise(asked):
        best = returns_of(before)[0].topk(3).indices
        assert torch.equal(after[0, :3], before[0, best])
    best_ever = max(returns_of(actions).max() for actions in asked)
    assert torch.equal(returns_of(plan[:, None])[0, 0], best_ever)
    none = ICEM(**SMALL, elites=10, kept_fraction=0.0, iterations=6)
    assert [len(a[0]) for a in candidates_of(none)[1]][1:] == [160, 128, 102, 81, 66]


def test_icem_carries_its_elites_to_the_next_decision_of_the_same_plan():
    icem = ICEM(**SMALL, elites=10, kept_fraction=0.3)
    plan, _ = candidates_of(icem)
    kept = icem.memory[2]
    _, asked = candidates_of(icem, previous=plan)
    assert torch.equal(asked[0][:, :3, :-1], kept[:, :, 1:])
    assert (asked[0][:, :3, -1] != kept[:, :, -1]).all()  # drawn, not copied


def test_icem_uses_its_memory_only_for_the_rows_it_belongs_to():
    returns_of = Recorder(distance_to(torch.tensor([[0.5], [-0.5]])))
    icem = ICEM(**SMALL, elites=10)
    plan = icem.plan(returns_of, 2, 1, seeded())
    kept = icem.memory[2]
    returns_of.asked.clear()
    other = torch.stack([plan[0], torch.full((3, 1), 0.25)])
    icem.plan(returns_of, 2, 1, seeded(), other)
    first = returns_of.asked[0][:, :3, :-1]
    assert torch.equal(first[0], kept[0, :, 1:])
    assert_close(first[1], torch.full((3, 2, 1), 0.25))


def test_icem_without_a_previous_plan_forgets():
    icem = ICEM(**SMALL, elites=10)
    first, asked = candidates_of(icem)
    again, asked_again = candidates_of(icem)
    assert torch.equal(again, first)
    assert all(map(torch.equal, asked, asked_again))


def test_momentum_leaves_a_part_of_the_old_distribution():
    spreads = []
    for momentum in (0.0, 0.8):
        icem = ICEM(
            horizon=1, candidates=1000, iterations=2, momentum=momentum, beta=0.0
        )
        _, asked = candidates_of(icem)
        spreads.append(asked[1][0, 4:].std())  # behind the kept and the mean
    assert spreads[1] > 0.8 * 0.5 * 0.8
    assert spreads[0] < 0.1


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_the_mean_is_a_candidate_of_the_last_iteration_only(momentum):
    icem = ICEM(horizon=1, candidates=50, elites=10, iterations=2, momentum=momentum)
    _, (first, second) = candidates_of(icem)
    order = (first - 0.5).abs().flatten().argsort()
    elites = first.flatten()[order[:10]]
    # Behind three kept elites; the first mean was 0.
    assert_close(second[0, 3, 0, 0], (1 - momentum) * elites.mean())


def test_icem_goes_on_around_its_mean_and_not_around_its_plan():
    """Of the last iteration the mean itself is a candidate, behind three kept."""
    icem = ICEM(horizon=3, candidates=50, elites=10, iterations=1)
    plan, _ = candidates_of(icem)
    mean = icem.memory[1][0]
    _, (asked,) = candidates_of(icem, previous=plan)
    assert_close(asked[0, 3], torch.stack([mean[1], mean[2], mean[2]]))
    assert not torch.isclose(mean, plan[0]).any()


def test_proposals_leave_as_many_elites_as_there_were():
    """Of equal candidates the first two, not half of all that were tried."""
    recorder = Recorder(lambda actions: torch.zeros(actions.shape[:2]))
    cem = CEM(horizon=1, candidates=4, elites=2, iterations=1)
    proposals = torch.tensor([0.5, 0.25, -1.0, -1.0]).reshape(1, 4, 1, 1)
    plan = cem.plan(recorder, 1, 1, seeded(), None, proposals)
    assert plan.item() == 0.375
