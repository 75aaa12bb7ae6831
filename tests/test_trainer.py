"""The training run: what it learns, what it keeps apart, and that it repeats itself."""

import dataclasses
import functools
import hashlib
import os
import signal

import gymnasium
import numpy as np
import pytest
import torch
from torch.testing import assert_close

import planet_torch.collector
import planet_torch.trainer
import toys
from planet_torch import build, build_envs, checkpoint, config, nested
from planet_torch.envs import EnvError
from planet_torch.metrics import Reporter, read_metrics
from planet_torch.presets import PRESETS
from planet_torch.replay import Replay
from planet_torch.run import Run
from planet_torch.signals import Stopped
from planet_torch.trainer import Trainer


def changed(base, name, value):
    """The config with one option changed."""
    group, dot, option = name.rpartition(".")
    if not dot:
        return dataclasses.replace(base, **{option: value})
    part = dataclasses.replace(getattr(base, group), **{option: value})
    return dataclasses.replace(base, **{group: part})


def tiny(**options):
    """Config of a few seconds; ``train__batch=4`` stands for train.batch."""
    made = dataclasses.replace(PRESETS["debug"], task="toys:integrator")
    for option, value in options.items():
        made = changed(made, option.replace("__", "."), value)
    return made


SMALL = {
    "env__observation": "state",
    "train__chunk": 6,
    "objective__free_nats": 0.01,  # less than there is, so that this term counts too
}
TINY = tiny(**SMALL)


def train(directory, of=TINY, what=Trainer.train):
    """A trainer that has done all that it does, or a part."""
    run = Run.create(directory, of)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        what(trainer)
    return trainer


begun = functools.partial(train, what=Trainer.collect_seed_episodes)


def learned(trainer):
    """A digest of the weights."""
    weights = torch.cat(
        [p.detach().flatten() for p in trainer.world_model.parameters()]
    )
    return hashlib.sha256(weights.numpy().tobytes()).hexdigest()


def metrics(trainer, *kinds):
    """The records of some kinds, or of all, without their times."""
    records = read_metrics(trainer.run.metrics)
    return [
        (r.kind, r.counters, r.values) for r in records if r.kind in kinds or not kinds
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("trained") / "run")


def test_the_counters_say_what_was_done(trained):
    """2 seed and 2 planned episodes of 12 decisions, and 3 updates before each."""
    assert dataclasses.astuple(trained.counters) == (48, 48, 6, 4)
    kinds = [kind for kind, *_ in metrics(trained)]
    planned = ["fit", "collect", "evaluate"]
    assert kinds == ["seed"] * 2 + planned * 2


def test_environment_steps_count_the_action_repeat(tmp_path):
    trainer = train(tmp_path / "run", changed(TINY, "env.action_repeat", 2))
    assert dataclasses.astuple(trainer.counters) == (48, 24, 6, 4)


def test_environment_steps_are_those_that_were_made(tmp_path):
    """7 in each of 4 episodes, whose last decision is cut short by the end."""
    ending = dataclasses.replace(TINY, task="toys:plane")
    trainer = train(tmp_path / "run", changed(ending, "env.action_repeat", 2))
    assert dataclasses.astuple(trainer.counters) == (28, 16, 6, 4)


BOTH = dataclasses.replace(TINY, task="toys:integrator,toys:plane")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return train(tmp_path_factory.mktemp("both") / "run", BOTH)


def test_several_tasks_take_turns_and_have_records_of_their_own(both):
    """Twice the updates, 12 and 7 decisions, and an episode of each after each fit."""
    assert dataclasses.astuple(both.counters) == (76, 76, 12, 8)
    named = [record.name for record in read_metrics(both.run.metrics)]
    seed, collect, evaluate = (
        [f"{kind}/toys:integrator", f"{kind}/toys:plane"]
        for kind in ("seed", "collect", "evaluate")
    )
    assert named == seed * 2 + ["fit", *collect, *evaluate] * 2
    rows = [len(both.replay.read(index)) for index in range(8)]
    assert rows == [13, 8] * 4
    evaluated = {v["score"] for _, _, v in metrics(both, "evaluate")}
    assert len(evaluated) == 4


