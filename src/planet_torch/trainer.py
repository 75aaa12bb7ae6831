"""Algorithm 1: seed episodes, fit, collect, repeat; evaluated, saved and resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from torch import nn

from planet_torch import build, build_envs, build_model, checkpoint
from planet_torch.ahead import collector
from planet_torch.attempts import Attempts, Play
from planet_torch.build_envs import Spaces
from planet_torch.chunk import Chunk, Episode
from planet_torch.collector import Played, PlayTask, play
from planet_torch.compilation import compile_parts
from planet_torch.dynamics import State
from planet_torch.envs.checked import EnvError, check_length
from planet_torch.files import file_name
from planet_torch.guard import Guard, NotFiniteError, check_update
from planet_torch.metrics import Counters, Reporter
from planet_torch.objectives import filtered, total
from planet_torch.optimiser import average_into
from planet_torch.replay import Replay
from planet_torch.rollout import run_episodes
from planet_torch.run import Run
from planet_torch.signals import Stopped, StopSignals
from planet_torch.video import keep_episode
from planet_torch.watch import Watch


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
        replay: of the run, if it is open already.
    """

    def __init__(
        self,
        run: Run,
        reporter: Reporter,
        state: Mapping[str, Any] | None = None,
        replay: Replay | None = None,
    ) -> None:
        self.run, self.config, self.reporter = run, run.config, reporter
        self.tasks = self.config.tasks
        build.prepare_torch(self.config, "fit")
        self.spaces = build_envs.spaces(self.config)
        self.envs = {task: self.environments(task, 1) for task in self.tasks}
        self.streams = checkpoint.streams(self.config.seed, self.config.train.device)
        torch.manual_seed(self.config.seed)  # only the initial weights depend on it
        self.world_model = build_model.world_model(self.config, self.spaces)
        self.average = deepcopy(self.world_model).requires_grad_(False)
        for model in (self.world_model, self.average):
            compile_parts(model, self.config.train.compile)
        self.optimiser = build_model.optimiser(self.config, self.world_model)
        self.terms = build_model.objective_terms(self.config)
        train = self.config.train
        if replay is None:  # one without episodes is false
            replay = Replay(run.episodes, train.replay_frames)
        self.replay = replay
        self.batches = build.batches(self.config, self.replay, self.world_model)
        self.counters = Counters()
        self.evaluated = 0  # how many rounds there were at the last evaluation
        self.sums: dict[str, float] = {}  # of what the updates since the last fit gave
        self.signals = StopSignals()
        self.collector = collector(
            *(self.config, self.spaces, self.average, self.envs),
            *(self.streams["exploration"], self.signals.check),
        )
        self.watch = Watch(self.config.optimiser.gradient_clip)
        self.attempts = Attempts(
            self.streams, reporter, self.signals, self.config.env.isolate
        )
        skip = train.on_nan == "skip"
        self.guard = Guard(run.directory / "dumps", skip, self.on_skip)
        try:
            self.begin() if state is None else self.restore(state)
        except BaseException:
            self.close()
            raise

    def train(self) -> None:
        """PlaNet, Algorithm 1, on one task or several.

        Raises:
            Stopped: if a signal asked for it; the run is saved.
            FloatingPointError: if a number is not finite, and is not to be skipped.
        """
        with closing(self), self.saved_if_stopped():
            self.collect_seed_episodes()
            self.evaluate_when_due()  # where a resumed run may have stopped
            while self.rounds < self.config.train.episodes:
                self.begin_episodes()
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
        """Fill the replay: at random, or by the agent that the run begins with."""
        kind, agent = build.beginner(
            self.config, self.spaces, self.average, self.streams
        )
        while self.collected < 0:
            self.collect_round(kind, partial(play, self.envs, agent))

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
            done = updates - self.sums.pop("skipped", 0.0)
            means = {name: total / done for name, total in self.sums.items()}
            self.watch.fit(means)
            self.reporter.log("fit", means, self.counters)
            self.sums = {}

    def update(self) -> None:
        """One gradient step on one batch of chunks."""
        chunk, states = self.batches.draw(self.streams["replay"])
        with self.guard:
            self.learn(chunk.to(self.config.train.device), states)
        self.counters = replace(self.counters, updates=self.counters.updates + 1)

    def learn(self, chunk: Chunk, states: State | None) -> None:
        """Move the weights, unless a number is not finite."""
        model, stream = self.world_model, self.streams["model"]
        noise = stream.get_state()
        read = filtered(model, chunk, stream, states)
        loss, shown = total(model, self.terms, read, stream)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(
            model.parameters(), self.config.optimiser.gradient_clip
        )
        shown = {"loss": loss.detach(), **shown, "gradient": norm}
        values = dict(zip(shown, torch.stack([*shown.values()]).tolist(), strict=True))
        decay, number = self.config.optimiser.average, self.counters.updates + 1
        cause = {"noise": noise, "chunk": vars(chunk)}
        before = {} if states is None else {"states": vars(states)}
        check_update(number, values, model, {**cause, **before}, self.config)
        self.batches.ended(read.posteriors)
        self.optimiser.step()
        average_into(self.average, model, decay, number)
        model.follow()
        self.sums |= {name: self.sums.get(name, 0.0) + values[name] for name in values}

    def on_skip(self, error: NotFiniteError) -> None:
        """Count what was not finite, and is gone on without."""
        what = error.name.partition("-")[0]
        if what == "update":
            self.sums["skipped"] = self.sums.get("skipped", 0.0) + 1
        self.reporter.log("skip", {what: 1.0}, self.counters)

    @property
    def tasks_left(self) -> tuple[str, ...]:
        """Those that a round has no episode of yet."""
        return self.tasks[self.counters.episodes % len(self.tasks) :]

    def begin_episodes(self) -> None:
        """Tell the collector what it will be asked for after the updates."""
        tasks = self.tasks_left
        seeds = self.attempts.foreseen("environment", len(tasks))
        self.collector.begin(tasks, seeds, self.collected)

    def collect_episodes(self) -> None:
        """Add an episode of each task, by the agent."""
        self.collect_round("collect", self.collector.play)
        self.collector.finish()

    def collect_round(self, kind: str, play: PlayTask) -> None:
        """Add an episode of each task, or of those that a stopped round has left."""
        for task in self.tasks_left:
            self.collect_episode(kind, task, partial(play, task))

    def collect_episode(self, kind: str, task: str, play: Play[Played]) -> None:
        """Add one episode to the replay; one that is skipped is begun anew."""
        decisions = build_envs.decisions(self.envs[task])
        chunk, played = self.config.train.chunk, None
        while played is None:
            # One that is too short is undone, too, and comes again in a resumed run.
            with self.guard, self.attempts.undone_unless_finished():
                played = self.attempts.run(
                    kind, decisions, play, "environment", self.counters
                )
                episode, steps = played
                check_length(task, len(episode), episode.terminated, chunk)
        self.replay.add(episode)
        self.watch.episode(episode)
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
        evaluations: dict[str, list[Episode]] = {}
        with self.attempts.undone_unless_finished(), self.guard:
            evaluations = {task: self.evaluation_of(task) for task in self.tasks}
        for task, episodes in evaluations.items():
            self.report(task, episodes)

    def evaluation_of(self, task: str) -> list[Episode]:
        """New episodes of a task, by the agent as it is now."""
        count, stream = self.config.train.evaluation_episodes, self.streams["test"]
        agent = build.agent(self.config, self.spaces, self.average, stream)
        with closing(self.environments(task, count)) as envs:
            play = partial(run_episodes, envs, agent)
            limit, seeds = build_envs.decisions(envs), "test_environment"
            return self.attempts.run(
                "evaluate", limit, play, seeds, self.counters, count
            )

    def report(self, task: str, evaluation: list[Episode]) -> None:
        """Log the returns of an evaluation, and keep its first episode as a video."""
        returns = [episode.score for episode in evaluation]
        score = float(np.mean(returns))
        self.reporter.log(
            "evaluate", {"score": score, "returns": returns}, self.counters, task
        )
        name = f"evaluation-{self.counters.episodes:06d}-{file_name(task)}"
        keep_episode(evaluation[0], self.run.videos / name)

    def environments(self, task: str, count: int) -> SyncVectorEnv:
        """Environments of a task that take the actions of the agent."""
        return build_envs.environments(self.config, task, count, self.spaces)

    def close(self) -> None:
        """Close the environments, and the collector."""
        self.collector.close()
        for envs in self.envs.values():
            envs.close()

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
            "batches": self.batches.state_dict(),
            "metrics": self.reporter.mark(),
            "spaces": asdict(self.spaces),
            "episodes": self.replay.checksums,
            "config": asdict(self.config),
        }
        if self.collector.weights is not None:
            content["acting"] = self.collector.weights
        directory, train = self.run.checkpoints, self.config.train
        checkpoint.save(
            directory, self.counters.updates, content, train.keep_checkpoints
        )
        if train.replay_frames is not None:
            self.replay.prune(checkpoint.oldest_episodes(directory))

    def begin(self) -> None:
        """Have the first weights, and no episodes."""
        self.replay.truncate(0)  # what a run killed before any checkpoint left
        weights = build.pretrained(self.config, self.spaces)
        if weights is not None:
            for model in (self.world_model, self.average):
                model.load_state_dict(weights)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to where a checkpoint was written."""
        Spaces.learned(state).check(self.config.task, self.spaces)
        with checkpoint.fitting():
            self.world_model.load_state_dict(state["world_model"])
            if "acting" in state:
                self.average.load_state_dict(state["acting"])  # if they fit, that is
                self.collector.weights = state["acting"]
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            for name, stream in self.streams.items():
                stream.set_state(state["streams"][name].cpu())
            self.counters = Counters(**state["counters"])
            self.evaluated = state["evaluated"]
            self.sums = state["sums"]
            self.batches.load_state_dict(state["batches"])
        self.replay.truncate(self.counters.episodes)

    @contextmanager
    def saved_if_stopped(self) -> Iterator[None]:
        """Listen to signals, and write a checkpoint if one ends the run."""
        with self.signals:
            try:
                yield
            except (Stopped, EnvError):
                self.save()
                self.signals.check()  # one to all processes ends environments, too
                raise
