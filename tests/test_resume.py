"""A run that is cut and resumed ends with the bits of one that was not."""

import signal
import subprocess
import sys
import time

import pytest

from faults import DECISION, TRAIN, UPDATE, cut_at_random, digest, planet
from planet_torch import checkpoint

BOTH = [
    *("train", "toys:integrator,toys:plane", *TRAIN[2:]),
    *("--env.action_repeat", "2", "--train.chunk", "5"),
]


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    run = tmp_path_factory.mktemp("uncut") / "run"
    assert planet(*TRAIN, "--run", run) == 0
    whole = digest(run)
    assert [line["kind"] for line in whole["metrics"]].count("evaluate") == 2
    assert len(whole["files"]) == 5 + 2
    return whole


# Seed episodes are decisions 1-24, the first collected one 25-36, then the second one,
# and 49-72 are the two episodes of the first evaluation, side by side.
@pytest.mark.parametrize(
    ("place", "calls", "when"),
    [
        pytest.param("planet_torch.config:save", 1, "before", id="before the config"),
        pytest.param("planet_torch.config:save", 1, "after", id="in it, unsynced"),
        pytest.param("planet_torch.estimate:disk", 1, "before", id="past it"),
        pytest.param(DECISION, 3, "before", id="in the first seed episode"),
        pytest.param(DECISION, 20, "before", id="in the last seed episode"),
        pytest.param(UPDATE, 2, "after", id="in the first fit"),
        pytest.param(UPDATE, 8, "before", id="in the last fit"),
        pytest.param(DECISION, 30, "before", id="in the first planned episode"),
        pytest.param(DECISION, 60, "before", id="in an evaluation"),
        pytest.param("planet_torch.trainer:keep_episode", 1, "before", id="at a video"),
        pytest.param(
            "planet_torch.trainer:keep_episode", 1, "after", id="past a video"
        ),
        pytest.param(
            "planet_torch.checkpoint:seal", 2, "after", id="in a checkpoint, unsynced"
        ),
        pytest.param("planet_torch.checkpoint:paths", 3, "before", id="past one"),
        pytest.param("planet_torch.replay:seal", 4, "after", id="in an episode"),
        pytest.param(
            "planet_torch.replay:Replay.add", 4, "after", id="past an episode"
        ),
        pytest.param("planet_torch.metrics:_line", 6, "after", id="in a line"),
        pytest.param("planet_torch.metrics:Reporter.log", 6, "after", id="past a line"),
    ],
)
def test_a_killed_run_ends_like_an_unbroken_one(uncut, tmp_path, place, calls, when):
    run = tmp_path / "run"
    status = planet(*TRAIN, "--run", run, place=place, calls=calls, when=when)
    assert status == -signal.SIGKILL
    begun = (run / "config.json").exists()  # else there is no run yet to go on with
    assert (
        planet(*(["train", "--resume", run] if begun else [*TRAIN, "--run", run])) == 0
    )
    assert digest(run) == uncut


def test_a_run_that_dies_again_and_again_gets_there(uncut, tmp_path):
    """At each time that something is brought to the disk, a little later each time."""
    run, deaths = tmp_path / "run", 0
    words = [*TRAIN, "--run", run]
    while planet(*words, place="os:fsync", calls=deaths + 3) != 0:
        deaths += 1
        assert deaths < 40
        if (run / "config.json").exists():  # else there is no run yet to go on with
            words = ["train", "--resume", run]
    assert deaths > 8
    assert digest(run) == uncut


@pytest.mark.parametrize("place", [DECISION, UPDATE])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_where_it_goes_on(uncut, tmp_path, place, number):
    calls = {DECISION: 55, UPDATE: 5}[place]
    run = tmp_path / "run"
    status = planet(*TRAIN, "--run", run, place=place, calls=calls, send=number)
    assert status == 128 + number
    # Saved at the very update, or before the episode, and not only at the last one.
    (newest, *_) = sorted((run / "checkpoints").glob("*.safetensors"), reverse=True)
    saved = checkpoint.load(newest)["counters"]
    assert saved["updates"] == {DECISION: 6, UPDATE: 5}[place]
    assert planet("train", "--resume", run) == 0
    assert digest(run) == uncut


