"""A run directory: what makes it one, and the agent that it holds."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest
import torch

import planet_torch as pt
import toys
from planet_torch import build
from planet_torch.envs.checked import EnvError
from planet_torch.metrics import Reporter
from planet_torch.presets import PRESETS
from planet_torch.provenance import provenance
from planet_torch.resume import resume
from planet_torch.run import Run
from planet_torch.trainer import Trainer
from planet_torch.training import train

DEBUG = PRESETS["debug"]
CONFIG = dataclasses.replace(
    DEBUG,
    task="toys:integrator",
    train=dataclasses.replace(DEBUG.train, chunk=6, episodes=3),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", CONFIG)
    with Reporter(run.metrics) as reporter:
        Trainer(run, reporter).train()
    return run


def test_a_run_is_opened_as_it_was_created(tmp_path):
    created = Run.create(tmp_path / "deep" / "run", CONFIG)
    assert Run.open(tmp_path / "deep" / "run") == created
    assert {p.name for p in created.directory.iterdir()} == {
        *("config.json", "run.json", "run.lock", "episodes", "checkpoints", "videos")
    }


def test_a_run_is_never_begun_over_another(trained):
    with pytest.raises(FileExistsError, match="planet train --resume"):
        Run.create(trained.directory, CONFIG)


def test_two_that_begin_at_once_have_one_run_between_them(tmp_path, monkeypatch):
    """The second looks again once it has the lock."""
    check, other = build.check, dataclasses.replace(CONFIG, seed=1)

    def overtaken(config):
        check(config)
        monkeypatch.setattr(build, "check", check)
        Run.create(tmp_path / "run", other)

    monkeypatch.setattr(build, "check", overtaken)
    with pytest.raises(FileExistsError, match="planet train --resume"):
        Run.create(tmp_path / "run", CONFIG)
    assert Run.open(tmp_path / "run").config == other
    assert len(Run.open(tmp_path / "run").starts()) == 1


@pytest.mark.parametrize(
    ("group", "option", "value"),
    [
        ("planner", "acts_on", "mean"),
        ("train", "batch", 4.5),
        ("model", "activation", "gelu"),
    ],
)
def test_what_could_not_be_opened_again_is_not_created(tmp_path, group, option, value):
    part = dataclasses.replace(getattr(CONFIG, group))
    object.__setattr__(part, option, value)  # as where shapes are not checked
    with pytest.raises(ValueError, match=f"option '{group}.{option}'"):
        Run.create(tmp_path / "run", dataclasses.replace(CONFIG, **{group: part}))
    assert not (tmp_path / "run").exists()


def test_a_directory_without_a_run_is_not_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("group", "options", "error"),
    [
        ("planner", {"elites": 9}, "elites"),
        ("train", {"chunk": 1002}, r"chunk \(=1002\) is more than the 1001 rows"),
        ("train", {"episodes": 1}, r"episodes \(=1\) includes the seed episodes"),
        ("train", {"shortest_chunk": 7}, r"shortest_chunk \(=7\) must be at most .*=6"),
        (
            "train",
            {"carry_states": True, "shortest_chunk": 3},
            r"carry_states .*shortest_chunk \(=3\)",
        ),
        ("objective", {"overshooting": 7}, r"\.overshooting .* chunks of 7 rows"),
        ("objective", {"reward_overshooting": 6}, r"reward_.* chunks of 7 rows"),
        (
            "objective",
            {"observation_overshooting": 7},
            r"observation_.* chunks of 7 rows",
        ),
        ("train", {"device": "abacus"}, r"device \(='abacus'\) cannot be used"),
        ("train", {"device": "cuda:99"}, r"device \(='cuda:99'\) cannot be used"),
        ("env", {"image_size": 2}, "too small"),
    ],
)
def test_what_cannot_be_built_leaves_no_run_behind(tmp_path, group, options, error):
    part = dataclasses.replace(getattr(CONFIG, group), **options)
    with pytest.raises(ValueError, match=error):
        Run.create(tmp_path / "run", dataclasses.replace(CONFIG, **{group: part}))
    assert not (tmp_path / "run").exists()


def test_an_environment_that_cannot_begin_leaves_no_run_behind(tmp_path):
    broken = dataclasses.replace(CONFIG, task="hostile:cannot_reset")
    with pytest.raises(EnvError, match="ZeroDivisionError"):
        Run.create(tmp_path / "run", broken)
    assert not (tmp_path / "run").exists()


def test_each_start_is_noted(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    run.note_start()
    starts = json.loads((run.directory / "run.json").read_text())
    assert len(starts) == 2
    assert starts[0]["packages"]["torch"] == torch.__version__
    assert starts[0].keys() == provenance().keys()


def test_the_threads_of_a_run_are_noted_when_it_goes_on_too(tmp_path):
    train = dataclasses.replace(CONFIG.train, threads=2)
    before = torch.get_num_threads()
    try:
        run = Run.create(tmp_path / "run", dataclasses.replace(CONFIG, train=train))
        torch.set_num_threads(3)  # as another process may begin
        resume(run.directory)
    finally:
        torch.set_num_threads(before)
    assert [start["threads"] for start in run.starts()] == [2, 2]


def test_only_the_commit_of_its_own_source_is_noted(tmp_path, monkeypatch):
    """And not that of a repository that the package was installed into."""

    def git(*words):
        command = [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=a",
            "-c",
            "user.email=b",
        ]
        subprocess.run([*command, *words], check=True, capture_output=True)

    inside = tmp_path / "venv" / "provenance.py"
    inside.parent.mkdir()
    inside.write_text("")
    monkeypatch.setattr("planet_torch.provenance.__file__", str(inside))
    assert provenance()["commit"] is None
    git("init")
    git("commit", "--allow-empty", "-m", "theirs")
    assert provenance()["commit"] is None
    git("add", str(inside))
    git("commit", "-m", "ours")
    assert len(provenance()["commit"]) >= 7


@pytest.mark.parametrize("name", ["Some Processor", ""])
def test_the_vector_instructions_stand_beside_the_name(name, monkeypatch):
    """Which tell processors apart that have one name, or none."""

    monkeypatch.setattr("planet_torch.provenance._processor_name", lambda: name)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    expected = f"{name}, AVX512" if name else "AVX512"
    assert provenance()["processor"] == expected


def test_before_the_first_checkpoint_there_is_no_agent(tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    assert run.latest() is None
    with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
        run.agent()


def test_a_checkpoint_that_is_damaged_is_named_and_passed_over(trained, tmp_path):
    run = Run.create(tmp_path / "run", CONFIG)
    content = (trained.checkpoints / "checkpoint-000000003.safetensors").read_bytes()
    (run.checkpoints / "checkpoint-000000003.safetensors").write_bytes(content)
    (run.checkpoints / "checkpoint-000000006.safetensors").write_bytes(content[:-1])
    with pytest.warns(
        UserWarning, match=r"checkpoint-000000006\.safetensors is not a whole"
    ):
        state = run.latest()
    assert state["counters"]["updates"] == 3
    (run.checkpoints / "checkpoint-000000003.safetensors").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="is not a whole"),
        pytest.raises(ValueError, match=r"no checkpoint in .* can be read"),
    ):
        run.latest()


def test_the_library_plays_an_episode_with_a_trained_agent(trained):
    """The ten lines of the package's documentation."""
    env = pt.make("toys:integrator", image_size=16)
    agent = pt.load(trained.directory)
    observation, _ = env.reset(seed=0)
    agent.reset()
    rows = 1
    while True:
        action = agent.act(observation)
        assert action.shape == (1,)
        assert np.abs(action).max() <= 1
        observation, _, terminated, truncated, _ = env.step(action)
        rows += 1
        if terminated or truncated:
            break
    assert rows == 13