def test_a_task_that_needs_fewer_actions_ignores_the_rest_but_they_are_stored(both):
    episode = both.replay.read(0)
    moved = np.diff(episode.observation[:, 0])
    assert episode.action.shape == (13, 2)
    assert np.abs(episode.action[1:, 1]).min() > 0
    free = np.abs(episode.observation[1:, 0]) < 1  # not held by the end of the line
    expected = toys.SPEED * episode.action[1:, 0]
    np.testing.assert_allclose(moved[free], expected[free], atol=1e-6)


def test_the_agent_is_not_told_its_task(both):
    """Its model has seen episodes of both, and reads nothing but their observations."""
    assert both.spaces == build_envs.Spaces((1,), 2)
    chunk = both.replay.sample(64, 6, torch.Generator().manual_seed(0))
    assert chunk.observation.shape == (64, 6, 1)
    assert vars(chunk).keys() == {"observation", "action", "reward"}


def test_each_task_keeps_its_own_action_repeat(tmp_path, monkeypatch):
    """12 steps are 4 decisions of the one task, 7 are 7 of the other."""
    repeats = {"toys:integrator": 3, "toys:plane": 1}
    monkeypatch.setattr("planet_torch.envs._default_repeat", repeats.get)
    trainer = train(tmp_path / "run", changed(BOTH, "train.chunk", 5))
    counted = [(c.environment_steps, c.decisions) for _, c, _ in metrics(trainer)]
    assert counted[:4] == [(12, 4), (19, 11), (31, 15), (38, 22)]
    assert dataclasses.astuple(trainer.counters) == (76, 44, 12, 8)


def test_random_collection_still_plans_to_evaluate(tmp_path, monkeypatch):
    acting, run_episodes = [], planet_torch.trainer.run_episodes

    def recorded(envs, agent, seeds, on_decision):
        acting.append((type(agent).__name__, len(seeds)))
        return run_episodes(envs, agent, seeds, on_decision)

    for module in (planet_torch.trainer, planet_torch.collector):
        monkeypatch.setattr(module, "run_episodes", recorded)
    train(tmp_path / "run", changed(TINY, "train.collection", "random"))
    after = [("RandomAgent", 1), ("PlanetAgent", 2)]
    assert acting == [("RandomAgent", 1)] * 2 + after * 2


def test_the_same_seed_gives_the_same_bits(trained, tmp_path):
    again = train(tmp_path / "run")
    assert learned(again) == learned(trained)
    assert metrics(again) == metrics(trained)
    for one, other in zip(
        *(sorted(t.run.episodes.iterdir()) for t in (trained, again)), strict=True
    ):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


def test_another_seed_gives_another_run(trained, tmp_path):
    other = train(tmp_path / "run", dataclasses.replace(TINY, seed=1))
    assert learned(other) != learned(trained)
    assert metrics(other, "collect") != metrics(trained, "collect")


def test_how_often_one_evaluates_does_not_change_what_is_learned(trained, tmp_path):
    seldom = tiny(**SMALL, train__evaluate_every=100, train__evaluation_episodes=1)
    trainer = train(tmp_path / "run", seldom)
    assert learned(trainer) == learned(trained)
    assert metrics(trainer, "collect", "fit") == metrics(trained, "collect", "fit")
    assert len(metrics(trainer, "evaluate")) == 1  # there is one at the end in any case


def test_evaluation_never_enters_the_replay(trained):
    """Nor is it counted: 4 evaluation episodes, and 4 that were collected."""
    assert len(trained.replay) == trained.counters.episodes == 4
    collected = [v["return"] for _, _, v in metrics(trained, "seed", "collect")]
    assert [e.score for e in map(trained.replay.read, range(4))] == collected
    for *_, values in metrics(trained, "evaluate"):
        assert not set(values["returns"]) & set(collected)


