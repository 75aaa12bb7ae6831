"""Episodes beside the updates: by which weights, to which bits, what may fail."""

import dataclasses
import signal
from copy import deepcopy

import pytest
import torch

import planet_torch.ahead
from faults import TRAIN, UPDATE, digest, planet
from planet_torch import build
from planet_torch.collector import play
from planet_torch.envs import EnvError
from planet_torch.metrics import Reporter
from planet_torch.presets import PRESETS
from planet_torch.run import Run
from planet_torch.sealed import unseal
from planet_torch.trainer import Trainer
from test_resume import BOTH
from test_trainer import BOTH as BOTH_TASKS
from test_trainer import TINY, changed, learned, metrics, train

DEBUG = PRESETS["debug"]
AHEAD = changed(TINY, "train.parallel", True)


class Before(Trainer):
    """Algorithm 1, but each episode is by the weights from before the updates."""

    def fit(self):
        acting = deepcopy(self.average)
        super().fit()
        stream = self.streams["exploration"]
        collected = self.collected
        agent = build.collector(self.config, self.spaces, acting, stream, collected)
        self.collector.play = lambda *of: play(self.envs, agent, *of)


def test_episodes_are_by_the_weights_from_before_the_updates(tmp_path):
    """To the bit those that such weights would collect in turn, of two tasks."""
    averaging = changed(BOTH_TASKS, "optimiser.average", 0.5)
    falling = changed(averaging, "train.exploration_half_life", 1)
    run = Run.create(tmp_path / "in-turn", falling)
    with Reporter(run.metrics) as reporter:
        expected = Before(run, reporter)
        expected.train()
    beside = changed(run.config, "train.parallel", True)
    trainer = train(tmp_path / "beside", beside)
    assert learned(trainer) == learned(expected)
    assert metrics(trainer) == metrics(expected)
    assert trainer.collector.weights is None


PARALLEL = ["--train.parallel", "True"]


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    place = tmp_path_factory.mktemp("uncut")
    assert planet(*TRAIN, *PARALLEL, "--run", place / "one") == 0
    assert planet(*BOTH, *PARALLEL, "--run", place / "both") == 0
    return {TRAIN[1]: digest(place / "one"), BOTH[1]: digest(place / "both")}


ADD = "planet_torch.replay:Replay.add"


@pytest.mark.parametrize(
    ("words", "place", "calls", "send"),
    [
        pytest.param(TRAIN, UPDATE, 5, signal.SIGTERM, id="in a fit"),
        pytest.param(TRAIN, UPDATE, 5, signal.SIGKILL, id="killed in a fit"),
        pytest.param(BOTH, UPDATE, 8, signal.SIGTERM, id="in a fit of two"),
        pytest.param(BOTH, ADD, 7, signal.SIGTERM, id="between two"),
    ],
)
def test_a_run_that_is_cut_ends_like_an_unbroken_one(
    uncut, tmp_path, words, place, calls, send
):
    """Stopped in a fit, it goes on to collect with the weights that it began with."""
    run = tmp_path / "run"
    options = {"place": place, "calls": calls, "send": send}
    status = planet(*words, *PARALLEL, "--run", run, **options)
    assert status == (-send if send == signal.SIGKILL else 128 + send)
    assert planet("train", "--resume", run) == 0
    assert digest(run) == uncut[words[1]]


def test_a_run_may_become_parallel_and_be_so_no_more(tmp_path):
    run = tmp_path / "run"
    cut = {"place": UPDATE, "send": signal.SIGTERM}
    assert planet(*TRAIN, "--run", run, calls=2, **cut) == 143
    again = ["train", "--resume", run, "--override", "train.parallel"]
    assert planet(*again, *PARALLEL, calls=3, **cut) == 143
    assert "acting" in Run.open(run).latest()
    assert planet(*again, "--train.parallel", "False") == 0
    state = Run.open(run).latest()
    assert state["counters"]["episodes"] == 5
    assert "acting" not in state


