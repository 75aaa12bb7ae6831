"""The directory of a run: what is in it, where it came from, and the agent it holds.

config.json      every option; loads back to an equal config
run.json         versions, commit and machine of each start
metrics.jsonl    one line a record
episodes/        the replay, one file an episode
checkpoints/     weights, optimiser, counters and random streams
videos/          an episode of each evaluation
dumps/           what reproduces numbers that were not finite, if there were any
run.lock         held by the process that trains it

An exported agent is opened the same way. It has what acts and foresees, and no more:

config.json      as above
agent.safetensors  the weights, and the spaces that they are for
README.md        its card
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv

from planet_torch import build, build_envs, build_model, checkpoint, config
from planet_torch.agent import PlanetAgent
from planet_torch.attempts import run_these
from planet_torch.build_envs import Spaces
from planet_torch.chunk import Chunk, Episode
from planet_torch.compilation import compile_parts
from planet_torch.config import Compile, Config
from planet_torch.files import set_aside, write_atomically
from planet_torch.lock import locked
from planet_torch.prediction import Prediction, predict
from planet_torch.provenance import provenance

SIDE_BY_SIDE = 10  # evaluation episodes run at once
UNSEEN = "has learned from vectors, and only pictures can be looked at"


@dataclass(frozen=True)
class Run:
    """A run directory and the config that it was started with."""

    directory: Path
    config: Config

    @classmethod
    def create(cls, directory: str | os.PathLike[str], config_: Config) -> Run:
        """Begin a run in a directory that holds none.

        Raises:
            FileExistsError: if there is a run already.
            ValueError: if what the config says cannot be built.
            ImportError: if what the environment needs is not installed.
            EnvError: if that cannot begin an episode.
        """
        run = cls(Path(directory), config_)
        run._check_absent()
        build.check(config_)
        for part in (run.episodes, run.checkpoints, run.videos):
            part.mkdir(parents=True, exist_ok=True)
        path = run.directory / "config.json"
        with locked(run.directory):
            run._check_absent()  # another process may have begun one meanwhile
            run.note_start()
            # Last, since it is what makes the directory a run.
            write_atomically(path, lambda place: config.save(config_, place))
        return run

    def _check_absent(self) -> None:
        """Raise FileExistsError if there is a run already."""
        if (self.directory / "config.json").exists():
            raise FileExistsError(
                f"{self.directory} holds a run already; go on with it by "
                f"`{self.again}`, or choose another directory with --run"
            )

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        device: str | None = None,
        compiled: Compile | None = None,
    ) -> Run:
        """The run in a directory.

        Args:
            directory: of the run.
            device: where to compute, if not where it was trained.
            compiled: whether to compile, if not as it was trained. An exported agent is
                by default where it is on a GPU: elsewhere there may be no compiler.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if its config cannot be read.
        """
        path = Path(directory) / "config.json"
        if not path.exists():
            raise FileNotFoundError(f"{directory} holds no run: there is no {path}")
        run = cls(Path(directory), config.load(path))
        if run.exported:
            compiled = compiled or "auto"
        given = {"device": device, "compile": compiled}
        given = {name: value for name, value in given.items() if value is not None}
        train = replace(run.config.train, **given)  # type: ignore[arg-type]
        return replace(run, config=replace(run.config, train=train))

    @property
    def metrics(self) -> Path:
        """The file of records."""
        return self.directory / "metrics.jsonl"

    @property
    def episodes(self) -> Path:
        """The directory of the replay."""
        return self.directory / "episodes"

    @property
    def checkpoints(self) -> Path:
        """The directory of the checkpoints."""
        return self.directory / "checkpoints"

    @property
    def videos(self) -> Path:
        """The directory of the videos; nothing is written to an exported agent."""
        if self.exported:
            return Path("videos") / self.directory.resolve().name
        return self.directory / "videos"

    @property
    def exported(self) -> bool:
        """Whether there is an agent alone, by ``planet export``, and no run."""
        return (self.directory / checkpoint.AGENT).exists()

    def check_trainable(self) -> None:
        """Raise ValueError if there is no run to go on with."""
        if self.exported:
            raise ValueError(
                f"{self.directory} is an exported agent, without the optimiser, "
                "episodes and random streams that training goes on from; evaluate it, "
                f"or begin a run with it by `planet train {self.config.task} "
                f"--train.pretrained {self.directory}`"
            )

    @property
    def again(self) -> str:
        """The command that goes on with it, as a shell reads it."""
        return f"planet train --resume {quote(str(self.directory))}"

    def note_start(self, **notes: object) -> None:
        """Add the versions, commit and machine of this start to ``run.json``.

        If that is damaged, it is set aside.
        """
        build.prepare_torch(self.config, "fit")  # as the threads are noted
        path = self.directory / "run.json"
        if path.exists() and not self.starts():
            aside = set_aside(path, "damaged").name
            warnings.warn(f"{path} is damaged, so set aside as {aside}", stacklevel=2)
        starts = [*self.starts(), {**provenance(), **notes}]
        write_atomically(path, (json.dumps(starts, indent=2) + "\n").encode())

    def starts(self) -> list[dict[str, Any]]:
        """What ``run.json`` says of the starts so far; if it is damaged, nothing."""
        try:
            starts = json.loads((self.directory / "run.json").read_text("utf-8"))
        except (ValueError, RecursionError, FileNotFoundError):
            return []
        listed = isinstance(starts, list)
        return [s for s in starts if isinstance(s, dict)] if listed else []

    def changes(self) -> list[tuple[str, Any, Any]]:
        """The options that were changed on the way: name, before, after."""
        return [
            (name, *change)
            for start in self.starts()
            if isinstance(changes := start.get("overridden"), dict)
            for name, change in changes.items()
            if isinstance(change, list) and len(change) == 2
        ]

    def latest(self) -> dict[str, Any] | None:
        """The newest checkpoint, or an exported agent; see `checkpoint.newest`."""
        return checkpoint.newest(self.directory, self.config.train.device)

    def agent(self, seed: int = 0) -> PlanetAgent:
        """The agent as the newest checkpoint has it, without exploration noise.

        Raises:
            FileNotFoundError: if there is no checkpoint yet.
            ValueError: if the run's device is not there, or no checkpoint can be read.
        """
        build.prepare_torch(self.config)
        content = self.latest()
        if content is None:
            raise FileNotFoundError(f"{self.directory} has no checkpoint yet")
        build_model.check(self.config)
        spaces = Spaces.learned(content)
        with checkpoint.fitting():
            model = build_model.learned(self.config, spaces, content["average"])
        compile_parts(model, self.config.train.compile)
        generator = torch.Generator(self.config.train.device).manual_seed(seed)
        return build.agent(self.config, spaces, model, generator)

    def chosen(self, task: str | None) -> str:
        """The task of the run that is asked for; None is the only one that it has.

        Raises:
            ValueError: if it is none of them, or if None could be several.
        """
        tasks = self.config.tasks
        if task in tasks:
            return task
        if task is None and len(tasks) == 1:
            return tasks[0]
        asked = "has several tasks" if task is None else f"has no task {task!r}"
        raise ValueError(f"{self.directory} {asked}; choose from {', '.join(tasks)}")

    def environments(self, agent: PlanetAgent, task: str, count: int) -> SyncVectorEnv:
        """Environments of a task for the run's agent, as it has learned them."""
        learned = Spaces(agent.observation_shape, agent.action_size)
        return build_envs.environments(self.config, task, count, learned)

    def evaluate(
        self,
        episodes: int = 10,
        seed: int = 0,
        on_decision: Callable[[np.ndarray], None] | None = None,
        task: str | None = None,
    ) -> list[Episode]:
        """Run new episodes of the trained agent, without exploration noise.

        They are always run ten at a time, side by side, even if fewer are asked for. So
        the first ones are the same, bit for bit, however many come after them.

        Args:
            episodes: how many.
            seed: of the episodes and of the agent; the same one gives the same ones.
            on_decision: is told the returns so far after every decision.
            task: one of the run's; only needed if it has several.

        Raises:
            ValueError: if the run has no such task, or several to choose from.
        """
        agent, isolated = self.agent(seed), self.config.env.isolate
        finished: list[Episode] = []
        batches = math.ceil(episodes / SIDE_BY_SIDE)
        words = np.random.SeedSequence(seed).generate_state(batches * SIDE_BY_SIDE)
        envs = self.environments(agent, self.chosen(task), SIDE_BY_SIDE)
        with closing(envs):
            for seeds in words.reshape(batches, SIDE_BY_SIDE).tolist():
                finished += run_these(envs, agent, seeds, on_decision, isolated)
        return finished[:episodes]

    def predict(
        self,
        context: int = 5,
        length: int | None = None,
        seed: int = 0,
        on_decision: Callable[[np.ndarray], None] | None = None,
        task: str | None = None,
    ) -> Prediction:
        """Let the model foresee the beginning of a new episode of its own agent.

        Args:
            context: frames that the model sees.
            length: frames that it then has to foresee; 50, or as many as there are, if
                left out.
            seed: of the episode, and of what the model imagines.
            on_decision: is told the return so far after every decision.
            task: one of the run's; only needed if it has several.

        Raises:
            ValueError: if the episode has fewer frames, or none that can be seen; if
                the run has no such task, or several to choose from.
        """
        agent, task = self.agent(seed), self.chosen(task)
        if self.config.env.observation == "state":
            raise ValueError(f"{self.directory} {UNSEEN}")
        envs = self.environments(agent, task, 1)
        with closing(envs):
            isolated = self.config.env.isolate
            (episode,) = run_these(envs, agent, [seed], on_decision, isolated)
        left = len(episode) - context
        length = max(1, min(50, left)) if length is None else length
        if length > left:
            hint = f"; a length of {left} fits" if left > 0 else ""
            raise ValueError(
                f"context (={context}) and length (={length}) are more than the "
                f"{len(episode)} frames of the episode{hint}"
            )
        chunk = Chunk.of([episode], context + length).to(self.config.train.device)
        return predict(agent.world_model, chunk, context, agent.generator)