@pytest.fixture
def asked(monkeypatch):
    """The model, the stream and the noise of each agent that is built."""
    agent, asked = build.agent, []

    def recorded(config, spaces, model, generator, exploration=0.0):
        asked.append((model, generator, exploration))
        return agent(config, spaces, model, generator, exploration)

    monkeypatch.setattr(build, "agent", recorded)
    return asked


def test_only_collected_episodes_have_exploration_noise(tmp_path, asked):
    """And both kinds are by the average of the weights."""
    trainer = train(tmp_path / "run")
    acting, streams = trainer.average, trainer.streams
    collected = (acting, streams["exploration"], 0.3)
    assert asked == [collected, (acting, streams["test"], 0.0)] * 2


@pytest.mark.parametrize(
    ("half_life", "expected"),
    [(1, [0.3, 0.15, 0.075]), (2, [0.3, 0.3 * 0.5**0.5, 0.15])],
)
def test_the_noise_halves_in_so_many_collected_episodes(
    tmp_path, asked, half_life, expected
):
    """Of each task, of which there are two here; seed episodes do not count."""
    falling = changed(BOTH, "train.exploration_half_life", half_life)
    train(tmp_path / "run", changed(falling, "train.episodes", 5))
    levels = [exploration for _, _, exploration in asked if exploration]
    assert levels == pytest.approx([level for level in expected for _ in range(2)])


def test_the_agent_acts_with_the_average_of_the_weights(tmp_path):
    trainer = train(tmp_path / "run", changed(TINY, "optimiser.average", 0.9))
    acting = trainer.run.agent().world_model.state_dict()
    newest = trainer.world_model.state_dict()
    assert all(torch.equal(acting[n], p) for n, p in trainer.average.named_parameters())
    assert any(not torch.equal(acting[n], newest[n]) for n in newest)


EFFECTS = {
    "env.action_repeat": 2,
    "env.time_limit": 7,
    "env.observation": "pixels",
    "model.dynamics": "ssm",
    "model.stochastic_size": 5,
    "model.belief_size": 17,
    "model.units": 17,
    "model.min_stddev": 0.2,
    "model.candidate_starts": "own",
    "model.reward_layers": 2,
    "model.reward_units": 17,
    "model.activation": "elu",
    "model.norm": "layer",
    "objective.observation_weight": 2.0,
    "objective.decoded": 0.5,
    "objective.reward_weight": 1.0,
    "objective.reward_overshooting": 2,
    "objective.kl_weight": 2.0,
    "objective.free_nats": 100.0,
    "objective.kl_balance": 0.8,
    "objective.overshooting": 2,
    "objective.observation_overshooting": 2,
    "objective.global_prior_weight": 1.0,
    "objective.value_discount": 0.9,
    "optimiser.learning_rate": 1e-2,
    "optimiser.half_life": 1,
    "optimiser.epsilon": 1e-8,
    "optimiser.gradient_clip": 1e-3,
    "planner.horizon": 4,
    "planner.candidates": 9,
    "planner.elites": 3,
    "planner.iterations": 3,
    "planner.warm_start": True,
    "planner.acts_on": "means",
    "planner.spread": "mean-absolute",
    "planner.decision_budget_ms": 1e-6,  # time for one candidate of eight
    "train.episodes": 5,
    "train.seed_episodes": 1,
    "train.updates": 4,
    "train.batch": 5,
    "train.chunk": 5,
    "train.shortest_chunk": 3,
    "train.carry_states": True,
    "train.random_actions": "bang-bang",
    "train.parallel": True,
    "train.collection": "random",
    "train.exploration": 0.1,
    "train.precision": "bf16",
    "train.replay_frames": 20,
    "seed": 1,
}
ON_PICTURES = {"env.image_size": 8, "model.width": 5, "model.image_bits": 4}
ON_OVERSHOOTING = {
    "objective.overshooting_weight": 2.0,
    "objective.observation_overshooting_weight": 2.0,
    "objective.observation_overshooting_decoded": 0.5,
    "objective.reward_overshooting_weight": 1.0,
    "objective.reward_overshooting_starts": 1,
}
ON_PLANNERS = {
    "planner.method": "cem",
    "planner.sigma": 1.0,
    "planner.temperature": 5.0,
    "planner.beta": 0.0,
    "planner.decay": 2.0,
    "planner.kept_fraction": 0.5,
    "planner.momentum": 0.5,
}
ON_VALUE = {"planner.value": False, "objective.value_of": "greedy"}
ON_GREEDY_VALUE = {
    "planner.proposals": 2,
    "objective.value_imagined": 2,
    "objective.value_imagined_starts": 1,
}
ON_HALVED_STEPS = {"optimiser.halves_value": False}
ON_GREAT_STEPS = {"optimiser.average": 0.9}  # else the weights hardly move away from it
OF_VARIANTS = {
    **ON_PICTURES,
    **ON_OVERSHOOTING,
    **ON_PLANNERS,
    **ON_VALUE,
    **ON_GREEDY_VALUE,
    **ON_HALVED_STEPS,
    **ON_GREAT_STEPS,
}
NO_EFFECT = {
    "train.pretrained",  # it has, but of another run: tests/test_pretrained.py
    "train.exploration_half_life",  # on the last episode, from which none learns here
    *("task", "env.renderer", "env.camera"),  # another task, or how it is drawn
    *("env.isolate", "env.step_seconds"),  # where it runs, and how long it may take
    *("train.evaluate_every", "train.evaluation_episodes", "train.checkpoint_every"),
    *("train.keep_checkpoints", "train.on_nan"),
    *(
        "train.threads",
        "train.device",
        "train.compile",
    ),  # where and how fast it is learned
}


