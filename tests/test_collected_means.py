"""What `benchmarks/collected_means.py` says of curves worked by hand, and of ours."""

import pytest

from scripts import BENCHMARKS, ROOT, script

collected_means = script(BENCHMARKS / "collected_means.py")
RESULTS = ROOT / "docs" / "results"

CURVE = """kind,task,environment_steps,decisions,updates,episodes,minutes,return,spread
seed,dmc/a,1000,500,0,1,0.5,900.0,
collect,dmc/a,2000,1000,10,2,1.5,100.0,
evaluate,dmc/a,2000,1000,10,2,1.8,500.0,1.0
collect,dmc/a,3000,1500,20,3,2.5,200.0,
collect,dmc/a,4000,2000,30,4,3.5,600.0,
"""


@pytest.fixture
def curve(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text(CURVE)
    return path


def lines(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["collected_means.py", *map(str, words)])
    collected_means.main()
    return capsys.readouterr().out.splitlines()


def test_a_column_is_the_mean_of_the_last_episodes_until_then(
    curve, capsys, monkeypatch
):
    """Of two: 100; 100 and 200; 200 and 600. Seed episodes and evaluations are out."""
    words = curve, "--every", 10, "--episodes", 2
    assert lines(capsys, monkeypatch, *words) == [
        "| updates | 10 | 20 | 30 | end |",
        "| --- | --- | --- | --- | --- |",
        "| curve | 100 | 150 | 400 | 400 |",
    ]


def test_low_returns_are_counted_among_these(curve, capsys, monkeypatch):
    words = curve, "--every", 10, "--episodes", 2, "--below", 200
    assert lines(capsys, monkeypatch, *words)[2] == (
        "| curve | 100 (1) | 150 (1) | 400 | 400 |"
    )


def test_columns_can_be_minutes(curve, capsys, monkeypatch):
    """Nothing was collected in the first minute."""
    words = curve, "--by", "minutes", "--every", 1
    assert lines(capsys, monkeypatch, *words)[0] == "| minutes | 1 | 2 | 3 | end |"
    assert lines(capsys, monkeypatch, *words)[2] == "| curve |  | 100 | 150 | 300 |"


def test_a_run_that_had_ended_has_no_number(curve, tmp_path, capsys, monkeypatch):
    """Its last episodes are of fewer updates than the column says."""
    short = tmp_path / "short.csv"
    short.write_text("".join(CURVE.splitlines(keepends=True)[:3]))
    words = curve, short, "--every", 10, "--episodes", 2
    assert lines(capsys, monkeypatch, *words)[3] == "| short | 100 |  |  | 100 |"


def test_a_run_without_collected_episodes_is_named(curve, capsys, monkeypatch):
    curve.write_text("".join(CURVE.splitlines(keepends=True)[:2]))
    with pytest.raises(SystemExit, match=r"curve\.csv has no collected episodes"):
        lines(capsys, monkeypatch, curve)


def test_two_files_of_one_name_have_a_row_each(curve, tmp_path, capsys, monkeypatch):
    other = tmp_path / "other" / "curve.csv"
    other.parent.mkdir()
    other.write_text(CURVE.replace("600.0", "800.0"))
    rows = lines(capsys, monkeypatch, curve, other, "--every", 30)[2:]
    assert rows == ["| curve | 300 | 300 |", "| curve | 367 | 367 |"]


@pytest.mark.parametrize("option", ["--every", "--episodes"])
@pytest.mark.parametrize("value", ["0", "-5", "2.5"])
def test_no_columns_or_episodes_are_refused(option, value, curve, capsys, monkeypatch):
    with pytest.raises(SystemExit, match="2"):
        lines(capsys, monkeypatch, curve, f"{option}={value}")
    told = f"argument {option}: '{value}' must be a whole number from 1 on"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("finger-spin", []),
        ("finger-spin-greedy-1", []),
        ("finger-spin-greedy-3", []),
        ("finger-spin-imagined-1", []),
        ("finger-spin-imagined-2", []),
        ("finger-spin-imagined-3", []),
        ("ball_in_cup-catch", ["--episodes", 40]),
        ("ball_in_cup-catch-1", ["--episodes", 40]),
        ("ball_in_cup-catch-2", ["--episodes", 40]),
        ("ball_in_cup-catch-2-longer", ["--episodes", 40]),
        ("cheetah-run-0", ["--every", 3000, "--below", 400]),
        ("cheetah-run", ["--every", 3000, "--below", 400]),
        ("cheetah-run-2", ["--every", 3000, "--below", 400]),
        ("cheetah-run-plans-of-six-0", ["--every", 3000, "--below", 400]),
        ("cheetah-run-plans-of-six-1", ["--every", 3000, "--below", 400]),
        ("cheetah-run-plans-of-six-2", ["--every", 3000, "--below", 400]),
        ("reacher-easy", ["--every", 6000]),
    ],
)
def test_the_tables_of_the_docs_are_of_their_data(name, words, capsys, monkeypatch):
    """The cheetah's begin after 12,000 updates."""
    row = lines(capsys, monkeypatch, RESULTS / f"{name}.csv", *words)[2]
    cells = row.split(" | ")[1:-1]  # without the name and the end
    begun = cells[3 if "cheetah" in name else 0 :]
    told = " | ".join(["", *begun, ""])  # of whole cells
    assert told.rstrip() in (RESULTS.parent / "results.md").read_text()
