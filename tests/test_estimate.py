"""What a run will take, said before it begins."""

import dataclasses
import re
import shutil
import tempfile
from collections import namedtuple

import pytest

from planet_torch import build_model, estimate
from planet_torch.build_envs import Spaces
from planet_torch.cli import main
from planet_torch.estimate import Costs, Disk, disk, hours, measure
from planet_torch.files import in_bytes
from planet_torch.metrics import Reporter
from planet_torch.presets import PRESETS
from planet_torch.report import disk_in_words
from planet_torch.run import Run
from planet_torch.trainer import Trainer

DEBUG = PRESETS["debug"]
CONFIG = dataclasses.replace(
    DEBUG,
    task="toys:integrator",
    train=dataclasses.replace(DEBUG.train, chunk=6, evaluation_episodes=1),
)
WORDS = ["toys:integrator", "--preset", "debug", "--train.chunk", "6"]


def test_the_disk_is_what_a_run_then_takes(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        trainer.train()
    expected = estimate._disk(CONFIG, trainer.spaces, [12], trainer.world_model)
    episodes = sum(path.stat().st_size for path in run.episodes.iterdir())
    assert episodes == pytest.approx(expected.episodes, rel=0.1)
    # Here the names of the parts weigh as much as their numbers.
    kept = sum(path.stat().st_size for path in run.checkpoints.iterdir())
    assert 0.5 * expected.checkpoints < kept < 2 * expected.checkpoints


def test_the_disk_of_the_paper_is_counted_by_hand():
    """1,000 episodes of 125 decisions, 64 x 64 x 3 bytes, one action, one reward."""
    config = dataclasses.replace(PRESETS["paper"], task="dmc/cartpole-swingup")
    spaces = Spaces((64, 64, 3), 1)
    model = build_model.world_model(config, spaces)
    found = estimate._disk(config, spaces, [125], model)
    assert found.episodes == 1000 * 126 * (64 * 64 * 3 + 4 + 4)
    count = sum(parameter.numel() for parameter in model.parameters())
    # Two that are kept and one that is written, of weights, average and two moments.
    assert found.checkpoints == 3 * 4 * 4 * count


def test_what_bounds_the_disk_is_counted_by_hand():
    """100 rows are sampled; 3 checkpoints, each 5 episodes of 11 rows after another."""
    options = {"replay_frames": 100, "keep_checkpoints": 3, "checkpoint_every": 5}
    train = dataclasses.replace(CONFIG.train, episodes=40, **options)
    config = dataclasses.replace(CONFIG, train=train)
    model = build_model.world_model(config, Spaces((16, 16, 3), 1))
    found = estimate._disk(config, Spaces((16, 16, 3), 1), [10], model)
    assert found.episodes == (100 + 3 * 5 * 11) * (16 * 16 * 3 + 4 + 4)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert found.checkpoints == (3 + 1) * 4 * 4 * count
    short = dataclasses.replace(config, train=dataclasses.replace(train, episodes=20))
    few = estimate._disk(short, Spaces((16, 16, 3), 1), [10], model)
    assert few.episodes == 20 * 11 * (16 * 16 * 3 + 4 + 4)


def test_a_bounded_disk_holds_no_more(tmp_path):
    """Of 12 episodes of 13 rows, those that no checkpoint needs are gone."""
    options = {"episodes": 12, "replay_frames": 26, "updates": 1}
    train = dataclasses.replace(CONFIG.train, **options)
    config = dataclasses.replace(CONFIG, train=train)
    run = Run.create(tmp_path / "run", config)
    most = 0

    class Watched(Trainer):
        def save(self):
            nonlocal most
            most = max(most, len(list(run.episodes.iterdir())))
            super().save()

    with Reporter(run.metrics) as reporter:
        trainer = Watched(run, reporter)
        trainer.train()
    expected = estimate._disk(config, trainer.spaces, [12], trainer.world_model)
    row = 16 * 16 * 3 + 4 + 4
    assert most * 13 * row <= expected.episodes == 4 * 13 * row


def test_vectors_are_floats():
    state = dataclasses.replace(CONFIG.env, observation="state")
    found = disk(dataclasses.replace(CONFIG, env=state))
    assert found.episodes == 4 * 1001 * (4 + 4 + 4)


def test_the_hours_are_counted_by_hand():
    """36 episodes after 4 seed episodes; two decisions each; an evaluation every 10."""
    config = dataclasses.replace(
        CONFIG,
        train=dataclasses.replace(
            CONFIG.train,
            episodes=40,
            seed_episodes=4,
            updates=5,
            evaluate_every=10,
            checkpoint_every=9,
        ),
    )
    costs = Costs(3600.0, 1800.0, 360.0, 720.0, 900.0, memory=0, gpu_memory=0)
    assert hours(config, costs, decisions=[2]) == pytest.approx(
        {
            "seed episodes": 4 * 2 * 1,
            "fitting": 36 * 5 * 0.5,
            "collecting": 36 * 2 * 0.1,
            "evaluating": 4 * 2 * 0.2,
            "saving": 4 * 0.25,
        }
    )


def test_random_collection_is_not_planned():
    costs = Costs(360.0, 0.0, 3600.0, 0.0, 0.0, memory=0, gpu_memory=0)
    train = dataclasses.replace(
        CONFIG.train, episodes=40, seed_episodes=4, collection="random"
    )
    parts = hours(dataclasses.replace(CONFIG, train=train), costs, decisions=[2])
    assert parts["collecting"] == pytest.approx(36 * 2 * 0.1)


def test_collecting_beside_the_updates_takes_what_it_takes_longer():
    """36 episodes of two decisions, beside 5 updates each; 7.2 hours, and 90 or 3.6."""
    costs = Costs(0.0, 1800.0, 360.0, 0.0, 0.0, memory=0, gpu_memory=0)
    for updates, collecting in ((5, 0.0), (1, 7.2 - 3.6)):
        costs = dataclasses.replace(costs, update=1800.0 if updates == 5 else 360.0)
        train = dataclasses.replace(
            CONFIG.train, episodes=40, seed_episodes=4, updates=updates, parallel=True
        )
        parts = hours(dataclasses.replace(CONFIG, train=train), costs, decisions=[2])
        assert parts["collecting"] == pytest.approx(collecting)
        assert parts["fitting"] == pytest.approx({5: 90, 1: 3.6}[updates])


def test_a_checkpoint_of_a_parallel_run_may_hold_the_weights_that_act():
    train = dataclasses.replace(CONFIG.train, parallel=True)
    one, other = (disk(c) for c in (CONFIG, dataclasses.replace(CONFIG, train=train)))
    assert other.checkpoints == one.checkpoints * 5 // 4
    assert other.episodes == one.episodes


def test_a_measurement_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    costs = measure(CONFIG, seconds=0.01)
    parts = (costs.random, costs.update, costs.decision, costs.evaluation)
    assert min(*parts, costs.checkpoint) > 0
    assert costs.update > costs.random  # of all, these are the furthest apart
    assert 5e7 < costs.memory < 1e11
    assert list(tmp_path.iterdir()) == []


def test_the_memory_of_a_process_that_collects_is_counted(monkeypatch):
    """5 GB when it has planned, 7 GB when it has learned, too; in turn, 7 in all."""
    monkeypatch.setattr(Trainer, "update", lambda self: peaks.append(7 * 10**9))
    monkeypatch.setattr(estimate, "peak_memory", lambda: peaks[-1])
    for parallel, expected in ((True, 5 + 7), (False, 7)):
        peaks = [5 * 10**9]
        train = dataclasses.replace(CONFIG.train, parallel=parallel)
        config = dataclasses.replace(CONFIG, train=train)
        assert measure(config, seconds=0.01).memory == expected * 10**9


def test_the_command_says_hours_memory_and_disk(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["estimate", *WORDS, "--seconds", "0.01"]) == 0
    said = capsys.readouterr().out
    for line in (
        "run         4 episodes of at most 1,000 decisions",
        r"measured    [\d.]+ ms an update, [\d.]+ ms a planned decision, ",
        r"hours       [\d.e-]+: [\d.e-]+ seed episodes, [\d.e-]+ fitting, ",
        r"memory      [\d.]+ [MG]B$",
        r"disk        [\d.]+ MB: [\d.]+ MB episodes, ",
    ):
        assert re.search(f"^{line}", said, re.M), line
    assert list(tmp_path.iterdir()) == []


Usage = namedtuple("Usage", "total used free")


def test_too_little_room_is_said_and_is_the_exit_status(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9, 8, 1000))
    words = ["--seconds", "0.01", "--run", str(tmp_path / "run")]
    assert main(["estimate", *WORDS, *words]) == 1
    assert f"1 kB free in {tmp_path}, which is NOT ENOUGH" in capsys.readouterr().out


