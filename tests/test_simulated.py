"""Planning with the true simulator: an agent, its episodes, and `planet plan`."""

import itertools
import json
import re
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from planet_torch import build, build_envs, video
from planet_torch.agent import Agent, RandomAgent
from planet_torch.cli import main, parse
from planet_torch.config import Config, EnvConfig, PlannerConfig
from planet_torch.envs import make, tasks
from planet_torch.planners import CEM, ICEM
from planet_torch.rollout import run_episodes
from planet_torch.simulated import SimulatorAgent, plan_episodes

mujoco = pytest.importorskip("mujoco")
pytest.importorskip("dm_control")

TINY = PlannerConfig(method="icem", horizon=3, candidates=8, elites=2, iterations=2)
SHORT = Config(  # episodes of ten decisions
    task="dmc/reacher-easy",
    env=EnvConfig(observation="state", action_repeat=100),
    planner=replace(TINY, horizon=1),
)
WORDS = ["plan", "dmc/reacher-easy", "--action_repeat", "100", "--episodes", "2"]
WORDS += ["--planner.candidates", "8", "--planner.elites", "2", "--planner.horizon=1"]
WORDS += ["--planner.iterations", "2"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def started(name, seed=0, **options):
    env = make(name, observation="state", **options)
    observation, _ = env.reset(seed=seed)
    return env, observation


def whole_state(env):
    physics = env.unwrapped.environment.physics
    model, data = physics.model.ptr, physics.data.ptr
    signature = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, signature))
    mujoco.mj_getState(model, data, state, signature)
    return np.concatenate([state, data.sensordata, data.qacc, data.xpos.ravel()])


def bits(planned):
    return [
        (each.episode.action.tobytes(), each.episode.reward.tobytes())
        for each in planned
    ]


# The agent


@pytest.mark.parametrize(
    "planner",
    [CEM(horizon=2, candidates=6, elites=2, iterations=2), ICEM(horizon=2, elites=2)],
    ids=["cem", "icem"],
)
def test_it_is_an_agent_for_several_environments(planner):
    planner.candidates = 6
    envs, observations = zip(
        *(started("dmc/walker-walk", s) for s in (1, 2)), strict=True
    )
    agent = SimulatorAgent(envs, planner, seeded(), threads=1)
    assert isinstance(agent, Agent)
    agent.reset(2)
    actions = agent.act(np.stack(observations))
    assert actions.shape == (2, 6)
    assert actions.dtype == np.float32
    assert abs(actions).max() <= 1
    assert not np.array_equal(actions[0], actions[1])
    agent.close()


def test_it_leaves_its_environment_as_it_was():
    """To the bit, and so the episode goes on as if nobody had planned."""
    (env, observation), (other, _) = (started("dmc/walker-walk") for _ in range(2))
    before = whole_state(env)
    agent = SimulatorAgent([env], build.planner(Config(planner=TINY)), seeded(), 1)
    for _ in range(3):
        action = agent.act(observation[None])[0]
        np.testing.assert_array_equal(whole_state(env), before)
        stepped, expected = env.step(action), other.step(action)
        np.testing.assert_array_equal(stepped[0], expected[0])
        assert stepped[1] == expected[1]
        before = whole_state(env)
    np.testing.assert_array_equal(whole_state(other), before)
    agent.close()


def test_it_does_not_look_at_observations():
    env, observation = started("dmc/cartpole-swingup")
    actions = []
    for seen in (observation, np.full_like(observation, np.nan)):
        agent = SimulatorAgent([env], CEM(horizon=2, candidates=9, elites=3), seeded())
        actions.append(agent.act(seen[None]))
        agent.close()
    np.testing.assert_array_equal(*actions)


def test_it_starts_from_its_last_plan_within_an_episode_only():
    env, observation = started("dmc/cartpole-swingup")
    given = []

    class Recorder(ICEM):
        def search(self, trials, generator, previous):
            given.append(previous.abs().sum().item())
            return super().search(trials, generator, previous)

    agent = SimulatorAgent([env], Recorder(horizon=2, candidates=9, elites=3), seeded())
    for _ in range(2):
        agent.reset(1)
        agent.act(observation[None])
        agent.act(observation[None])
    assert [bool(total) for total in given] == [False, True, False, True]
    agent.close()