def learn(trainer):
    """Train, but for evaluations and checkpoints, which change no weight."""
    trainer.evaluate = trainer.save = lambda: None
    trainer.train()


def test_evaluations_and_checkpoints_change_no_weight(trained, tmp_path):
    assert learned(train(tmp_path / "run", what=learn)) == learned(trained)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("option", EFFECTS)
def test_an_option_has_an_effect(trained, tmp_path, option):
    """A value that is read, and then forgotten on its way, shows here."""
    other = train(tmp_path / "run", changed(TINY, option, EFFECTS[option]), learn)
    assert learned(other) != learned(trained)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("option", OF_VARIANTS)
def test_an_option_of_a_variant_has_an_effect(tmp_path, option):
    if option in ON_PICTURES:
        base = changed(TINY, "env.observation", "pixels")
    elif option in ON_PLANNERS:
        method = "mppi" if option == "planner.temperature" else "icem"
        planner = build.with_method(TINY.planner, method)
        # With three decisions, noise has but one frequency, and so no colour.
        base = dataclasses.replace(
            TINY, planner=dataclasses.replace(planner, horizon=4)
        )
    elif option in ON_VALUE:
        base = changed(TINY, "objective.value_discount", 0.9)
    elif option in ON_GREEDY_VALUE:
        base = changed(TINY, "objective.value_discount", 0.9)
        base = changed(base, "objective.value_of", "greedy")
        base = changed(base, "objective.value_imagined", 1)
    elif option in ON_HALVED_STEPS:
        base = changed(TINY, "objective.value_discount", 0.9)
        base = changed(base, "optimiser.half_life", 1)
    elif option in ON_GREAT_STEPS:
        base = changed(TINY, "optimiser.learning_rate", 0.1)
    else:
        base = TINY
        for term in ("", "observation_", "reward_"):
            base = changed(base, f"objective.{term}overshooting", 2)
    one = train(tmp_path / "one", base, learn)
    other = changed(base, option, OF_VARIANTS[option])
    assert learned(one) != learned(train(tmp_path / "other", other, learn))


def test_the_effect_of_every_option_is_known():
    known = {*EFFECTS, *OF_VARIANTS, *NO_EFFECT}
    assert known == set(nested.option_names(config.Config))


def test_a_run_that_cannot_learn_any_more_stops_and_says_why(tmp_path):
    with pytest.raises(FloatingPointError, match=r"update 1 is not finite .*loss inf"):
        train(tmp_path / "run", dataclasses.replace(TINY, task="toys:poison"))


