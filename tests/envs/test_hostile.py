"""Environments that raise, hang, crash, end early or give nonsense."""

import dataclasses
import multiprocessing
import time

import numpy as np
import pytest
import torch

import hostile
import toys
from planet_torch.attempts import RESTARTS
from planet_torch.cli import main
from planet_torch.config import Config
from planet_torch.envs import EnvError, make
from planet_torch.metrics import Reporter, read_metrics
from planet_torch.presets import PRESETS
from planet_torch.run import Run
from planet_torch.trainer import Trainer

pytestmark = pytest.mark.usefixtures("unchecked")

DEBUG = PRESETS["debug"]
AT = f"decision {hostile.WHEN} of the episode with seed 5: "
PUSH = np.ones(1, np.float32)


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_MEMORY", str(tmp_path / "done"))


def play(name, observation="pixels", **options):
    """An episode."""
    env = make(f"hostile:{name}", image_size=16, observation=observation, **options)
    try:
        rows = [env.reset(seed=5)[0]]
        ended = False
        while not ended:
            row, _, terminated, truncated, _ = env.step(PUSH)
            rows.append(row)
            ended = terminated or truncated
    finally:
        env.close()
    return np.stack(rows)


WRONG = [
    (
        "raises",
        "pixels",
        "KeyError: 'a joint that is not there'; .* --env.isolate",
    ),
    ("pays_none", "pixels", "TypeError: float()"),
    ("is_of_the_old_interface", "pixels", "ValueError: not enough values to unpack"),
    ("draws_floats", "pixels", r"render() gave float64 (16, 16, 3), not uint8 (heig"),
    ("draws_grey", "pixels", "render() gave uint8 (16, 16), not uint8 (height, width"),
    ("draws_nothing", "pixels", "render() gave object (), not uint8 (height, width"),
    ("sees_too_much", "state", "observation is float32 (2,), but should be float32 (1"),
    ("sees_words", "state", "ValueError: could not convert string to float: 'here'"),
]


@pytest.mark.parametrize(("name", "observation", "what"), WRONG)
def test_what_goes_wrong_is_said_with_the_environment_and_the_decision(
    name, observation, what
):
    with pytest.raises(EnvError) as caught:
        play(name, observation)
    said = str(caught.value)
    assert said.startswith(f"environment hostile:{name}, {AT}")
    for part in what.split(" .* "):
        assert part in said
    assert "mend the environment" in said


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("raises", "KeyError: 'a joint that is not there'"),
        ("hangs", "no answer in 0.5 s, so its process was killed"),
        ("crashes", "its process died (by SIGSEGV)"),
        ("leaves", "its process died (exit status 3)"),
    ],
)
def test_an_isolated_environment_fails_alone_and_starts_again(name, what):
    patience = 0.5 if name == "hangs" else 60.0
    env = make(f"hostile:{name}", image_size=16, isolate=True, step_seconds=patience)
    for _ in range(2):
        env.reset(seed=5)
        for _ in range(hostile.WHEN - 1):
            env.step(PUSH)
        with pytest.raises(EnvError) as caught:
            env.step(PUSH)
        assert str(caught.value).startswith(f"environment hostile:{name}, {AT}{what}")
        with pytest.raises(EnvError, match="its process is gone; reset it"):
            env.step(PUSH)
        assert multiprocessing.active_children() == []
    env.close()


@pytest.mark.parametrize("isolate", [False, True])
def test_what_cannot_be_reset_or_made_says_so(isolate):
    with pytest.raises(
        EnvError, match=r"the reset of the .* seed 5: ZeroDivisionError"
    ):
        play("cannot_reset", isolate=isolate)
    with pytest.raises(
        EnvError, match="cannot_be_made raised RuntimeError: no licence"
    ):
        play("cannot_be_made", isolate=isolate)
    with pytest.raises(
        ValueError, match="no factory in hostile 'raised'; did you mean"
    ):
        play("raised", isolate=isolate)
    with pytest.raises(ImportError, match="No module named 'friendly'"):
        _ = make("friendly:env", isolate=isolate).observation_space


def test_a_process_that_dies_while_it_starts_is_no_riddle():
    with pytest.raises(
        EnvError, match=r"its start: its process died \(exit status 5\)"
    ):
        play("dies_while_made", isolate=True)


@pytest.mark.parametrize("task", ["toys:integrator", "dmc/cartpole-balance"])
@pytest.mark.parametrize("observation", ["pixels", "state"])
def test_isolated_or_not_the_episodes_are_the_same(task, observation):
    envs = [
        make(task, image_size=16, observation=observation, time_limit=100, isolate=i)
        for i in (False, True)
    ]
    plain, isolated = envs
    assert plain.observation_space == isolated.observation_space
    assert plain.action_space == isolated.action_space
    assert isolated.get_wrapper_attr("action_repeat") == (8 if "/" in task else 1)
    for seed in (0, 1):
        one, other = (env.reset(seed=seed)[0] for env in envs)
        ended = False
        while not ended:
            np.testing.assert_array_equal(one, other)
            (one, *rest), (other, *same) = (env.step(0.3 * PUSH) for env in envs)
            assert rest == same
            ended = rest[1] or rest[2]
    np.testing.assert_array_equal(isolated.render(), plain.render())
    isolated.close()
    assert multiprocessing.active_children() == []