def test_what_the_caller_does_to_an_action_does_not_change_the_plan():
    env, observation = started("dmc/cartpole-swingup")
    agent = SimulatorAgent([env], CEM(horizon=2, candidates=9, elites=3), seeded())
    action = agent.act(observation[None])
    kept = agent.plan.clone()
    action[:] = 9
    assert torch.equal(agent.plan, kept)
    agent.close()


def test_another_number_of_episodes_than_environments_is_refused():
    env, _ = started("dmc/cartpole-balance")
    agent = SimulatorAgent([env], CEM(), seeded())
    with pytest.raises(ValueError, match=r"batch \(=2\) must be .* plans for, 1"):
        agent.reset(2)
    agent.close()


# Its episodes


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    first, again = (bits(plan_episodes(SHORT, 3, threads=1)) for _ in range(2))
    assert first == again
    other = bits(plan_episodes(replace(SHORT, seed=1), 3, threads=1))
    assert not set(first) & set(other)
    assert len(set(first)) == 3


def test_an_episode_depends_neither_on_how_many_there_are_nor_on_the_threads():
    assert bits(plan_episodes(SHORT, 3, 1))[:1] == bits(plan_episodes(SHORT, 1, 2))


def test_each_episode_has_a_random_stream_of_its_own(monkeypatch):
    """So that what one draws, which a budget of time decides, changes no other."""
    seen = []

    class Recorder(CEM):
        def search(self, trials, generator, previous):
            seen.append(generator.initial_seed())
            return super().search(trials, generator, previous)

    recorder = Recorder(horizon=1, candidates=4, elites=2, iterations=1)
    monkeypatch.setattr(build, "planner", lambda _: recorder)
    list(plan_episodes(SHORT, 2))
    assert seen == [seed for seed in dict.fromkeys(seen) for _ in range(10)]
    assert len(set(seen)) == 2


def test_the_time_of_a_decision_is_told_and_a_budget_bounds_it():
    planner = replace(SHORT.planner, candidates=400, iterations=500)
    budget = replace(SHORT, planner=replace(planner, decision_budget_ms=30.0))
    (planned,) = plan_episodes(budget, 1, threads=1)
    assert 0 < planned.seconds < 3  # without the budget, 100 million steps


def test_no_picture_is_drawn(monkeypatch):
    monkeypatch.setattr("planet_torch.envs.dm_control._renderer", lambda *_: 1 / 0)
    assert len(list(plan_episodes(SHORT, 1))) == 1


def test_planning_scores_far_above_random_actions():
    """Some tens of candidates for each decision; 1000 is the most."""
    planner = replace(TINY, horizon=4, candidates=16, elites=4, sigma=1.0)
    env = EnvConfig(observation="state")
    config = Config(task="dmc/reacher-easy", env=env, planner=planner)
    (planned,) = plan_episodes(config, 1)
    envs = build_envs.environments(config, config.task, 5)
    random = [e.score for e in run_episodes(envs, RandomAgent(2, seeded()), range(5))]
    envs.close()
    assert np.mean(random) < 300
    assert planned.episode.score > 800


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", [task.name for task in tasks()])
def test_every_task_of_the_suite_can_be_planned_in(task):
    """Two decisions of half an episode each, whose scores are the environment's own."""
    planner = PlannerConfig(method="random-shooting", horizon=1, candidates=2)
    env = EnvConfig(observation="state", action_repeat=500)
    config = Config(task=task, env=env, planner=planner)
    (planned,) = plan_episodes(config, 1)
    acting = make(task, **asdict(env))
    acting.reset(seed=int(np.random.SeedSequence(0).generate_state(1)[0]))
    stepped = [acting.step(action)[1] for action in planned.episode.action[1:]]
    np.testing.assert_array_equal(planned.episode.reward[1:], np.float32(stepped))


