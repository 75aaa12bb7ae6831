import dataclasses
import json
import sys
import time

import pytest
import torch
from torch.testing import assert_close

from planet_torch import build_envs, build_model, cli
from planet_torch.benchmark import contest, jobs
from planet_torch.benchmark.plain import Plain
from planet_torch.chunk import Chunk
from planet_torch.config import save
from planet_torch.dynamics import State
from planet_torch.envs.checked import EnvError
from planet_torch.estimate import scratch_trainer
from planet_torch.objectives import divergence, filtered
from planet_torch.presets import PRESETS
from planet_torch.value import Value

PICTURES = build_envs.Spaces((16, 16, 3), 2)
LARGE = build_envs.Spaces((64, 64, 3), 6)
DEBUG, CPU = PRESETS["debug"], PRESETS["cpu"]


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("preset", "spaces"), [("paper", LARGE), ("debug", PICTURES)])
def test_the_reference_has_the_same_networks(preset, spaces):
    config = PRESETS[preset]
    plain, ours = Plain(config, spaces), build_model.world_model(config, spaces)
    for name in ("encoder", "decoder", "reward"):
        assert size(getattr(plain, name)) == size(getattr(ours, name))
    assert plain.value is ours.value is None
    dynamics = ours.dynamics
    assert size(plain.input) == size(dynamics.input)
    assert size(plain.prior) == size(dynamics.prior_hidden) + size(dynamics.prior_head)
    # PyTorch's cell has a second bias for each of its three gates.
    more = 3 * config.model.belief_size
    assert size(plain.cell) == size(dynamics.cell) + more


def test_the_reference_learns_to_predict_one_chunk():
    plain = Plain(DEBUG, PICTURES)
    image = torch.randint(0, 256, (2, 5, 16, 16, 3), dtype=torch.uint8)
    chunk = (image, torch.zeros(2, 5, 2), torch.full((2, 5), 3.0))
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        losses.append(plain.loss(*chunk))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.6 * losses[0]


def test_the_reference_learns_the_same_value():
    """Its loss is that of the package, and its gradient stays in the value."""
    plain, ours = Plain(CPU, PICTURES), build_model.world_model(CPU, PICTURES)
    plain.value.load_state_dict(ours.value.state_dict())
    image = torch.randint(0, 256, (2, 5, 16, 16, 3), dtype=torch.uint8)
    chunk, stream = (
        Chunk(image, torch.zeros(2, 5, 2), torch.rand(2, 5)),
        torch.Generator(),
    )
    read = filtered(ours, chunk, stream)
    features = read.posteriors.features.detach().requires_grad_()
    loss = plain.value_loss(features, chunk.reward)
    assert_close(loss, Value()(ours, read, stream)[0])
    loss.backward()
    assert features.grad is None


@pytest.mark.parametrize("share", [None, 0.8])
def test_the_reference_has_the_same_divergence(share):
    config = contest.config_of(f"debug objective.kl_balance={share}", "a:b", 1)
    plain = Plain(config, PICTURES)
    moments = [torch.rand(4, 3).add(0.1).requires_grad_() for _ in range(4)]
    q, p = (State(*pair, pair[0], pair[0]) for pair in (moments[:2], moments[2:]))
    ours = divergence(q, p, share)
    theirs = plain.divergence(tuple(moments[:2]), tuple(moments[2:]))
    assert_close(theirs, ours)
    for one, other in zip(
        torch.autograd.grad(theirs.sum(), moments),
        torch.autograd.grad(ours.sum(), moments),
        strict=True,
    ):
        assert_close(one, other)


def test_the_reference_ends_its_returns_in_the_value():
    """Rewards of 1 and a value of 3, worked by hand: 1 + g + g^2 3 / (1 - g)."""
    plain = Plain(CPU, PICTURES)
    for head, found in ((plain.reward, 1.0), (plain.value, 3.0)):
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.constant_(head[-1].bias, found)
    states = [torch.zeros(4, n) for n in (30, CPU.model.belief_size)]
    g = CPU.objective.value_discount
    found = plain.returns(*states, torch.zeros(4, 2, 2))
    assert_close(found, torch.full((4,), 1 + g + g**2 * 3 / (1 - g)))


@pytest.mark.parametrize(
    "option",
    ["objective.overshooting=3", "planner.decision_budget_ms=5.0"],
)
def test_the_reference_refuses_what_it_cannot_do(option):
    """Else it would time something else under the same name."""
    name, _, value = option.partition("=")
    told = f"know {name} .* alone, not {value}; leave --reference out"
    with pytest.raises(ValueError, match=told):
        Plain(contest.config_of(f"debug {option}", "a:b", 1), PICTURES)


