"""What `benchmarks/foreseen_rewards.py` says of models that are known."""

import numpy as np
import pytest

from planet_torch.chunk import Episode
from planet_torch.export import export
from planet_torch.replay import Replay
from scripts import BENCHMARKS, script
from small import small, trained
from toy_models import counting_model

foreseen_rewards = script(BENCHMARKS / "foreseen_rewards.py")


def counted(told):
    """An episode whose observation and reward are 0, 1, 2 ...; the action says it."""
    row = np.arange(22, dtype=np.float32)
    action = np.full((22, 1), float(told), np.float32)
    return Episode(observation=row[:, None], action=action, reward=row)


def test_who_knows_how_it_goes_on_explains_all():
    seen = foreseen_rewards.explained(counting_model(), [counted(told=True)] * 2)
    assert seen == [1.0] * 6


def test_who_expects_no_change_is_off_by_the_square_of_the_distance():
    """The rewards that count are 5 to 21: of two episodes, the variance is 24.7."""
    variance = np.var([*range(5, 22)] * 2, ddof=1)
    worked = [1 - d**2 / variance for d in (0, 1, 2, 4, 8, 12)]
    seen = foreseen_rewards.explained(counting_model(), [counted(told=False)] * 2)
    assert seen == pytest.approx(worked, abs=1e-5)


def test_a_run_has_a_row_for_each_age_and_dashes_where_episodes_are_short(
    tmp_path, monkeypatch, capsys
):
    run = trained(tmp_path / "run", small(episodes=7))
    monkeypatch.setattr("sys.argv", ["foreseen_rewards.py", str(run.directory), "2"])
    foreseen_rewards.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| episodes | mean reward | 0 | 1 | 2 | 4 | 8 | 12 |")
    names = [row.split("|")[1].strip() for row in rows]
    assert names == ["1 to 1", "2 to 2", "3 to 3", "4 to 5", "the newest 2"]
    assert all(row.endswith("| - | - |") for row in rows)
    assert len(Replay(run.episodes)) == 7
    monkeypatch.setattr("sys.argv", ["foreseen_rewards.py", str(run.directory), "4"])
    with pytest.raises(SystemExit, match="7 episodes are too few: 8 are needed"):
        foreseen_rewards.main()


def test_the_model_may_be_that_of_another(tmp_path, monkeypatch, capsys):
    """Its rows are other numbers of the same episodes."""
    run, other = (
        trained(tmp_path / name, small(episodes=7, seed=seed))
        for seed, name in enumerate(("run", "other"))
    )
    printed = []
    for more in ([], [str(run.directory)], [str(other.directory)]):
        words = ["foreseen_rewards.py", str(run.directory), "2", *more]
        monkeypatch.setattr("sys.argv", words)
        foreseen_rewards.main()
        printed.append(capsys.readouterr().out)
    own, same, others = printed
    assert own == same != others
    names = [[row.split("|")[1:3] for row in text.splitlines()] for text in printed]
    assert names[0] == names[2]  # and mean rewards


def test_an_exported_agent_has_no_episodes_and_stays_as_it_is(
    tmp_path, monkeypatch, capsys
):
    agent = export(trained(tmp_path / "run", small()), tmp_path / "agent", episodes=1)
    monkeypatch.setattr("sys.argv", ["foreseen_rewards.py", str(agent.directory)])
    with pytest.raises(SystemExit, match="agent is an exported agent, without episode"):
        foreseen_rewards.main()
    assert not agent.episodes.exists()
