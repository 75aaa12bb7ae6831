"""An exported agent acts and foresees like its run, and can do nothing else."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import planet_torch as pt
from planet_torch import build_envs, build_model, checkpoint, cli, config, export, video
from planet_torch.checkpoint import AGENT
from planet_torch.metrics import Counters, Reporter
from planet_torch.presets import PRESETS
from planet_torch.resume import resume, stored_config
from planet_torch.run import Run
from planet_torch.trainer import Trainer
from planet_torch.training import train

DEBUG = PRESETS["debug"]
CONFIG = dataclasses.replace(
    DEBUG,
    task="toys:integrator",
    seed=3,
    train=dataclasses.replace(DEBUG.train, chunk=6, episodes=3),
)


def finished(directory, config_=CONFIG):
    run = Run.create(directory, config_)
    with Reporter(run.metrics) as reporter:
        Trainer(run, reporter).train()
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def agent(run, tmp_path_factory):
    return export.export(run, tmp_path_factory.mktemp("zoo") / "integrator", 2, 7)


def contents(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def copy(agent, tmp_path):
    """The agent, to be damaged."""
    place = tmp_path / "copy"
    place.mkdir()
    for name, content in contents(agent.directory).items():
        (place / name).write_bytes(content)
    return Run(place, agent.config)


def test_it_is_a_config_the_weights_and_a_card(run, agent):
    assert {str(name) for name in contents(agent.directory)} == {
        *("config.json", AGENT, "README.md")
    }
    assert Run.open(agent.directory) == agent
    assert agent.config == run.config
    assert set(agent.latest()) == {"average", "spaces", "counters"}
    assert [path.name for path in agent.directory.parent.iterdir()] == ["integrator"]


def test_it_acts_and_foresees_as_the_run_does(run, agent):
    ours, theirs = run.evaluate(2, 7), pt.evaluate(agent.directory, 2, 7)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.action, other.action)
        np.testing.assert_array_equal(one.observation, other.observation)
    ours, theirs = run.predict(3, 5, seed=1), agent.predict(3, 5, seed=1)
    np.testing.assert_array_equal(ours.prediction, theirs.prediction)
    frame = np.zeros((16, 16, 3), np.uint8)
    actions = [pt.load(which.directory).act(frame) for which in (run, agent)]
    np.testing.assert_array_equal(*actions)


def test_it_acts_with_the_averaged_weights(tmp_path):
    """Which the newest are not, if there is an average."""
    averaged = dataclasses.replace(CONFIG.optimiser, average=0.9)
    run = finished(tmp_path / "run", dataclasses.replace(CONFIG, optimiser=averaged))
    exported = export.export(run, tmp_path / "agent", 1)
    state, weights = run.latest(), exported.agent().world_model.state_dict()
    assert all((weights[name] == state["average"][name]).all() for name in weights)
    assert any((weights[name] != state["world_model"][name]).any() for name in weights)


def rows(agent):
    text = (agent.directory / "README.md").read_text()
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M))


def test_the_card_says_what_was_scored_and_how_it_was_trained(run, agent):
    said = rows(agent)
    score = np.mean([episode.score for episode in run.evaluate(2, 7)])
    assert said["score"].startswith(f"{score:.1f}, the mean of 2 episodes from ")
    assert said["scored by"] == "`planet evaluate integrator --episodes 2 --seed 7`"
    assert said["seeds"] == "3 of the training, 7 of the evaluation"
    assert said["episodes"] == "3 of 3, the first 2 with random actions"
    assert said["environment steps"] == "36"
    assert said["updates"] == "3"
    assert said["minutes"] == "0, evaluations included"
    torch = run.starts()[0]["packages"]["torch"]
    for place in ("trained on", "scored on"):
        assert f"torch {torch}" in said[place]
    assert "published" not in said


def test_the_card_says_which_options_were_changed_on_the_way(tmp_path):
    run = finished(tmp_path / "run")
    assert "changed on the way" not in export.training_rows(run, run.latest())
    options = ["train.episodes", "planner.horizon"]
    longer = dataclasses.replace(
        CONFIG,
        train=dataclasses.replace(CONFIG.train, episodes=4),
        planner=dataclasses.replace(CONFIG.planner, horizon=2),
    )
    train(resume(run.directory, longer, options))
    rows = export.training_rows(run, run.latest())
    words = "planner.horizon from 3 to 2, train.episodes from 3 to 4"
    assert rows["changed on the way"] == words


def test_no_card_has_a_path_of_this_machine(agent, run):
    for content in contents(agent.directory).values():
        assert str(agent.directory.parent).encode() not in content
        assert str(run.directory.parent).encode() not in content


def test_the_card_of_several_tasks_has_the_score_of_each(tmp_path):
    both = dataclasses.replace(CONFIG, task="toys:integrator,toys:plane")
    agent = export.export(finished(tmp_path / "run", both), tmp_path / "agent", 1)
    said = rows(agent)
    assert said["score in toys:integrator"].endswith(", of 1 episode")
    assert said["score in toys:plane"].endswith(", of 1 episode")
    assert said["episodes"] == "6 of 6, the first 4 with random actions"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_of_the_card_gives_the_config(preset):
    given = PRESETS[preset]
    changed = dataclasses.replace(
        given,
        task="dmc/walker-walk,toys:x",
        seed=5,
        env=dataclasses.replace(given.env, action_repeat=3, isolate=True),
        planner=dataclasses.replace(given.planner, warm_start=True),
    )
    _, name, *words = export.command_of(changed).split()
    assert words[1:3] == ["--preset", preset]
    assert cli.parse(name, words).config == changed
    alone = export.command_of(dataclasses.replace(given, task="a"))
    assert alone == f"planet train a --preset {preset} --seed 0"


def test_minutes_are_those_until_the_checkpoint(tmp_path):
    run = Run(tmp_path, CONFIG)
    lines = [(1, 10, 60.0), (2, 10, 90.0), (2, 20, 150.0), (3, 20, 6000.0)]
    text = (
        '{{"kind": "fit", "environment_steps": 0, "decisions": 0, "updates": {1}, '
        '"episodes": {0}, "time": {2}}}\n'
    )
    run.metrics.write_text("".join(text.format(*line) for line in lines))
    assert export.minutes(run, Counters(updates=20, episodes=2)) == TWO
    assert export.minutes(run, Counters(updates=10, episodes=1)) == ONE
    run.metrics.unlink()  # as where the checkpoints alone were copied
    assert export.minutes(run, Counters(updates=20, episodes=2)) == "not known"


ONE, TWO = (f"{minutes}, evaluations included" for minutes in (1, 2))


def test_nothing_is_written_over(run, agent, tmp_path):
    before = contents(agent.directory)
    for target in (agent.directory, run.directory):
        with pytest.raises(FileExistsError, match="not empty; choose another"):
            export.export(run, target)
    assert contents(agent.directory) == before
    with pytest.raises(ValueError, match="an exported agent already; copy it"):
        export.export(agent, tmp_path / "new")
    with pytest.raises(ValueError, match=r"no name .* by --out"):
        export.export(run, Path())
    with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
        export.export(Run.create(tmp_path / "run", CONFIG), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_export_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "evaluate", fail)
    with pytest.raises(KeyboardInterrupt):
        export.export(run, tmp_path / "zoo" / "agent")
    assert list((tmp_path / "zoo").iterdir()) == []


def test_it_cannot_be_trained_on(agent, capsys):
    before = contents(agent.directory)
    for call in (lambda: resume(agent.directory), lambda: train(agent)):
        with pytest.raises(ValueError, match="is an exported agent, without the opt"):
            call()
    assert cli.main(["train", "--resume", str(agent.directory)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    again = f"planet train toys:integrator --train.pretrained {agent.directory}"
    assert line.endswith(f"or begin a run with it by `{again}`")
    assert contents(agent.directory) == before


def test_the_commands_leave_it_as_it_is(agent, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")
    before, place = contents(agent.directory), str(agent.directory)
    assert cli.main(["evaluate", place, "--episodes", "1", "--video"]) == 0
    assert cli.main(["predict", place, "--context", "3"]) == 0
    assert {str(name) for name in contents(tmp_path)} == {
        "videos/integrator/evaluate-toys-integrator-seed-0-00.gif",
        "videos/integrator/prediction.gif",
        "videos/integrator/prediction.png",
        "videos/integrator/prediction-error.png",
    }
    words = ["--episodes", "1", "--video", "--out", "films"]
    assert cli.main(["evaluate", place, *words]) == 0
    assert len(list((tmp_path / "films").iterdir())) == 1
    assert contents(agent.directory) == before


def test_the_command_exports_to_the_zoo(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", str(run.directory), "--episodes", "1"]) == 0
    said = capsys.readouterr().out
    card = (tmp_path / "zoo" / "toys-integrator" / "README.md").read_text()
    assert card in said
    scored = "`planet evaluate zoo/toys-integrator --episodes 1 --seed 0`"
    assert f"| scored by | {scored} |" in card


def test_a_flipped_bit_is_one_error(copy, capsys):
    content = bytearray((copy.directory / AGENT).read_bytes())
    content[-5] ^= 1
    (copy.directory / AGENT).write_bytes(content)
    assert cli.main(["evaluate", str(copy.directory)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "is not a whole checkpoint: its checksum does not fit its content"
    )


@pytest.mark.parametrize(
    ("group", "option", "value", "error"),
    [
        ("model", "reward_units", 17, "reward.0.bias is 16, but should be 17"),
        ("model", "dynamics", "ssm", "dense.weight is 32 x 20, but should be 32 x 4"),
        ("model", "belief_size", 10**6, "is 32 x 20, but should be 32 x 1000004"),
        ("objective", "value_discount", 0.9, "value.0.bias is missing, .* be 16"),
    ],
)
def test_weights_of_another_model_are_refused_before_it_is_made(
    copy, group, option, value, error
):
    """A belief of a million would be terabytes."""
    part = dataclasses.replace(getattr(copy.config, group), **{option: value})
    other = dataclasses.replace(copy.config, **{group: part})
    config.save(other, copy.directory / "config.json")
    with pytest.raises(ValueError, match=f"does not fit the config: .*{error}$"):
        pt.load(copy.directory)


@pytest.mark.parametrize("name", ["average", "spaces"])
def test_a_part_that_is_lacking_is_named(copy, name):
    content = copy.latest()
    del content[name]
    checkpoint.write(copy.directory / AGENT, content)
    with pytest.raises(ValueError, match=f"does not fit the config: '{name}'"):
        copy.agent()


@pytest.mark.parametrize("dynamics", build_model.DYNAMICS)
@pytest.mark.parametrize("shape", [(3,), (16, 16, 3)])
def test_every_model_is_made_again_with_its_weights(dynamics, shape):
    model = dataclasses.replace(CONFIG.model, dynamics=dynamics)
    given, spaces = (
        dataclasses.replace(CONFIG, model=model),
        build_envs.Spaces(shape, 2),
    )
    weights = build_model.world_model(given, spaces).state_dict()
    again = build_model.learned(given, spaces, weights)
    assert not again.training
    assert all((value == weights[k]).all() for k, value in again.state_dict().items())


def test_an_exported_agent_needs_neither_the_device_nor_the_compiler_of_its_run(
    run, tmp_path
):
    """And yet keeps whether it was compiled, for a run like it."""
    train_ = dataclasses.replace(run.config.train, device="cuda", compile="on")
    elsewhere = dataclasses.replace(
        run, config=dataclasses.replace(run.config, train=train_)
    )
    anywhere, _ = export.parts(elsewhere)
    assert anywhere.train.device == "cpu"
    export.export(elsewhere, tmp_path / "agent", episodes=1)
    assert stored_config(tmp_path / "agent")[0].train.compile == "on"
    assert Run.open(tmp_path / "agent").config.train.compile == "auto"
    assert Run.open(tmp_path / "agent", compiled="on").config.train.compile == "on"
    assert Run.open(run.directory).config.train.compile == run.config.train.compile