def test_a_wrong_observation_is_refused(trained):
    agent = pt.load(trained.directory)
    with pytest.raises(ValueError, match=r"shape .*make the environment with"):
        agent.act(np.zeros((8, 8, 3), np.uint8))


def test_a_seed_repeats_an_evaluation(trained):
    first, again, other = (
        [episode.score for episode in pt.evaluate(trained.directory, 3, seed)]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert len(set(first + other)) == 6


def test_the_first_episodes_are_the_same_however_many_follow(trained):
    few, ten, more = (trained.evaluate(count) for count in (3, 10, 12))
    assert (len(few), len(ten), len(more)) == (3, 10, 12)
    for one, others in zip(few, zip(ten, more, strict=False), strict=False):
        for other in others:
            np.testing.assert_array_equal(one.action, other.action)
            np.testing.assert_array_equal(one.observation, other.observation)
    assert [e.score for e in ten] == [e.score for e in more[:10]]
    assert len({e.score for e in more}) == 12


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A run on two tasks, of 12 and 7 decisions, and one and two actions."""
    two = dataclasses.replace(CONFIG, task="toys:integrator,toys:plane")
    run = Run.create(tmp_path_factory.mktemp("runs") / "both", two)
    with Reporter(run.metrics) as reporter:
        Trainer(run, reporter).train()
    return run


@pytest.mark.parametrize(("task", "rows"), [("toys:integrator", 13), ("toys:plane", 8)])
def test_one_agent_acts_in_each_of_its_tasks(both, task, rows):
    first, second = pt.evaluate(both.directory, 2, task=task)
    assert (len(first), len(second)) == (rows, rows)
    assert first.action.shape == (rows, 2)
    assert both.predict(context=3, task=task).real.shape[1] == rows
    env = pt.make(task, image_size=16, action_size=2)
    agent = pt.load(both.directory)
    assert agent.action_size == 2
    observation, _ = env.reset(seed=0)
    agent.reset()
    env.step(agent.act(observation))


def test_a_task_is_to_be_chosen_from_those_that_were_learned(both):
    for call in both.evaluate, both.predict:
        with pytest.raises(ValueError, match=r"several .* toys:integrator, toys:plane"):
            call()
        with pytest.raises(ValueError, match="has no task 'toys:diary'; choose from"):
            call(task="toys:diary")


def test_an_environment_that_was_changed_is_told(tmp_path, monkeypatch):
    """It is the owner's, so nothing but its spaces says that it is another."""
    config = dataclasses.replace(
        CONFIG, task="toys:plane", train=dataclasses.replace(CONFIG.train, chunk=5)
    )
    run = Run.create(tmp_path / "run", config)
    train(run)
    learned = {p: p.read_bytes() for p in run.directory.rglob("*.safetensors")}
    monkeypatch.setattr(toys, "plane", toys.Integrator)
    error = (
        "the environment of toys:plane now has observations of 16 x 16 x 3 and actions "
        "of 1, but what has been learned is for observations of 16 x 16 x 3 and "
        "actions of 2; have it as it was"
    )
    for call in run.evaluate, run.predict, lambda: train(run):
        with pytest.raises(ValueError, match=error):
            call()
    found = {p: p.read_bytes() for p in run.directory.rglob("*.safetensors")}
    assert found == learned


def test_evaluation_leaves_the_run_as_it_is(trained):
    files = {p: p.stat().st_mtime_ns for p in trained.directory.rglob("*")}
    trained.evaluate(1)
    assert {p: p.stat().st_mtime_ns for p in trained.directory.rglob("*")} == files


def test_a_prediction_begins_with_what_was_seen(trained):
    prediction = trained.predict(context=3, length=5)
    assert prediction.real.shape == (1, 8, 16, 16, 3)
    np.testing.assert_array_equal(
        prediction.prediction[:, :3], prediction.reconstruction[:, :3]
    )


def test_no_more_can_be_foreseen_than_came(trained):
    with pytest.raises(
        ValueError, match=r"length \(=10\) are more than the 13 .* a length of 9 fits"
    ):
        trained.predict(context=4, length=10)
    with pytest.raises(ValueError, match=r"context \(=13\) .* of the episode$"):
        trained.predict(context=13)


def test_a_prediction_is_as_long_as_the_episode_lets_it(trained):
    assert trained.predict(context=4).real.shape[1] == 13


def test_public_names_are_there_and_others_are_not():
    for name in pt.__all__:
        assert getattr(pt, name) is not None
    assert set(pt.__all__) <= set(dir(pt))
    with pytest.raises(AttributeError, match="has no attribute 'planet'"):
        pt.planet  # noqa: B018