def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    """The update that would spoil them is the first that is not done."""
    run = Run.create(tmp_path / "run", TINY)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        trainer.collect_seed_episodes()
        before = learned(trainer)
        monkeypatch.setattr(
            torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.nan)
        )
        with pytest.raises(FloatingPointError):
            trainer.update()
    assert learned(trainer) == before
    assert trainer.counters.updates == 0


class Cut(toys.Integrator):
    """Its time is up after 5 to 10 steps, as its seed says."""

    def step(self, action):
        observation, reward, *_ = super().step(action)
        return observation, reward, False, self.steps > 5 + self.seed % 6, {}

    def reset(self, *, seed=None, options=None):
        self.seed = seed or 0
        return super().reset(seed=seed, options=options)


def test_an_episode_that_is_too_short_comes_again_when_the_run_goes_on(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(toys, "integrator", Cut)
    with pytest.raises(EnvError, match="it cut an episode after") as first:
        train(tmp_path / "run", changed(TINY, "train.chunk", 10))
    run = Run.open(tmp_path / "run")
    state = run.latest()
    with Reporter(run.metrics, resume=state["metrics"]) as reporter:
        again = Trainer(run, reporter, state)
        with pytest.raises(EnvError) as second:
            again.train()
    assert str(second.value) == str(first.value)


def test_a_checkpoint_that_cannot_be_used_leaves_no_environment_open(
    tmp_path, monkeypatch
):
    closed = []

    def close(env):
        closed.append(env)

    monkeypatch.setattr(toys.Integrator, "close", close)
    run = Run.create(tmp_path / "run", TINY)
    with Reporter(run.metrics) as reporter:
        trainer = Trainer(run, reporter)
        trainer.save()
        trainer.close()
        closed.clear()
        with pytest.raises(ValueError, match="does not fit the config"):
            Trainer(run, reporter, {**run.latest(), "optimiser": {}})
    assert len(closed) == 2  # one that was asked for its spaces, and one to act in


class Broken(toys.Integrator):
    """Fails in the middle of the sixth episode: two of them are for an evaluation."""

    resets = 0

    def reset(self, **options):
        type(self).resets += 1
        return super().reset(**options)

    def step(self, action):
        if self.resets > 5 and self.steps > 5:
            raise OSError("the simulator died")
        return super().step(action)


def test_a_signal_to_all_processes_is_no_fault_of_an_environment(tmp_path, monkeypatch):
    """systemd, and a shell, end those of isolated environments, too."""

    def ended(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        raise EnvError("its process died (exit status 143)")

    monkeypatch.setattr(Trainer, "evaluation_of", ended)
    with pytest.raises(Stopped):
        train(tmp_path / "run")
    assert Run.open(tmp_path / "run").latest()["counters"]["episodes"] == 3


def test_an_environment_that_fails_leaves_a_run_to_go_on_with(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(toys, "integrator", Broken)
    with pytest.raises(EnvError, match="OSError: the simulator died"):
        train(tmp_path / "run")
    monkeypatch.setattr(toys, "integrator", toys.Integrator)
    run = Run.open(tmp_path / "run")
    state = run.latest()
    assert state["counters"]["episodes"] == 3
    with Reporter(run.metrics, resume=state["metrics"]) as reporter:
        trainer = Trainer(run, reporter, state)
        trainer.train()
    assert learned(trainer) == learned(trained)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_planet_solves_the_integrator(tmp_path, precision):
    """From its state. The best is to go straight to the goal, and to stay there."""
    solvable = tiny(
        **{**SMALL, "objective__free_nats": 0.1},
        train__precision=precision,
        model__belief_size=32,
        model__units=32,
        model__activation="elu",
        planner__horizon=6,
        planner__candidates=100,
        planner__elites=10,
        planner__iterations=4,
        train__episodes=6,
        train__updates=60,
        train__batch=16,
        train__evaluate_every=100,
        train__evaluation_episodes=10,
    )
    trainer = train(tmp_path / "run", solvable)
    ((*_, values),) = metrics(trainer, "evaluate")
    best = np.mean([return_of(seed, to_goal) for seed in range(100)])
    chance = np.mean([return_of(seed, at_random) for seed in range(100)])
    assert chance < 0.4 * best
    assert values["score"] > 0.9 * best


def return_of(seed, choose):
    env = toys.integrator()
    env.reset(seed=seed)
    env.action_space.seed(seed)
    return sum(env.step(choose(env))[1] for _ in range(toys.STEPS))


def to_goal(env):
    return np.clip([(toys.GOAL - env.place) / toys.SPEED], -1, 1)


def at_random(env: gymnasium.Env):
    return env.action_space.sample()


def test_the_config_is_stored_with_the_run(trained):
    assert config.load(trained.run.directory / "config.json") == TINY


def test_slow_critics_follow_by_a_hundredth_after_each_update(tmp_path):
    valued = changed(TINY, "objective.value_discount", 0.9)
    trainer = begun(tmp_path / "run", changed(valued, "objective.value_of", "greedy"))
    critic = trainer.world_model.value
    for _ in range(2):
        before = [slow.clone() for slow in critic.slow.parameters()]
        trainer.update()
        newest = list(critic.critics.parameters())
        expected = [was.lerp(p, 0.01) for was, p in zip(before, newest, strict=True)]
        assert_close(list(critic.slow.parameters()), expected, rtol=0, atol=1e-7)
        assert not torch.equal(expected[0], newest[0])
        assert not torch.equal(expected[0], before[0])


def test_seed_episodes_do_not_count_for_when_it_is_evaluated_and_saved(tmp_path):
    """7 episodes after a seed episode: evaluated after 3 and 6, saved after 2, 4, 6.

    Both at the end, too; an iteration is 3 updates.
    """
    seldom = tiny(
        **SMALL,
        train__seed_episodes=1,
        train__episodes=8,
        train__evaluate_every=3,
        train__checkpoint_every=2,
        train__keep_checkpoints=3,
    )
    trainer = train(tmp_path / "run", seldom)
    evaluated = [c.episodes - 1 for _, c, _ in metrics(trainer, "evaluate")]
    assert evaluated == [3, 6, 7]
    saved = [path.stem[-2:] for path in checkpoint.paths(trainer.run.checkpoints)]
    assert saved == ["12", "18", "21"]


def test_states_are_carried_from_one_update_to_the_next(tmp_path, monkeypatch):
    carrying = changed(changed(TINY, "train.carry_states", True), "train.chunk", 4)
    trainer = begun(tmp_path / "run", changed(carrying, "train.batch", 16))
    original, read = planet_torch.trainer.filtered, []

    def recorded(*given):
        read.append((original(*given), given[-1]))
        return read[-1][0]

    monkeypatch.setattr(planet_torch.trainer, "filtered", recorded)
    trainer.update()
    trainer.update()
    (first, _), (_, before) = read
    ended = first.posteriors[:, -1].belief
    gone_on = (before.belief == ended).all(dim=1)
    assert 0 < gone_on.sum() < 16
    assert not before.belief[~gone_on].any()


def test_the_seed_decides_the_first_weights(tmp_path):
    first, other, again = (
        learned(begun(tmp_path / str(i), dataclasses.replace(TINY, seed=seed)))
        for i, seed in enumerate((0, 1, 0))
    )
    assert first == again != other


def test_every_checkpoint_that_is_kept_has_the_episodes_that_it_samples(tmp_path):
    frames = {"train__replay_frames": 26, "train__keep_checkpoints": 3}
    run = train(tmp_path / "run", tiny(**SMALL, **frames, train__episodes=8)).run
    present = Replay(run.episodes).present
    assert 0 not in present
    for path in checkpoint.paths(run.checkpoints):
        assert checkpoint.load(path)["episodes"].keys() <= present


def test_each_fit_and_each_collected_episode_is_watched(tmp_path, monkeypatch):
    seen = []
    for name in ("fit", "episode"):
        monkeypatch.setattr(
            f"planet_torch.watch.Watch.{name}", lambda *_, name=name: seen.append(name)
        )
    train(tmp_path / "run")
    assert seen == ["episode"] * 2 + ["fit", "episode"] * 2
