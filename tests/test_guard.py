"""A number that is not finite stops the run before anything takes it."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import toys
from planet_torch import build_model, config
from planet_torch.chunk import Chunk
from planet_torch.guard import IN_A_ROW, Guard, NotFiniteError, check_update
from planet_torch.metrics import Reporter, read_metrics
from planet_torch.replay import Replay
from planet_torch.run import Run
from planet_torch.sealed import unseal
from planet_torch.trainer import Trainer
from planet_torch.training import train
from small import small
from toy_models import objective

pytestmark = pytest.mark.usefixtures("unchecked")


class Faulty(toys.Integrator):
    """In the middle of the third episode something is not finite."""

    resets, name, value = -1, "reward", math.nan  # the first is before the run

    def reset(self, **options):
        type(self).resets += 1
        return super().reset(**options)

    def step(self, action):
        observation, reward, *end = super().step(action)
        if self.resets == 3 and self.steps == 5:
            if self.name == "reward":
                reward = self.value
            else:
                observation = np.full_like(observation, self.value)
        return observation, reward, *end


@pytest.fixture(params=["reward", "observation"])
def faulty(request, monkeypatch):
    value = {"reward": math.inf, "observation": math.nan}[request.param]
    kind = type("Faulty", (Faulty,), {"name": request.param, "value": value})
    monkeypatch.setattr(toys, "integrator", kind)
    return kind


def trainer_of(run, reporter):
    trainer = Trainer(run, reporter)
    trainer.collect_seed_episodes()
    return trainer


def poison(trainer, monkeypatch, times):
    """Let so many updates have a loss that is not finite."""
    left = iter(range(times))
    original = Replay.sample

    def sample(*arguments):
        chunk = original(*arguments)
        bad = next(left, None) is not None
        return dataclasses.replace(chunk, reward=chunk.reward * (1e38 if bad else 1))

    monkeypatch.setattr(Replay, "sample", sample)


def test_an_episode_that_is_not_finite_stops_the_run(tmp_path, faulty):
    run = Run.create(tmp_path / "run", small())
    said = f"the {faulty.name} is not finite .* at decision 5 of the episode with seed"
    with pytest.raises(FloatingPointError, match=said):
        train(run)
    assert len(Replay(run.episodes)) == 2
    (dump,) = (run.directory / "dumps").iterdir()
    arrays, header, _ = unseal(dump, "dump")
    env = faulty()
    faulty.resets = 2
    observation, _ = env.reset(seed=header["seed"])
    for action in arrays["action"][1:]:
        observation, reward, *_ = env.step(action)
    assert not (np.isfinite(observation).all() and math.isfinite(reward))


def test_such_an_episode_can_be_skipped(tmp_path, faulty):
    run = Run.create(tmp_path / "run", small(on_nan="skip"))
    with pytest.warns(UserWarning, match="skipped: the .* is not finite"):
        train(run)
    assert len(Replay(run.episodes)) == 4
    (skip,) = read_metrics(run.metrics, "skip")
    assert skip.values == {"episode": 1.0}
    assert skip.counters.episodes == 2


GREEDY = dataclasses.replace(
    small().objective, value_discount=0.9, value_of="greedy", value_imagined=2
)


@pytest.mark.parametrize("learned", [small().objective, GREEDY])
def test_the_dump_of_an_update_reproduces_it(tmp_path, monkeypatch, learned):
    of = dataclasses.replace(small(), objective=learned)
    run = Run.create(tmp_path / "run", of)
    with Reporter(run.metrics) as reporter:
        trainer = trainer_of(run, reporter)
        trainer.update()
        poison(trainer, monkeypatch, 1)
        before = [p.clone() for p in trainer.world_model.parameters()]
        with pytest.raises(FloatingPointError, match=r"update 2 is not finite .*skip"):
            trainer.update()
    after = trainer.world_model.parameters()
    assert all(torch.equal(p, q) for p, q in zip(before, after, strict=True))
    assert trainer.counters.updates == 1
    arrays, header, _ = unseal(
        run.directory / "dumps/update-000000002.safetensors", "dump"
    )
    parts = {name: torch.from_numpy(array) for name, array in arrays.items()}
    of = config.parse(header["config"])
    model = build_model.world_model(of, trainer.spaces)
    model.load_state_dict(
        {n.partition(".")[2]: t for n, t in parts.items() if n.startswith("world_")}
    )
    chunk = Chunk(*(parts[f"chunk.{n}"] for n in ("observation", "action", "reward")))
    noise = torch.Generator()
    noise.set_state(parts["noise"])
    loss, shown = objective(model, build_model.objective_terms(of), chunk, noise)
    assert not math.isfinite(loss.detach())
    assert shown["divergence"].item() == header["values"]["divergence"]


def test_updates_can_be_skipped_and_are_counted(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", small(on_nan="skip"))
    with Reporter(run.metrics) as reporter:
        trainer = trainer_of(run, reporter)
        poison(trainer, monkeypatch, 2)
        seen = []
        monkeypatch.setattr(
            "planet_torch.trainer.check_update",
            lambda *args: (seen.append(args[1]), check_update(*args)),
        )
        with pytest.warns(UserWarning, match="skipped: update [12] is not finite"):
            trainer.fit()
    assert trainer.counters.updates == 3
    (fit,) = read_metrics(run.metrics, "fit")
    assert fit.scalars == seen[2]  # the mean of the one that was not skipped
    assert [r.values for r in read_metrics(run.metrics, "skip")] == [
        {"update": 1.0}
    ] * 2


@pytest.mark.filterwarnings("ignore:skipped")
def test_if_all_is_skipped_the_run_stops(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", small(on_nan="skip", updates=200))
    with Reporter(run.metrics) as reporter:
        trainer = trainer_of(run, reporter)
        poison(trainer, monkeypatch, 200)
        with pytest.raises(FloatingPointError, match=f"the {IN_A_ROW}th in a row"):
            trainer.fit()
    assert len(list((run.directory / "dumps").iterdir())) == 20


def test_an_evaluation_that_is_not_finite_can_be_skipped(tmp_path, monkeypatch):
    def fail(*_):
        raise NotFiniteError("the reward is not finite", "episode-1", {}, {})

    monkeypatch.setattr("planet_torch.trainer.run_episodes", fail)
    run = Run.create(tmp_path / "run", small(on_nan="skip"))
    with pytest.warns(UserWarning, match="skipped: the reward is not finite"):
        train(run)
    assert [r.values for r in read_metrics(run.metrics, "skip")] == [{"episode": 1.0}]
    assert not list(read_metrics(run.metrics, "evaluate"))
    assert len(Replay(run.episodes)) == 4


def test_only_what_fails_in_a_row_is_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("planet_torch.guard.IN_A_ROW", 3)
    guard, skipped = Guard(tmp_path / "dumps", True, lambda _: None), "it is not finite"

    def fail(times):
        for _ in range(times):
            with pytest.warns(UserWarning, match="skipped"), guard:
                raise NotFiniteError(skipped, "update-1", {}, {})

    fail(2)
    with guard:
        pass
    fail(2)
    with pytest.raises(FloatingPointError, match="the 3th in a row"), guard:
        raise NotFiniteError(skipped, "update-1", {}, {})
