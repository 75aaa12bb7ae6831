"""What `benchmarks/fit_episodes.py` learns from, and what it never sees."""

import pytest

from planet_torch.replay import Replay
from scripts import BENCHMARKS, script
from small import small, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("fit") / "run", small(episodes=7))


@pytest.fixture
def rows(run, monkeypatch, capsys):
    """The rows that it prints, without the minutes."""
    fit_episodes = script(BENCHMARKS / "fit_episodes.py")

    def call(*words):
        monkeypatch.setattr("sys.argv", ["fit_episodes.py", str(run.directory), *words])
        fit_episodes.main()
        head, _, *rows = capsys.readouterr().out.splitlines()
        assert head.startswith("| updates | minutes | episodes | 0 | 1 | 2 | 4 | 8 |")
        cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
        return [(cell[0], cell[2], *cell[3:]) for cell in cells]

    return call


def test_each_quarter_shows_both_groups_and_an_option_changes_what_is_learned(rows):
    seen = rows("8", "2")
    names = ["learned from", "never seen"] * 4
    assert [row[:2] for row in seen] == [
        (str(2 * (i // 2 + 1)), name) for i, name in enumerate(names)
    ]
    assert seen == rows("8", "2")
    assert seen != rows("8", "2", "objective.reward_weight=1000")


def test_what_is_held_has_no_share_in_what_is_learned(rows, run):
    before = rows("4", "2")
    replay = Replay(run.episodes)
    oldest = [replay.read(place) for place in (0, 1)]
    replay.truncate(5)
    for episode in oldest:
        replay.add(episode)
    after = rows("4", "2")
    assert [row for row in before if row[1] == "learned from"] == [
        row for row in after if row[1] == "learned from"
    ]
    assert before != after


@pytest.mark.parametrize("held", ["0", "4"])
def test_it_keeps_one_episode_or_half_of_them_at_most(rows, held):
    with pytest.raises(SystemExit, match=f"={held}. must be from 1 to half of the 7"):
        rows("4", held)


def test_an_unknown_option_is_said(rows):
    with pytest.raises(ValueError, match="reward_wait"):
        rows("4", "2", "objective.reward_wait=1")
