"""A run that begins with what a trained agent knows."""

import dataclasses
import shutil
from contextlib import closing

import numpy as np
import pytest
import torch

from planet_torch import build, build_envs, checkpoint, export
from planet_torch.metrics import Reporter, read_metrics
from planet_torch.replay import Replay
from planet_torch.resume import resume
from planet_torch.rollout import run_episodes
from planet_torch.run import Run
from planet_torch.trainer import Trainer
from planet_torch.training import train
from small import episodes, small, trained, weights

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The run that the others begin with."""
    return trained(tmp_path_factory.mktemp("teacher") / "run")


def after(teacher, **options):
    """The config of a run that begins with it, and has another seed."""
    return small(seed=1, **{"pretrained": str(teacher.directory), **options})


def test_it_has_the_weights_that_the_agent_acts_with(teacher, tmp_path):
    """The newest ones, and the average that is acted with in its turn."""
    run = Run.create(tmp_path / "run", after(teacher))
    with Reporter(run.metrics) as reporter, closing(Trainer(run, reporter)) as trainer:
        for model in (trainer.world_model, trainer.average):
            torch.testing.assert_close(
                model.state_dict(), teacher.latest()["average"], rtol=0, atol=0
            )


@pytest.mark.parametrize("parallel", [False, True])
def test_its_seed_episodes_are_those_of_the_agent(teacher, tmp_path, parallel):
    """To the bit, with exploration noise; none is recorded as of random actions."""
    config = after(teacher, parallel=parallel)
    run = trained(tmp_path / "run", config)
    kinds = [r.kind for r in read_metrics(run.metrics) if r.kind != "evaluate"]
    assert kinds == ["collect", "collect", "fit", "collect", "fit", "collect"]
    spaces, streams = build_envs.spaces(config), checkpoint.streams(config.seed, "cpu")
    model, noise = teacher.agent().world_model, streams["exploration"]
    agent = build.collector(config, spaces, model, noise)
    with closing(build_envs.environments(config, config.task, 1)) as envs:
        for found in map(Replay(run.episodes).read, range(2)):
            seeds = torch.randint(2**31, (1,), generator=streams["environment"])
            (expected,) = run_episodes(envs, agent, seeds.tolist())
            np.testing.assert_array_equal(found.action, expected.action)


def test_where_all_is_random_its_seed_episodes_are_so_too(teacher, tmp_path):
    """Then it has the agent's weights, and of its actions none."""
    run = trained(tmp_path / "run", after(teacher, collection="random"))
    actions = np.concatenate([Replay(run.episodes).read(i).action[1:] for i in (0, 1)])
    stream = checkpoint.streams(1, "cpu")["exploration"]
    agent = build.random_agent(run.config, build_envs.spaces(run.config), stream)
    agent.reset(1)
    expected = [agent.act(np.zeros((1, 1)))[0] for _ in actions]
    np.testing.assert_array_equal(actions, expected)


def test_it_goes_on_without_the_agent(teacher, tmp_path):
    """Made longer when that is gone, it ends like one that was so from the start."""
    copy = tmp_path / "teacher"
    shutil.copytree(teacher.directory, copy)
    whole = trained(tmp_path / "whole", after(Run.open(copy), episodes=5))
    short = trained(tmp_path / "run", after(Run.open(copy)))
    shutil.rmtree(copy)
    longer = after(Run(copy, teacher.config), episodes=5)
    train(resume(short.directory, longer, ["train.episodes"]))
    assert weights(short) == weights(whole)
    assert episodes(short) == episodes(whole)


def test_it_cannot_be_given_to_a_run_that_has_begun(teacher, tmp_path):
    run = trained(tmp_path / "run", small(seed=1))
    with pytest.raises(ValueError, match=r"train\.pretrained cannot be changed from"):
        resume(run.directory, after(teacher), ["train.pretrained"])


def test_an_agent_of_another_model_is_refused(teacher, tmp_path):
    """Before there is a run."""
    config = after(teacher)
    other = dataclasses.replace(config.model, belief_size=9)
    message = r"train\.pretrained \(='.*teacher.*'\), whose .* should be 16 x 13"
    with pytest.raises(ValueError, match=message):
        Run.create(tmp_path / "run", dataclasses.replace(config, model=other))
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no trained agent; give the directory"):
        Run.create(tmp_path / "run", small(pretrained=str(tmp_path / "empty")))


def test_an_exported_agent_will_do_and_the_card_says_so(teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export.export(teacher, tmp_path / "agent", episodes=1)
    run = trained(tmp_path / "run", after(teacher, pretrained="agent"))
    same = trained(tmp_path / "same", after(teacher))
    assert weights(run) == weights(same)
    page = (export.export(run, tmp_path / "zoo", 1).directory / "README.md").read_text()
    assert "the first 2 collected by agent |" in page
    assert "--train.pretrained agent" in page