@pytest.fixture(scope="module")
def both_uncut(tmp_path_factory):
    run = tmp_path_factory.mktemp("uncut") / "both"
    assert planet(*BOTH, "--run", run) == 0
    whole = digest(run)
    assert len(whole["files"]) == 2 * (5 + 2)
    assert "evaluation-000010-toys-plane.gif" in whole["files"]
    return whole


# An episode of each task is 6 and 4 decisions: seed episodes are decisions 1-20, the
# first round 21-30, the second 31-40; and an evaluation is twice as many of each.
@pytest.mark.parametrize(
    ("place", "calls", "send"),
    [
        pytest.param(DECISION, 8, signal.SIGTERM, id="in a round of seeds"),
        pytest.param(DECISION, 28, signal.SIGTERM, id="in a planned round"),
        pytest.param(DECISION, 38, signal.SIGKILL, id="killed in a planned round"),
        pytest.param(DECISION, 58, signal.SIGTERM, id="in an evaluation"),
        pytest.param(UPDATE, 5, signal.SIGTERM, id="in a fit"),
        pytest.param(
            "planet_torch.trainer:Trainer.report", 2, signal.SIGKILL, id="in a report"
        ),
    ],
)
def test_an_agent_of_two_tasks_goes_on_with_the_one_whose_turn_it_is(
    both_uncut, tmp_path, place, calls, send
):
    run = tmp_path / "run"
    status = planet(*BOTH, "--run", run, place=place, calls=calls, send=send)
    assert status == (128 + send if send == signal.SIGTERM else -send)
    assert planet("train", "--resume", run) == 0
    assert digest(run) == both_uncut


@pytest.mark.parametrize("calls", [2, 5, 8])
def test_a_run_that_carries_states_goes_on_in_them(tmp_path, calls):
    """Killed, or told to stop, in each of three fits."""
    carrying = [*TRAIN, "--train.carry_states", "True"]
    assert planet(*carrying, "--run", tmp_path / "uncut") == 0
    for send in (signal.SIGTERM, signal.SIGKILL):
        run = tmp_path / send.name
        planet(*carrying, "--run", run, place=UPDATE, calls=calls, send=send)
        assert planet("train", "--resume", run) == 0
        assert digest(run) == digest(tmp_path / "uncut")


def test_a_finished_run_is_resumed_without_a_change(uncut, tmp_path):
    run = tmp_path / "run"
    assert planet(*TRAIN, "--run", run) == 0
    assert planet("train", "--resume", run) == 0
    assert digest(run) == uncut


def test_a_torn_checkpoint_is_not_used(uncut, tmp_path):
    run = tmp_path / "run"
    planet(*TRAIN, "--run", run, place=DECISION, calls=80)
    newest = max((run / "checkpoints").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert planet("train", "--resume", run) == 0
    assert digest(run) == uncut


def test_what_was_collected_after_the_checkpoint_is_set_aside(tmp_path):
    """To delete data is for the user."""
    run = tmp_path / "run"
    death = {"place": "planet_torch.replay:Replay.add", "calls": 4, "when": "after"}
    planet(*TRAIN, "--run", run, **death)
    (late,) = (run / "episodes").glob("episode-000003-*")
    before = late.read_bytes()
    planet("train", "--resume", run)
    (aside,) = (run / "episodes").glob("*.superseded*")
    assert aside.read_bytes() == before == late.read_bytes()


def test_the_command_obeys_a_signal_from_outside(tmp_path):
    """All the way from the shell: a new process, its output, its exit status."""
    run = tmp_path / "run"
    words = [sys.executable, "-m", "planet_torch", *TRAIN, "--train.updates", "100000"]
    process = subprocess.Popen(
        [*words, "--run", str(run)], stdout=subprocess.PIPE, text=True
    )
    with process:
        while process.poll() is None and not metrics_of(run):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[0]
    assert process.returncode == 143
    assert f"planet train --resume {run}" in said
    assert list((run / "checkpoints").iterdir())


def metrics_of(run):
    path = run / "metrics.jsonl"
    return path.exists() and path.read_text()


@pytest.mark.parametrize("cuts", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_no_random_cut_changes_a_bit(uncut, tmp_path, cuts):
    report = cut_at_random(tmp_path, cuts, seed=cuts, uncut=uncut)
    assert report.tried >= cuts
    assert report.survived == report.tried