def load(
    directory: str | os.PathLike[str], seed: int = 0, device: str | None = None
) -> PlanetAgent:
    """The trained agent of a run directory, to be reset and asked for actions.

    Args:
        directory: such as ``runs/cartpole-balance-cpu-0`` or ``zoo/cartpole-balance``.
        seed: of all the agent's randomness.
        device: where to compute, if not where it was trained.

    Raises:
        FileNotFoundError: if the directory holds no run, or no checkpoint yet.
        ValueError: if the device is not there.
    """
    return Run.open(directory, device).agent(seed)


def evaluate(
    directory: str | os.PathLike[str],
    episodes: int = 10,
    seed: int = 0,
    task: str | None = None,
    device: str | None = None,
) -> list[Episode]:
    """New episodes of the trained agent of a run directory, without exploration noise.

    Their ``score`` is the undiscounted return of each.

    Args:
        directory: such as ``runs/cartpole-balance-cpu-0`` or ``zoo/cartpole-balance``.
        episodes: how many.
        seed: of the episodes and of the agent; the same one gives the same ones.
        task: one of the run's; only needed if it has several.
        device: where to compute, if not where it was trained.

    Raises:
        FileNotFoundError: if the directory holds no run, or no checkpoint yet.
        ValueError: if the run has no such task, or several to choose from; if the
            device is not there.
    """
    return Run.open(directory, device).evaluate(episodes, seed, task=task)
