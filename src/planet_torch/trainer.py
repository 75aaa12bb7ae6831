"""Algorithm 1: seed episodes, fit, collect, repeat; evaluated, saved and resumable."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from torch import nn

from planet_torch import build, build_model, checkpoint
from planet_torch.agent import Agent, RandomAgent
from planet_torch.chunk import Episode
from planet_torch.envs.checked import EnvError, check_length
from planet_torch.files import file_name
from planet_torch.metrics import Counters, Progress, Reporter
from planet_torch.objectives import objective
from planet_torch.optimiser import average_into
from planet_torch.replay import Replay
from planet_torch.rollout import run_episodes
from planet_torch.run import Run
from planet_torch.signals import Stopped, StopSignals
from planet_torch.sinks import SINKS
from planet_torch.video import save_episode

RESTARTS = 3  # of isolated environments, in a row


def train(
    run: Run, sinks: Sequence[str] = (), progress: Progress | None = None
) -> None:
    """Train to the end of the run, from its newest checkpoint if it has one.

    Args:
        run: as created or opened.
        sinks: names from ``SINKS``, of what gets the metrics besides metrics.jsonl.
        progress: shows them, and what is going on, to a person who waits.

    Raises:
        Stopped: if SIGINT or SIGTERM asked for it; the run is saved.
        EnvError: if an environment fails; the run is saved.
        FloatingPointError: if the gradient is no longer finite.
        ImportError: if a sink is not installed.
    """
    state = run.latest()
    counters = Counters(**state["counters"]) if state else Counters()
    others = [SINKS[name](run.directory, counters) for name in sinks]
    kept = state["metrics"] if state else 0
    lines = kept if run.metrics.exists() else None
    with Reporter(run.metrics, others, progress, lines) as reporter:
        Trainer(run, reporter, state).train()


class Trainer:
    """A training run.

    Everything that the rest of the run depends on is in the checkpoint: weights,
    optimiser, counters, random streams, and how far the replay and the metrics go. So a
    run that is cut anywhere and resumed ends with the bits of one that was not.

    Args:
        run: the directory and its config.
        reporter: where metrics and progress go.
        state: the checkpoint to go on from, as ``Run.latest`` gives it. Without it the
            run begins anew.
    """

    def __init__(
        self, run: Run, reporter: Reporter, state: Mapping[str, Any] | None = None
    ) -> None:
        self.run, self.config, self.reporter = run, run.config, reporter
        self.tasks = self.config.tasks
        build.prepare_torch(self.config)
        self.spaces = build.spaces(self.config)
        self.envs = {task: self.environments(task, 1) for task in self.tasks}
        self.streams = checkpoint.streams(self.config.seed, self.config.train.device)
        torch.manual_seed(self.config.seed)  # only the initial weights depend on it
        self.world_model = build_model.world_model(self.config, self.spaces)
        self.average = deepcopy(self.world_model).requires_grad_(False)
        self.optimiser = build_model.optimiser(self.config, self.world_model)
        self.terms = build_model.objective_terms(self.config)
        self.replay = Replay(run.episodes)
        self.counters = Counters()
        self.evaluated = 0  # how many rounds there were at the last evaluation
        self.sums: dict[str, float] = {}  # of what the updates since the last fit gave
        self.signals = StopSignals()
        if state is None:
            self.replay.truncate(0)  # what a run killed before any checkpoint left
        else:
            self.restore(state)

    def train(self) -> None:
        """PlaNet, Algorithm 1, on one task or several.

        Raises:
            Stopped: if a signal asked for it; the run is saved.
            FloatingPointError: if the gradient is no longer finite.
        """
        with closing(self), self.saved_if_stopped():
            self.collect_seed_episodes()
            self.evaluate_when_due()  # where a resumed run may have stopped
            while self.rounds < self.config.train.episodes:
                self.fit()
                self.collect_episodes()
                self.evaluate_when_due()
                self.save_when_due()
            self.save()
            self.signals.check()

    @property
    def rounds(self) -> int:
        """How many episodes there are of each task, seed episodes included."""
        return self.counters.episodes // len(self.tasks)

    @property
    def collected(self) -> int:
        """How many of them are no seed episodes."""
        return self.rounds - self.config.train.seed_episodes

    def collect_seed_episodes(self) -> None:
        """Fill the replay with random actions."""
        agent = RandomAgent(self.spaces.action_size, self.streams["environment"])
        while self.collected < 0:
            self.collect_round("seed", agent)

    def fit(self) -> None:
        """Update the model as often as one iteration does, or as is left of it."""
        updates = self.config.train.updates * len(self.tasks)
        left = (self.collected + 1) * updates - self.counters.updates
        self.reporter.phase("fit", left, "updates")
        for _ in range(left):
            self.update()
            self.reporter.advance()
            self.signals.check()
        if self.sums:
            means = {name: total / updates for name, total in self.sums.items()}
            self.reporter.log("fit", means, self.counters)
            self.sums = {}

    def update(self) -> None:
        """One gradient step on one batch of chunks."""
        train = self.config.train
        chunk = self.replay.sample(train.batch, train.chunk, self.streams["replay"])
        loss, shown = objective(
            self.world_model, self.terms, chunk.to(train.device), self.streams["model"]
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(
            self.world_model.parameters(), self.config.optimiser.gradient_clip
        )
        shown = {"loss": loss.detach(), **shown, "gradient": norm}
        values = dict(zip(shown, torch.stack([*shown.values()]).tolist(), strict=True))
        self.check_finite(values)
        self.optimiser.step()
        self.counters = replace(self.counters, updates=self.counters.updates + 1)
        decay = self.config.optimiser.average
        average_into(self.average, self.world_model, decay, self.counters.updates)
        self.sums = {name: self.sums.get(name, 0.0) + values[name] for name in values}

    def check_finite(self, values: Mapping[str, float]) -> None:
        """Raise FloatingPointError if an update would spoil the weights."""
        if not math.isfinite(values["gradient"]):
            shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise FloatingPointError(
                f"update {self.counters.updates + 1} is not finite ({shown}), so the "
                "weights were left as they are; a run with a lower "
                "optimiser.learning_rate or optimiser.gradient_clip may do better"
            )

    def collect_episodes(self) -> None:
        """Add an episode of each task, by the agent as it is now."""
        stream = self.streams["exploration"]
        agent = build.collector(self.config, self.spaces, self.average, stream)
        self.collect_round("collect", agent)

    def collect_round(self, kind: str, agent: Agent) -> None:
        """Add an episode of each task, or of those that a stopped round has left."""
        done = self.counters.episodes % len(self.tasks)
        for task in self.tasks[done:]:
            self.collect_episode(kind, task, agent)

    def collect_episode(self, kind: str, task: str, agent: Agent) -> None:
        """Add one episode to the replay."""
        envs = self.envs[task]
        (episode,) = self.run_episodes(kind, envs, agent, "environment")
        check_length(task, len(episode), episode.terminated, self.config.train.chunk)
        self.replay.add(episode)
        (steps,) = envs.get_attr("environment_steps")
        self.counters = replace(
            self.counters,
            episodes=self.counters.episodes + 1,
            decisions=self.counters.decisions + len(episode) - 1,
            environment_steps=self.counters.environment_steps + steps,
        )
        self.reporter.log(kind, {"return": episode.score}, self.counters, task)

    def evaluate_when_due(self) -> None:
        """Evaluate every so many collected episodes, and at the end of the run."""
        train = self.config.train
        due = (
            self.collected % train.evaluate_every == 0 or self.rounds >= train.episodes
        )
        if due and self.collected > 0 and self.evaluated < self.rounds:
            self.evaluate()
            self.evaluated = self.rounds

    def evaluate(self) -> None:
        """Run episodes without exploration noise; nothing ever learns from them."""
        with self.undone_unless_finished():
            evaluations = {task: self.evaluation_of(task) for task in self.tasks}
        for task, episodes in evaluations.items():
            self.report(task, episodes)

    def evaluation_of(self, task: str) -> list[Episode]:
        """New episodes of a task, by the agent as it is now."""
        count, stream = self.config.train.evaluation_episodes, self.streams["test"]
        agent = build.agent(self.config, self.spaces, self.average, stream)
        with closing(self.environments(task, count)) as envs:
            return self.run_episodes("evaluate", envs, agent, "test_environment")

    def run_episodes(
        self, phase: str, envs: SyncVectorEnv, agent: Agent, stream: str
    ) -> list[Episode]:
        """Run an episode in each environment, and again where an isolated one fails.

        The first time again it has the same seed, so that an accident leaves no trace
        in the run; after that others, since some seed may always fail.

        Raises:
            EnvError: if one fails that is not isolated, or again and again.
        """
        decisions = build.decisions(envs)
        for faults in itertools.count():
            try:
                with self.undone_unless_finished():
                    self.reporter.phase(phase, decisions, "decisions")
                    for _ in range(max(faults, 1)):
                        seeds = self.episode_seeds(stream, envs.num_envs)
                    return run_episodes(envs, agent, seeds, self.on_decision)
            except EnvError as fault:
                self.signals.check()
                self.restart(fault, faults + 1)
        raise AssertionError

    def restart(self, fault: EnvError, count: int) -> None:
        """Report a fault after which the episode is begun again, or give up."""
        if not self.config.env.isolate:
            raise fault
        if count > RESTARTS:
            raise EnvError(f"{fault} ({count} times in a row)") from fault
        warnings.warn(
            f"{fault}. Its episode is dropped and begun again, {count} of at most "
            f"{RESTARTS} times",
            stacklevel=2,
        )
        self.reporter.log("fault", {"in a row": count}, self.counters)

    def report(self, task: str, evaluation: list[Episode]) -> None:
        """Log the returns of an evaluation, and keep its first episode as a video."""
        returns = [episode.score for episode in evaluation]
        score = float(np.mean(returns))
        self.reporter.log(
            "evaluate", {"score": score, "returns": returns}, self.counters, task
        )
        name = f"evaluation-{self.counters.episodes:06d}-{file_name(task)}"
        save_episode(evaluation[0], self.run.videos / name)

    def environments(self, task: str, count: int) -> SyncVectorEnv:
        """Environments of a task that take the actions of the agent."""
        size = self.spaces.action_size
        return build.environments(self.config, task, count, size)

    def close(self) -> None:
        """Close the environments."""
        for envs in self.envs.values():
            envs.close()

    def episode_seeds(self, stream: str, count: int) -> list[int]:
        """Seeds of episodes; what happens in one depends on nothing before it."""
        seeds = torch.randint(2**31, (count,), generator=self.streams[stream])
        return [int(seed) for seed in seeds]

    def save_when_due(self) -> None:
        """Write a checkpoint every so many collected episodes."""
        if self.collected % self.config.train.checkpoint_every == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of all that the rest of the run depends on."""
        content = {
            "world_model": self.world_model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "streams": {name: s.get_state() for name, s in self.streams.items()},
            "counters": asdict(self.counters),
            "evaluated": self.evaluated,
            "sums": self.sums,
            "metrics": self.reporter.mark(),
            "spaces": asdict(self.spaces),
        }
        checkpoint.save(self.run.checkpoints, self.counters.updates, content)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a checkpoint was written."""
        self.world_model.load_state_dict(state["world_model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        for name, stream in self.streams.items():
            stream.set_state(state["streams"][name].cpu())
        self.counters = Counters(**state["counters"])
        self.evaluated = state["evaluated"]
        self.sums = state["sums"]
        self.replay.truncate(self.counters.episodes)

    @contextmanager
    def saved_if_stopped(self) -> Iterator[None]:
        """Listen to signals, and write a checkpoint if one ends the run."""
        with self.signals:
            try:
                yield
            except (Stopped, EnvError):
                self.save()
                raise

    def on_decision(self, returns: np.ndarray) -> None:
        """Between two decisions of an episode."""
        self.reporter.advance()
        self.signals.check()

    @contextmanager
    def undone_unless_finished(self) -> Iterator[None]:
        """Forget an unfinished episode, so that it can be begun again."""
        before = {name: s.get_state() for name, s in self.streams.items()}
        try:
            yield
        except (Stopped, EnvError):
            for name, stream in self.streams.items():
                stream.set_state(before[name])
            raise