@pytest.mark.parametrize(
    "task", ["gym/Pendulum-v1", "toys:integrator", "", "dmc/a,dmc/b"]
)
def test_a_task_without_a_simulator_is_refused(task):
    with pytest.raises(ValueError, match=f"task '{task}' has no simulator to plan"):
        next(plan_episodes(Config(task=task), 1))


# The command


def test_the_command_says_score_time_and_settings(capsys):
    assert main(WORDS) == 0
    said = capsys.readouterr()
    assert re.search(r"^score +\d+\.\d, the mean of 2 episodes", said.out, re.M)
    assert re.search(r"^published +964, by CEM with the true", said.out, re.M)
    assert re.search(r"^time +\d+\.\d{3} s a decision", said.out, re.M)
    assert "method=icem, horizon=1, candidates=8, elites=2" in said.out
    assert "spread" not in said.out  # which is of no use to icem
    assert len(re.findall(r"^episode \d: \d+\.\d, \d", said.err, re.M)) == 2


def test_the_command_repeats_itself_as_json(capsys):
    results = []
    for threads in ("1", "2"):
        assert main([*WORDS, "--json", "--seed", "3", "--threads", threads]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert len(results[0]["returns"]) == 2
    assert results[0]["score"] == pytest.approx(np.mean(results[0]["returns"]))
    assert all(result.pop("seconds_per_decision") > 0 for result in results)
    assert results[0] == results[1]


def test_the_command_writes_videos(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")
    words = ["--video", "--image_size", "16", "--out", str(tmp_path / "films")]
    assert main([*WORDS, *words]) == 0
    said = capsys.readouterr().err
    for number in (0, 1):
        path = tmp_path / "films" / f"reacher-easy-icem-seed-0-{number:02d}.gif"
        assert f"video {path}" in said
        with Image.open(path) as film:
            assert film.n_frames > 1


def test_videos_go_to_no_file(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main([*WORDS, "--video", "--out", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err


def test_a_video_changes_nothing_of_what_is_done():
    seen = replace(SHORT, env=replace(SHORT.env, observation="pixels", image_size=8))
    assert bits(plan_episodes(seen, 1)) == bits(plan_episodes(SHORT, 1))


def test_another_method_is_searched_by_with_the_options_that_it_has():
    command = parse("plan", ["dmc/walker-walk", "--planner.method", "cem"])
    planner = build.planner(command.config)
    assert isinstance(planner, CEM)
    assert planner.candidates == parse("plan", ["x"]).planner.candidates


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("", "which TASK? `planet list` names those"),
        ("dmc/cartpole-balence", "did you mean 'dmc/cartpole-balance'?"),
        ("gym/Pendulum-v1", "task 'gym/Pendulum-v1' has no simulator to plan with"),
        ("dmc/walker-walk dmc/walker-run", "'dmc/walker-run' is one word too many"),
        ("dmc/walker-walk --planner.elites 999", "elites (=999)"),
        ("dmc/walker-walk --planner.warm_start True", "no effect on icem"),
        (
            "dmc/walker-walk --planner.acts_on means",
            "planner.acts_on (='means') has no effect on planning",
        ),
        ("dmc/walker-walk --planner.value False", "planner.value (=False) has no"),
        ("dmc/walker-walk --planner.method mpc", "invalid choice 'mpc'"),
        ("dmc/walker-walk --action_repeat 1001", "(=1001) exceeds time_limit"),
        ("dmc/walker-walk --episodes 0", "plan.episodes (=0) must be at least 1"),
        ("dmc/walker-walk --planner.horizn 3", "did you mean '--planner.horizon'?"),
        ("dmc/walker-walk --threads -1", "plan.threads (=-1) must be at least 0"),
    ],
)
def test_what_cannot_be_planned_is_answered_in_one_line(words, answer, capsys):
    assert main(["plan", *words.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert answer in line


def test_the_time_of_a_decision_is_that_of_its_own_episode(monkeypatch):
    """By a clock that goes on by one whenever it is looked at."""
    clock = SimpleNamespace(perf_counter=itertools.count().__next__)
    monkeypatch.setattr("planet_torch.simulated.time", clock)
    assert [each.seconds for each in plan_episodes(SHORT, 2)] == [1.0, 1.0]
