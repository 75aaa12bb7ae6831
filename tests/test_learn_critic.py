"""What `benchmarks/learn_critic.py` does to a critic, and what it leaves."""

import dataclasses

import pytest
import torch

from planet_torch.run import Run
from scripts import BENCHMARKS, script
from small import small, trained

learn_critic = script(BENCHMARKS / "learn_critic.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = small()
    objective = dataclasses.replace(
        config.objective, value_discount=0.9, value_of="greedy"
    )
    config = dataclasses.replace(config, objective=objective)
    return trained(tmp_path_factory.mktemp("critic") / "run", config)


def test_the_first_proposal_is_the_plan():
    proposals = torch.arange(12.0).reshape(2, 3, 2, 1)
    plan = learn_critic.Unsearched().plan(None, 2, 1, None, proposals=proposals)
    assert torch.equal(plan, proposals[:, 0])


def test_a_row_for_each_of_what_is_learned_of_and_the_run_as_it_was(
    run, monkeypatch, capsys
):
    monkeypatch.setattr(learn_critic, "UPDATES", 2)
    monkeypatch.setattr(learn_critic, "FORESEEN", 2)
    before = run.latest()["average"]
    learned = []
    score = learn_critic.score

    def watched(agent, run, episodes):
        learned.append(agent.world_model.state_dict())
        return score(agent, run, episodes)

    monkeypatch.setattr(learn_critic, "score", watched)
    words = ["learn_critic.py", str(run.directory), "objective.value_imagined=2"]
    monkeypatch.setattr("sys.argv", words)
    learn_critic.main()
    _, _, *rows = capsys.readouterr().out.splitlines()
    names = [row.split("|")[1].strip() for row in rows]
    assert names == [
        *("nothing more", "replay", "replay, foreseen", "replay, best", "all of it")
    ]
    critics = []
    for weights in learned[::2]:  # one before the ten episodes, and one before twenty
        for name, weight in weights.items():
            if not name.startswith("value."):
                assert torch.equal(weight, before[name])
        critics.append(weights["value.critics.0.0.weight"])
    assert torch.equal(critics[0], before["value.critics.0.0.weight"])
    for one in range(5):
        for other in range(one):
            assert not torch.equal(critics[one], critics[other])
    after = Run.open(run.directory).latest()["average"]
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_run_without_a_greedy_value_is_refused(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", small())
    monkeypatch.setattr("sys.argv", ["learn_critic.py", str(run.directory)])
    with pytest.raises(SystemExit, match=r"has no greedy value \(objective\.value_of"):
        learn_critic.main()