def test_what_the_reference_refuses_is_one_line(capsys):
    words = ["--configs", "debug model.dynamics=ssm", "--reference", "--only", "update"]
    assert cli.main(["benchmark", "toys:integrator", *words]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "know model.dynamics 'rssm' alone, not 'ssm'" in said


def test_the_reference_plans_for_each_environment(monkeypatch):
    """The best action in a state is the brightness of the picture it comes from."""
    plain = Plain(contest.config_of(PLANS, "toys:integrator", 1), PICTURES)
    plain.encoder.forward = lambda image: image.flatten(1)[:, :1]
    moments = 2 * DEBUG.model.stochastic_size
    plain.posterior.forward = lambda read: read[:, -1:].expand(1, moments)
    score = lambda self, s, belief, a: -(a - s[:, None, :1]).square().sum((1, 2))
    monkeypatch.setattr(Plain, "returns", score)
    images = torch.tensor([0, 128, 255], dtype=torch.uint8)[:, None, None, None]
    goals = torch.tensor([-0.5, 0.0, 0.5])[:, None].expand(3, 2)
    acted = plain.act(images.expand(3, 16, 16, 3))
    assert_close(acted, goals, atol=0.1, rtol=0)


PLANS = (
    "debug planner.candidates=200 planner.elites=20 planner.iterations=6 "
    "planner.acts_on=means"
)


def test_words_describe_a_config():
    config = contest.config_of("debug train.batch=7 model.norm=layer", "a:b", 2)
    assert (config.task, config.train.threads) == ("a:b", 2)
    assert (config.train.batch, config.model.norm) == (7, "layer")
    assert config.model.width == DEBUG.model.width


def test_words_may_begin_with_a_run(tmp_path):
    """What was changed in it is there; the task is the one that is asked for."""
    before = contest.config_of("debug train.batch=7", "toys:other", 2)
    save(before, tmp_path / "config.json")
    found = contest.config_of(f"{tmp_path} model.norm=layer", "toys:integrator", 1)
    assert (found.task, found.train.threads) == ("toys:integrator", 1)
    assert (found.train.batch, found.model.norm) == (7, "layer")


@pytest.mark.parametrize("words", ["true null", "True None"])
def test_words_are_as_in_a_file_or_as_for_train(words):
    value, most = words.split()
    words = f"debug planner.warm_start={value} train.replay_frames={most}"
    config = contest.config_of(words, "a:b", 1)
    assert (config.planner.warm_start, config.train.replay_frames) == (True, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("papper", "did you mean 'paper'"),
        ("", "no preset or run ''"),
        ("cpu train.bach=3", "did you mean 'train.batch'"),
        ("cpu train.batch=many", r"train\.batch"),
        ("cpu train.batch=0", r"train\.batch \(=0\) must be at least 1"),
    ],
)
def test_words_that_describe_none_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        contest.config_of(words, "a:b", 0)


class Fake(contest.Contender):
    """A contender that takes the seconds it is told, and remembers when."""

    def __init__(self, name, job, seconds, diary):
        self.name, self.jobs = name, {job: ["updates", 2]}
        self.seconds, self.diary = iter(seconds), diary

    def time(self, job):
        self.diary.append(self.name)
        seconds = next(self.seconds)
        parts = {"encode": seconds / 2}
        return {"seconds": seconds, "cpu": seconds, "parts": parts, "peak_mib": 9.0}


def test_contenders_take_turns_and_warm_up():
    diary = []
    one = Fake("one", "update", [9, 9, 0.001, 0.002, 0.006], diary)
    two = Fake("two", "update", [9, 9, 0.004, 0.004, 0.008], diary)
    results = contest.contest([one, two], ["up"], 3)
    assert diary == ["one", "two"] * 5
    assert [result.median for result in results] == [0.002, 0.004]
    assert results[0].rate == 1000  # two updates a call
    assert results[0].parts == {"encode": 0.001}
    assert results[0].milliseconds(100) == pytest.approx(6)
    row = contest.table(results).splitlines()[3]
    assert row.startswith("| update | two | 4.0 | 4.0 to 6.0 |")
    assert "| 500.0 updates | 2.00 | 9 |" in row


def test_a_job_that_nobody_has_is_refused():
    with pytest.raises(ValueError, match=r"begins with \('x',\).*update"):
        contest.contest([Fake("one", "update", [], [])], ["x"], 1)