def test_a_process_that_dies_is_reported_and_the_run_goes_on(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", AHEAD)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        update = trainer.update

        def murder():
            trainer.collector._worker._process.kill()
            update()

        monkeypatch.setattr(trainer, "update", murder)
        with pytest.raises(
            EnvError, match=r"died \(by SIGKILL\).*train.parallel False"
        ):
            trainer.train()
    state = run.latest()
    assert state["counters"] == {**state["counters"], "episodes": 2, "updates": 3}
    with Reporter(run.metrics, resume=state["metrics"]) as reporter:
        again = Trainer(run, reporter, state)
        again.train()
    assert learned(again) == learned(train(tmp_path / "other", AHEAD))


def test_a_process_that_dies_while_it_is_idle_is_begun_again(tmp_path, monkeypatch):
    """Between a checkpoint and the next updates, say."""
    run = Run.create(tmp_path / "run", AHEAD)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        begin, murders = trainer.begin_episodes, []

        def murder():
            if trainer.collector._worker is not None:
                process = trainer.collector._worker._process
                process.kill()
                process.join()
                murders.append(process.exitcode)
            begin()

        monkeypatch.setattr(trainer, "begin_episodes", murder)
        trainer.train()
    assert murders == [-signal.SIGKILL]
    assert learned(trainer) == learned(train(tmp_path / "other", AHEAD))


def test_an_episode_that_nobody_wants_any_more_is_dropped(tmp_path):
    """Whether it is still played or was played before another was asked for."""
    run = Run.create(tmp_path / "run", TINY)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        stream = torch.Generator().manual_seed(0)
        ahead = planet_torch.ahead.Ahead(
            TINY, trainer.spaces, trainer.average, stream, lambda: None
        )
        (task,) = TINY.tasks
        played = []
        for begun in ([7, 8], [8], [7, 9]):
            stream.manual_seed(0)
            ahead.begin([task] * len(begun), begun, 0)
            played += [ahead.play(task, [8], print)]
        ahead.close()
        trainer.close()
    assert played[0][0].score == played[1][0].score == played[2][0].score


def accident(tmp_path, monkeypatch, name, **options):
    """A run whose environment misbehaves once, in the first planned episode."""
    memory = tmp_path / "memory"
    monkeypatch.setenv("HOSTILE_MEMORY", str(memory))
    memory.touch()
    base = dataclasses.replace(DEBUG, task=f"hostile:{name}")
    given = {"train.chunk": 6, "train.parallel": True, **options}
    for option, value in given.items():
        base = changed(base, option, value)
    run = Run.create(tmp_path / "run", base)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        begin = trainer.begin_episodes

        def forget():
            if not trainer.collected:
                memory.unlink()
            begin()

        monkeypatch.setattr(trainer, "begin_episodes", forget)
        trainer.train()
    return trainer


def test_an_isolated_environment_may_die_beside_the_updates(tmp_path, monkeypatch):
    """In a process of a process, and it leaves no trace."""
    with pytest.warns(UserWarning, match="Its episode is dropped and begun again, 1"):
        trainer = accident(
            tmp_path, monkeypatch, "crashes_once", **{"env.isolate": True}
        )
    ((_, counters, _),) = metrics(trainer, "fault")
    assert (counters.episodes, counters.updates) == (2, 3)
    config = dataclasses.replace(trainer.config, task="toys:integrator")
    calm = train(tmp_path / "calm", changed(config, "env.isolate", False))
    assert learned(trainer) == learned(calm)


def test_a_number_that_is_not_finite_is_dumped_and_can_be_skipped(
    tmp_path, monkeypatch
):
    """It comes from the other process with what reproduces it."""
    with pytest.warns(UserWarning, match="skipped: the reward is not finite"):
        trainer = accident(
            tmp_path, monkeypatch, "pays_nan_once", **{"train.on_nan": "skip"}
        )
    assert trainer.counters.episodes == 4
    (dump,) = (trainer.run.directory / "dumps").iterdir()
    arrays, header, _ = unseal(dump, "dump")
    assert header["decision"] == len(arrays["action"]) - 1
    assert torch.isnan(torch.from_numpy(arrays["reward"][-1:])).all()


def test_one_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    with pytest.raises(FloatingPointError, match=r"the reward is not finite .*dumps"):
        accident(tmp_path, monkeypatch, "pays_nan_once")
