"""What `benchmarks/ranked_plans.py` says of models that rank as is known."""

import dataclasses
import math

import pytest
import torch

from planet_torch.planners import CEM
from scripts import BENCHMARKS, script
from small import small, trained

ranked_plans = script(BENCHMARKS / "ranked_plans.py")


def test_what_is_gained_is_of_what_there_was_to_gain():
    """The mean is 3; the best two have 5.5, and the two that are liked have 4."""
    true = torch.tensor([1.0, 2.0, 0.0, 4.0, 5.0, 6.0])
    imagined = torch.tensor([0.0, 9.0, 0.0, 0.0, 0.0, 9.0])
    mean_imagined, mean, correlation, gained = ranked_plans.judged(imagined, true, 2)
    assert (mean_imagined, mean) == (3, 3)
    assert gained == pytest.approx((4 - 3) / (5.5 - 3))
    # Sums of products of what is off the mean: 18, of 108 and 28.
    assert correlation == pytest.approx(18 / math.sqrt(108 * 28))


@pytest.mark.parametrize(("sign", "worth"), [(1, 1.0), (-1, -1.0)])
def test_the_truth_is_a_perfect_model_and_its_opposite_the_worst(sign, worth):
    true = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, math.nan])
    imagined = sign * true.nan_to_num(99)
    *_, correlation, gained = ranked_plans.judged(imagined, true, 2)
    assert correlation == pytest.approx(worth)
    assert gained == pytest.approx(worth)


def test_nothing_is_said_of_a_choice_among_equals():
    *_, correlation, gained = ranked_plans.judged(
        torch.arange(4.0), torch.full((4,), 3.0), 2
    )
    assert math.isnan(correlation)
    assert math.isnan(gained)


def test_every_tenth_plan_is_tried_and_none_is_changed_by_it():
    planner = CEM(horizon=2, candidates=8, elites=2, iterations=3)

    def imagine(actions):
        return actions.sum(dim=(2, 3))

    def plans(planner):
        stream = torch.Generator().manual_seed(0)
        return [planner.plan(imagine, 1, 1, stream) for _ in range(12)]

    tried = ranked_plans.Tried(planner, lambda actions: -imagine(actions))
    assert all(map(torch.equal, plans(tried), plans(planner)))
    assert [len(refits) for refits in tried.seen] == [3, 3]
    for imagined, true in tried.seen[1]:
        assert imagined.shape == (8,)
        assert torch.equal(true, -imagined)


def test_a_run_has_a_row_for_each_refit(tmp_path, monkeypatch, capsys):
    pytest.importorskip("dm_control")
    config = small("dmc/reacher-easy", episodes=3)
    env = dataclasses.replace(config.env, action_repeat=100)
    config = dataclasses.replace(config, env=env)
    run = trained(tmp_path / "run", config)
    words = ["ranked_plans.py", str(run.directory), "planner.iterations=4"]
    monkeypatch.setattr("sys.argv", words)
    ranked_plans.main()
    score, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert score.startswith("An episode with a return of ")
    assert head == "| refit | imagined | true | correlation | gained |"
    assert [row.split("|")[1].strip() for row in rows] == ["1", "2", "3", "4"]