def test_the_stopwatch_counts_parts():
    class Slow:
        def work(self):
            time.sleep(0.02)
            return 3

    watch, slow = jobs.Stopwatch("cpu"), Slow()
    watch.watch(slow, "work", "work")
    assert [slow.work(), slow.work()] == [3, 3]
    seconds = watch.read()
    assert list(seconds) == ["work"]
    assert seconds["work"] >= 0.04
    assert watch.read() == {}


def test_the_stopwatch_does_not_break_what_is_compiled():
    watch, head = jobs.Stopwatch("cpu"), torch.nn.Linear(2, 1)
    watch.watch(head, "forward", "head")
    compiled = torch.compile(lambda x: head(2 * x), fullgraph=True, backend="eager")
    x = torch.ones(1, 2)
    assert_close(compiled(x), head(2 * x))
    watch.read()
    compiled(x)
    assert watch.read() == {}


def test_updates_that_are_timed_are_those_of_the_trainer(monkeypatch):
    """One moves the weights and their average as a trainer's does, and has parts."""
    for owner, name in ((torch.Tensor, "backward"), (torch.nn.utils, CLIP)):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back at the end
    config = dataclasses.replace(DEBUG, task="toys:integrator")
    after = []
    for watch in (jobs.Stopwatch("cpu"), None):
        with scratch_trainer(config) as trainer:
            jobs.fill(trainer.replay, trainer.spaces, 13)
            chunk = trainer.replay.sample(4, 8, torch.Generator().manual_seed(0))
            before = trainer.average.encoder.state_dict()
            before = {name: weight.clone() for name, weight in before.items()}
            if watch:
                jobs.updater(trainer, chunk, watch)()
                parts = {"prepare", "encode", "dynamics", "decode", "reward"}
                assert set(watch.read()) == parts | {"backward", "clip", "optimiser"}
            else:
                trainer.learn(chunk, None)
            moved = trainer.average.encoder.state_dict()
            assert all((moved[name] != before[name]).any() for name in before)
            after.append(trainer.average.state_dict())
    assert_close(*after, rtol=0, atol=0)


CLIP = "clip_grad_norm_"


def test_the_command_times_all_jobs_of_all_contenders(capsys):
    words = ["benchmark", "toys:integrator", "--configs", "debug", "--reference"]
    assert cli.main([*words, "--rounds", "1", "--threads", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = {(r["job"], r["contender"]) for r in printed["results"]}
    both = {"update", "decision, 1 at once", "decision, 10 at once"}
    assert found == {(job, "debug") for job in {*both, "environment", "replay"}} | {
        (job, "reference loops") for job in both
    }
    assert printed["about"]["threads"] == {"debug": 1, "reference loops": 1}
    assert set(printed["about"]["dtype"].values()) == {"torch.float32"}
    assert all(r["per_second"] > 0 and r["peak_mib"] > 50 for r in printed["results"])


def test_what_a_contender_warns_of_is_seen(capfd, monkeypatch, tmp_path):
    """Else a number is not what its name says: here nothing is compiled."""
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    words = ["--configs", "debug train.compile=on", "--only", "replay", "--rounds", "1"]
    assert cli.main(["benchmark", "toys:integrator", *words, "--json"]) == 0
    said = capfd.readouterr()
    assert "train.compile (='on') has no working compiler" in said.err
    assert json.loads(said.out)["results"]


def test_a_contender_that_dies_says_how(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ValueError, match=r"'a' ended \(exit status 1\); see above"):
        contest.Contender("a", DEBUG)


@pytest.mark.parametrize("task", ["nowhere:task", "nothing"])
def test_a_contender_that_cannot_begin_says_why(capfd, task):
    """In one line."""
    assert cli.main(["benchmark", task, "--configs", "debug"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert task.partition(":")[0] in line


def test_a_contender_that_cannot_begin_says_it_whatever_else_it_says(capsys):
    """A process may print more than its error, and after it."""
    words = "debug objective.overshooting=99"
    assert cli.main(["benchmark", "toys:integrator", "--configs", words]) == 2
    said = f"planet: error: the contender '{words}': objective.overshooting (=99) needs"
    assert capsys.readouterr().err.startswith(said)


def test_an_environment_that_fails_is_not_left_out_of_the_jobs():
    broken = dataclasses.replace(DEBUG, task="hostile:cannot_reset")
    with pytest.raises(EnvError, match="ZeroDivisionError"):
        list(jobs.environment_jobs(broken))
