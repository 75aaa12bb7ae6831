"""Damage in a run directory is found, named and set aside, and the run goes on."""

import shutil
import warnings

import pytest

from planet_torch import checkpoint
from planet_torch.replay import Replay
from planet_torch.run import Run
from planet_torch.training import train
from small import episodes, small, trained, weights

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole.directory, tmp_path / "run")
    return Run.open(tmp_path / "run")


def flip(path, place=-5):
    """Change one bit; the name of the file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    return path.name


def asides(run):
    files = run.directory.rglob("*.*-1")
    return {p.name for p in files}


def goes_on(run, *says):
    """Train to the end; each damage is told, and told once."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(run)
    text = "\n".join(str(warning.message) for warning in told)
    assert [part for part in says if part not in text] == []
    train(run)  # warnings are errors


def test_a_whole_run_says_nothing(run, whole):
    goes_on(run)
    assert asides(run) == set()
    assert weights(run) == weights(whole)


def test_what_is_no_episode_is_told_once_before_there_are_any(tmp_path):
    run = Run.create(tmp_path / "run", small())
    (run.episodes / "notes.txt").write_text("mine")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(run)
    assert [str(one.message).count("notes.txt") for one in told] == [1]


@pytest.mark.parametrize("place", [20, 500, -5])
def test_the_checkpoint_before_a_damaged_one_is_used(run, whole, place):
    name = flip(checkpoint.paths(run.checkpoints)[-1], place)
    spoilt = (run.checkpoints / name).read_bytes()
    goes_on(run, f"{name} is not a whole checkpoint", f"set aside as {name}.damaged-1")
    assert (run.checkpoints / f"{name}.damaged-1").read_bytes() == spoilt
    assert weights(run) == weights(whole)
    assert episodes(run) == episodes(whole)


def test_a_damaged_episode_is_collected_again_if_a_checkpoint_allows(run, whole):
    name = flip(run.episodes / "episode-000003-00013.safetensors")
    goes_on(
        run, f"{name} is damaged", "goes on from checkpoint-000000003", "3 episodes"
    )
    assert asides(run) == {
        f"{name}.damaged-1",
        "checkpoint-000000006.safetensors.superseded-1",
    }
    assert weights(run) == weights(whole)
    assert episodes(run) == episodes(whole)


def test_an_episode_that_is_lost_is_never_trained_on(run):
    name = flip(run.episodes / "episode-000000-00013.safetensors")
    goes_on(run, f"{name} is damaged", "lost: episodes 0;", "4 episodes and 6 updates")
    assert list(Replay(run.episodes).checksums) == [1, 2, 3]


def test_a_missing_episode_is_told(run):
    (run.episodes / "episode-000001-00013.safetensors").unlink()
    goes_on(run, "lost: episodes 1;")


def test_the_episode_of_another_run_is_not_trained_on(run, whole, tmp_path):
    other = trained(tmp_path / "other", small(seed=1))
    name = "episode-000003-00013.safetensors"
    shutil.copy(other.episodes / name, run.episodes / name)
    goes_on(run, "it is not the episode that the run recorded")
    assert episodes(run) == episodes(whole)


def test_metrics_that_were_changed_do_not_stop_the_run(run, whole):
    text = run.metrics.read_text()
    run.metrics.write_text(text.replace('"return": 1', '"return": 2', 1))
    assert run.metrics.read_text() != text
    goes_on(run, "metrics.jsonl is not as the checkpoint knew it", "damaged-1")
    assert weights(run) == weights(whole)


def test_a_run_whose_checkpoints_are_gone_begins_anew_and_keeps_what_it_measured(
    run, whole
):
    measured = run.metrics.read_bytes()
    shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    goes_on(run, "there is no checkpoint", "begins anew", "metrics.jsonl.superseded-1")
    aside = run.metrics.with_name("metrics.jsonl.superseded-1")
    assert aside.read_bytes() == measured
    assert weights(run) == weights(whole)


def test_without_any_checkpoint_nothing_is_touched(run):
    for path in checkpoint.paths(run.checkpoints):
        flip(path)
    before = {p: p.stat().st_mtime_ns for p in run.directory.rglob("*safetensors*")}
    with pytest.raises(ValueError, match="what was learned is lost: restore one"):
        train(run)
    files = run.directory.rglob("*safetensors*")
    assert {p: p.stat().st_mtime_ns for p in files} == before


@pytest.mark.parametrize("part", ["world_model", "acting"])
def test_a_checkpoint_of_another_model_is_refused(run, part):
    path = checkpoint.paths(run.checkpoints)[-1]
    content = checkpoint.load(path)
    content["acting"] = dict(content["average"])
    content[part].popitem()
    checkpoint.save(run.checkpoints, 6, content)
    with pytest.raises(ValueError, match="the checkpoint does not fit the config"):
        train(run)
