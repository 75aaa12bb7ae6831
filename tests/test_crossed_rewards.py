"""What `benchmarks/crossed_rewards.py` says of two runs."""

import numpy as np
import pytest
import torch

from scripts import BENCHMARKS, script
from small import small, trained

crossed_rewards = script(BENCHMARKS / "crossed_rewards.py")


def test_each_model_foresees_in_the_episodes_of_each_agent(
    tmp_path, monkeypatch, capsys
):
    runs = [
        trained(tmp_path / name, small(seed=seed)) for seed, name in enumerate("ab")
    ]
    words = [str(run.directory) for run in runs]
    monkeypatch.setattr(
        "sys.argv", ["crossed_rewards.py", *words, "--seed", "3", "--episodes", "2"]
    )
    crossed_rewards.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| episodes of | model of | real | 0 | 1 | 2 | 4 | 8 | 12 |"
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[:2] for row in cells] == [[*pair] for pair in ("aa", "ab", "ba", "bb")]
    for player, mine in zip(runs, (cells[:2], cells[2:]), strict=True):
        episodes = player.evaluate(seed=3, episodes=2)
        real = np.mean([episode.reward[5:] for episode in episodes])
        for owner, row in zip(runs, mine, strict=True):
            with torch.no_grad():
                model = owner.agent().world_model
                pairs = [*crossed_rewards.foreseen(model, episodes)]
            seen = [float(expected.mean()) for expected, _ in pairs]
            assert [float(cell) for cell in row[2:]] == pytest.approx(
                [real, *seen], abs=0.0051, nan_ok=True
            )
    assert cells[0][3:] != cells[1][3:]  # the models are two