def test_room_that_is_just_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9, 8, 1000))
    assert disk_in_words(Disk(900, 99), tmp_path)[1]
    assert not disk_in_words(Disk(900, 100), tmp_path)[1]


def test_each_task_has_its_episodes():
    """And its updates: twice as much of everything but the checkpoints."""
    costs = Costs(1.0, 1.0, 1.0, 1.0, 0.0, memory=0, gpu_memory=0)
    one, two = hours(CONFIG, costs, [9]), hours(CONFIG, costs, [9, 9])
    assert two == {part: 2 * value for part, value in one.items()}
    both = dataclasses.replace(CONFIG, task="toys:integrator,toys:poison")
    assert disk(both).episodes == 2 * disk(CONFIG).episodes


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (1.5e9, "1.5 GB"),
        (2.5e15, "2,500 TB"),
    ],
)
def test_bytes_are_said_in_three_digits(count, text):
    assert in_bytes(count) == text


def test_an_evaluation_is_measured_with_all_its_episodes_side_by_side(monkeypatch):
    original, asked = estimate._beginning, []

    def recorded(envs, *rest):
        asked.append(envs.num_envs)
        return original(envs, *rest)

    monkeypatch.setattr(estimate, "_beginning", recorded)
    train = dataclasses.replace(CONFIG.train, evaluation_episodes=3)
    estimate.measure(dataclasses.replace(CONFIG, train=train), seconds=0.0)
    assert asked == [1, 1, 3]