def test_a_wrong_action_is_the_agents_fault_and_harms_no_process():
    env = make("toys:integrator", isolate=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="out of"):
        env.step(2 * PUSH)
    assert env.step(PUSH)[1] > 0
    env.close()


def test_an_environment_does_not_outlive_its_owner():
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    owner = context.Process(target=hostile.own_one_that_hangs, args=(there,))
    owner.start()
    pid = here.recv()
    owner.kill()
    owner.join()
    for _ in range(100):
        if not is_alive(pid):
            return
        time.sleep(0.1)
    raise AssertionError(pid)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def config(task, isolate=False, chunk=6, **options):
    """A run of four short episodes."""
    return dataclasses.replace(
        DEBUG,
        task=task,
        env=dataclasses.replace(DEBUG.env, isolate=isolate, **options),
        train=dataclasses.replace(
            DEBUG.train, chunk=chunk, evaluate_every=100, evaluation_episodes=1
        ),
    )


def train(directory, of: Config):
    run = Run.create(directory, of)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        trainer.train()
    return trainer


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.world_model.parameters()])


def records(trainer, *kinds):
    found = read_metrics(trainer.run.metrics)
    return [(r.kind, r.counters, r.values) for r in found if r.kind in kinds]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The run in which nothing happens."""
    return train(tmp_path_factory.mktemp("calm") / "run", config("toys:integrator"))


def test_isolated_or_not_a_run_has_the_same_bits(calm, tmp_path):
    other = train(tmp_path / "run", config("toys:integrator", isolate=True))
    assert torch.equal(weights(calm), weights(other))
    kinds = "collect", "fit", "evaluate"
    assert records(calm, *kinds) == records(other, *kinds)


@pytest.mark.parametrize("name", ["raises_once", "hangs_once", "crashes_once"])
def test_an_accident_is_reported_and_leaves_no_trace(calm, tmp_path, name):
    patience = 1.0 if name == "hangs_once" else 60.0
    hostile_ = config(f"hostile:{name}", isolate=True, step_seconds=patience)
    with pytest.warns(UserWarning, match=r"Its episode is dropped and begun again, 1"):
        other = train(tmp_path / "run", hostile_)
    ((_, counters, values),) = records(other, "fault")
    assert (counters.episodes, values) == (0, {"in a row": 1.0})
    assert torch.equal(weights(calm), weights(other))


def evaluated(run):
    return np.stack([episode.observation for episode in run.evaluate(2, seed=3)])


def predicted(run):
    return run.predict(context=3, length=5, seed=3).prediction


@pytest.mark.parametrize(
    ("name", "look"), [("hangs_once", predicted), ("crashes_once", evaluated)]
)
def test_an_accident_leaves_no_trace_in_what_is_looked_at(
    calm, monkeypatch, name, look
):
    monkeypatch.setattr("planet_torch.run.SIDE_BY_SIDE", 2)
    hostile_ = config(f"hostile:{name}", isolate=True, step_seconds=3.0)
    with pytest.warns(UserWarning, match=r"Its episode is dropped and begun again, 1"):
        seen = look(Run(calm.run.directory, hostile_))
    assert np.array_equal(seen, look(calm.run))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_evaluation_ends_if_its_environment_always_fails(calm):
    run = Run(calm.run.directory, config("hostile:crashes", isolate=True))
    with pytest.raises(EnvError, match=rf"by SIGSEGV.*\({RESTARTS + 1} times in a row"):
        run.predict(seed=3)


def test_a_seed_that_always_fails_is_passed_over(tmp_path):
    with pytest.warns(UserWarning, match="is dropped and begun again"):
        trainer = train(tmp_path / "run", config("hostile:odd_seeds_crash", True))
    assert trainer.counters.episodes == 4
    assert records(trainer, "fault")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_environment_that_always_fails_ends_the_run(tmp_path):
    with pytest.raises(EnvError, match=rf"by SIGSEGV.*\({RESTARTS + 1} times in a row"):
        train(tmp_path / "run", config("hostile:crashes", isolate=True))
    run = Run.open(tmp_path / "run")
    assert len(read_metrics(run.metrics, "fault")) == RESTARTS
    assert run.latest() is not None


def test_an_episode_that_is_over_early_is_learned_from(tmp_path):
    trainer = train(tmp_path / "run", config("hostile:is_over", chunk=10))
    assert trainer.counters.decisions == 4 * hostile.WHEN


def test_an_episode_cut_before_it_has_a_chunk_ends_the_run(tmp_path):
    said = r"hostile:is_cut, decision 7: .* 8 rows, fewer than the 10 of a chunk"
    with pytest.raises(EnvError, match=said):
        train(tmp_path / "run", config("hostile:is_cut", chunk=10))
    train(tmp_path / "other", config("hostile:is_cut", chunk=8))


def test_the_command_says_it_in_one_line_and_goes_on_when_it_is_mended(
    tmp_path, capsys, monkeypatch
):
    run = str(tmp_path / "run")
    words = ["train", "hostile:raises", "--preset", "debug", "--train.chunk", "6"]
    assert main([*words, "--run", run]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("planet: error: environment hostile:raises, decision 7 of")
    monkeypatch.setattr(hostile, "raises", toys.Integrator)
    monkeypatch.setattr("planet_torch.video.video_suffix", lambda: ".gif")
    assert main(["train", "--resume", run]) == 0
