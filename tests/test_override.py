"""A run is gone on with by its own options, or by others that are named."""

import json

import pytest
from torch.testing import assert_close

from planet_torch import checkpoint, config
from planet_torch.cli import main, parse
from planet_torch.config import Config
from planet_torch.nested import option_names
from planet_torch.resume import FIXED, resume, stored_config
from planet_torch.run import Run
from planet_torch.training import train
from small import episodes, small, trained, weights

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", small())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("finished") / "run")


def starts(run):
    return json.loads((run.directory / "run.json").read_text())


def test_a_run_that_is_made_longer_equals_one_that_was_longer(tmp_path):
    run = trained(tmp_path / "run")
    longer = small(episodes=6)
    with pytest.raises(
        ValueError, match=r"train.episodes 4 -> 6.*--override train.epi"
    ):
        resume(run.directory, longer)
    resumed = resume(run.directory, longer, ["train.episodes"])
    assert config.load(run.directory / "config.json") == longer
    assert starts(run)[-1]["overridden"] == {"train.episodes": [4, 6]}
    train(resumed)
    other = trained(tmp_path / "other", longer)
    assert weights(resumed) == weights(other)
    assert episodes(resumed) == episodes(other)
    assert resume(run.directory).config == longer
    assert starts(run)[-1]["overridden"] == {}


def test_a_run_goes_on_with_another_learning_rate(tmp_path):
    """As small as this one, it changes no weight."""
    run = trained(tmp_path / "run")
    before = run.latest()
    words = ["--train.episodes", "6", "--optimiser.learning_rate", "1e-30"]
    given = parse("train", ["--resume", str(run.directory), *words]).config
    named = ["train.episodes", "optimiser.learning_rate"]
    resumed = resume(run.directory, given, named)
    train(resumed)
    after = resumed.latest()
    assert after["counters"]["updates"] > before["counters"]["updates"]
    assert_close(after["world_model"], before["world_model"], atol=1e-20, rtol=0)


def test_a_change_that_was_made_holds_before_the_next_checkpoint(finished):
    """A run killed right after it has a checkpoint with the old options."""
    other = small(exploration=0.5)
    resume(finished.directory, other, ["train.exploration"])
    assert resume(finished.directory).config == other
    resume(finished.directory, other, ["train.exploration"])  # the same command again
    resume(finished.directory, small(), ["train.exploration"])


def test_a_config_edited_by_hand_is_refused_unless_it_is_meant(finished):
    path = finished.directory / "config.json"
    before = path.read_text()
    path.write_text(before.replace('"batch": 4', '"batch": 5'))
    with pytest.raises(ValueError, match=r"train.batch 4 -> 5"):
        resume(finished.directory)
    assert resume(finished.directory, None, ["train.batch"]).config.train.batch == 5
    path.write_text(before)


def test_an_option_that_was_changed_and_changed_back_is_not_changed_again(run):
    """Only the last change holds before the next checkpoint."""
    for exploration in (0.5, 0.3):
        resume(run.directory, small(exploration=exploration), ["train.exploration"])
    with pytest.raises(ValueError, match=r"train.exploration .* -> 0.5"):
        resume(run.directory, small(exploration=0.5))
    assert resume(run.directory, small(exploration=0.3)).config == small(
        exploration=0.3
    )


def test_a_run_of_another_version_says_where_that_shows(tmp_path):
    run = trained(tmp_path / "run")
    path = checkpoint.paths(run.checkpoints)[-1]
    content = checkpoint.load(path)
    content["config"]["planner"]["beam"] = 3
    checkpoint.write(path, content)
    told = "no option 'planner.beam'.*; was it written by another version"
    with pytest.raises(ValueError, match=f"{path}: {told}"):
        resume(run.directory)
    settings = run.directory / "config.json"
    values = json.loads(settings.read_text())
    values["planner"]["beam"] = 3
    settings.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=f"{settings}: {told}"):
        resume(run.directory)


@pytest.mark.parametrize("option", ["seed", "model.units", "train.updates"])
def test_what_the_run_rests_on_cannot_be_changed(run, option):
    words = ["--resume", str(run.directory), f"--{option}", "7"]
    given = parse("train", words).config
    with pytest.raises(
        ValueError, match=f"{option} cannot be changed .* to 7 .* since"
    ):
        resume(run.directory, given, [option])


def test_a_run_cannot_begin_to_learn_a_value(run):
    words = ["--resume", str(run.directory), "--objective.value_discount", "0.9"]
    given = parse("train", words).config
    with pytest.raises(ValueError, match=r"changed from 0.0 to 0.9 .* value head"):
        resume(run.directory, given, ["objective.value_discount"])


def test_a_run_cannot_begin_to_learn_another_value(run):
    words = ["--resume", str(run.directory), "--objective.value_of", "greedy"]
    given = parse("train", words).config
    with pytest.raises(ValueError, match=r"'behaviour' to 'greedy' .* value head"):
        resume(run.directory, given, ["objective.value_of"])


def test_a_damaged_config_is_that_of_the_checkpoint(finished, capsys):
    path = finished.directory / "config.json"
    before = path.read_text()
    path.write_text(before[:100])
    assert stored_config(finished.directory) == (small(), False)
    with pytest.warns(UserWarning, match="config.json is damaged"):
        resume(finished.directory)
    assert path.read_text() == before
    assert path.with_name("config.json.damaged-1").read_text() == before[:100]


def test_a_damaged_config_without_a_checkpoint_is_an_error(run):
    (run.directory / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is not a config"):
        resume(run.directory)


@pytest.mark.parametrize("text", ["{", "3", "[" * 100_000, '{"a": []}'])
def test_a_damaged_note_of_the_starts_is_set_aside(run, text):
    (run.directory / "run.json").write_text(text)
    with pytest.warns(UserWarning, match="run.json is damaged"):
        resume(run.directory)
    assert len(starts(run)) == 1
    assert (run.directory / "run.json.damaged-1").read_text() == text


def test_a_change_that_cannot_be_built_is_refused(run):
    with pytest.raises(ValueError, match=r"train\.chunk"):
        resume(run.directory, small(chunk=5000), ["train.chunk"])
    assert config.load(run.directory / "config.json") == small()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--override", "train.episode"], "did you mean 'train.episodes'"),
        (["--train.episodes", "9"], "train.episodes 4 -> 9; leave them"),
        (["--preset", "debug"], "env.observation cannot be changed from 'state'"),
        (["toys:poison"], "task cannot be changed from 'toys:integrator'"),
        (["--run", "elsewhere"], "--run is for a new run"),
    ],
)
def test_the_command_answers(run, words, answer, capsys):
    assert main(["train", "--resume", str(run.directory), *words]) == 2
    assert answer in capsys.readouterr().err


def test_to_override_there_must_be_a_run(capsys):
    assert main(["train", "toys:integrator", "--override", "seed"]) == 2
    assert "--override is for a run to go on with" in capsys.readouterr().err


def test_what_is_fixed_are_options():
    names = option_names(Config)
    groups = {name.partition(".")[0] for name in names}
    assert set(FIXED) <= {*names, *groups}
