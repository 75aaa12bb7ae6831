"""What `benchmarks/old_states.py` says of models whose memory is known."""

import numpy as np
import pytest
import torch

from planet_torch.chunk import Episode
from planet_torch.export import export
from scripts import BENCHMARKS, script
from small import small, trained
from toy_models import Counting, counting_model, gaussian

old_states = script(BENCHMARKS / "old_states.py")


class Drifting(Counting):
    """What it infers is off by a tenth for each row that it read before.

    The mean of a state, which no head reads, counts them.
    """

    def advance(self, state, action):
        return torch.cat([state.sample + action, state.mean + 1], dim=-1)

    def prior(self, carry, noise):
        return gaussian(carry[..., 1:], sample=carry[..., :1])

    def posterior(self, carry, embedding, noise):
        rows = carry[..., 1:]
        return gaussian(rows, sample=embedding + rows / 10)


def counted(rows=60):
    """An episode whose observation and reward are 0, 1, 2 ...; the action says so."""
    row = np.arange(rows, dtype=np.float32)
    return Episode(row[:, None], np.ones((rows, 1), np.float32), row)


def test_who_needs_no_memory_is_as_good_from_anywhere():
    found = old_states.errors(counting_model(), [counted()] * 2)
    assert [*found] == [(40, 42), (43, 45), (46, 48), (49, 51), (52, 55)]
    assert all(errors == [0.0] * 4 for errors in found.values())


def test_who_drifts_is_better_the_less_it_read():
    """Of rows 40 to 42 the states are 41 to 43 old, and those of a window its rows."""
    model = counting_model()
    model.dynamics = Drifting()
    worked = [np.mean([4.1**2, 4.2**2, 4.3**2]), 1.2**2, 2.0**2, 4.0**2]
    found = old_states.errors(model, [counted()] * 2)
    assert found[40, 42] == pytest.approx(worked, rel=1e-4)
    assert found[52, 55][1:] == pytest.approx(worked[1:], rel=1e-4)
    assert found[52, 55][0] > 5.3**2


def test_short_episodes_are_refused():
    with pytest.raises(SystemExit, match=r"episodes of 48 rows are too short: .* 49"):
        old_states.errors(counting_model(), [counted(48)])


def test_a_run_has_a_row_for_each_span(tmp_path, monkeypatch, capsys):
    run = trained(tmp_path / "run", small())
    monkeypatch.setattr(old_states, "WINDOWS", (2, 3, 4))
    monkeypatch.setattr("sys.argv", ["old_states.py", str(run.directory), "2"])
    old_states.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| rows | from the reset | from 2 rows | from 3 rows | from 4 rows |"
    assert len(rows) == 5
    monkeypatch.setattr("sys.argv", ["old_states.py", str(run.directory), "9"])
    with pytest.raises(SystemExit, match="4 episodes are too few: 9 are asked for"):
        old_states.main()
    agent = export(run, tmp_path / "agent", episodes=1)
    monkeypatch.setattr("sys.argv", ["old_states.py", str(agent.directory)])
    with pytest.raises(SystemExit, match="agent is an exported agent, without episode"):
        old_states.main()
