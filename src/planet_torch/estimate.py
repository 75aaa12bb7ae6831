"""What a run will take: disk by arithmetic; time and memory, measured shortly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import nn

from planet_torch import build, build_envs, build_model
from planet_torch.agent import Agent
from planet_torch.build_envs import Spaces
from planet_torch.chunk import Episode
from planet_torch.config import Config
from planet_torch.memory import peak_memory
from planet_torch.metrics import Reporter
from planet_torch.run import Run
from planet_torch.trainer import Trainer

COPIES = 4  # of the weights in a checkpoint: these, their average, both moments of Adam
REPEATS = 20  # the most that anything is measured


@dataclass(frozen=True)
class Disk:
    """The most bytes on the disk, the videos and lines of metrics of a run left out.

    Attributes:
        episodes: of the replay, if no episode ends early.
        checkpoints: those that are kept, and the one that is being written.
    """

    episodes: int
    checkpoints: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.episodes + self.checkpoints


@dataclass(frozen=True)
class Costs:
    """Seconds for each thing that is done in a run, and the memory that it took.

    Attributes:
        random: a decision of a seed episode.
        update: of the model.
        decision: of a collected episode.
        evaluation: a decision of all episodes of an evaluation, side by side.
        checkpoint: to write one.
        memory: bytes, the most that this process has had so far. To that comes, if
            episodes are collected beside the updates, what it had when it had planned
            and not yet learned: a process that collects does the same.
        gpu_memory: bytes, of this process; 0 without a GPU.
    """

    random: float
    update: float
    decision: float
    evaluation: float
    checkpoint: float
    memory: int
    gpu_memory: int


def disk(config: Config) -> Disk:
    """The disk that a run needs, computed from the shapes of its parts.

    Raises:
        ValueError: if what the config says cannot be built.
    """
    spaces = build_envs.spaces(config)
    model = build_model.world_model(config, spaces)
    return _disk(config, spaces, decisions_of(config), model)


def decisions_of(config: Config) -> list[int]:
    """The most decisions that an episode of each task has."""
    found = []
    for task in config.tasks:
        with closing(build_envs.environments(config, task, 1)) as envs:
            found.append(build_envs.decisions(envs))
    return found


def _disk(
    config: Config, spaces: Spaces, decisions: Sequence[int], model: nn.Module
) -> Disk:
    numbers = math.prod(spaces.observation)
    observation = numbers if len(spaces.observation) == 3 else 4 * numbers
    row = observation + 4 * (spaces.action_size + 1)
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    copies = COPIES + config.train.parallel  # of a run stopped on the way: what acts
    train, each = config.train, sum(decisions) + len(decisions)  # rows of a round
    rows = train.episodes * each
    if train.replay_frames is not None:
        # What the oldest checkpoint samples from is kept, and all that came after it.
        later = train.keep_checkpoints * train.checkpoint_every * each
        rows = min(rows, max(train.replay_frames, max(decisions) + 1) + later)
    return Disk(
        episodes=rows * row,
        checkpoints=(train.keep_checkpoints + 1) * copies * weights,
    )


def measure(config: Config, seconds: float = 5.0) -> Costs:
    """Do a little of everything that a run does, in a directory that is then removed.

    With several tasks, it is done in the first.

    Args:
        config: of the run.
        seconds: that each measurement may take, after a first time that is not counted.

    Raises:
        ValueError: if what the config says cannot be built.
    """
    with scratch_trainer(config) as trainer:
        return _costs(trainer, seconds)


@contextmanager
def scratch_trainer(config: Config) -> Iterator[Trainer]:
    """A trainer that has done nothing yet, in a directory that is then removed.

    Raises:
        ValueError: if what the config says cannot be built.
    """
    build.check(config)
    with TemporaryDirectory(prefix="planet-scratch-") as place:
        run = Run(Path(place), config)
        run.checkpoints.mkdir()
        with Reporter(run.metrics) as reporter:
            trainer = Trainer(run, reporter)
            with closing(trainer):
                yield trainer


def _costs(trainer: Trainer, seconds: float) -> Costs:
    """Measure with the parts of a trainer that has done nothing yet."""
    config, spaces = trainer.config, trainer.spaces
    _, agent = build.beginner(config, spaces, trainer.average, trainer.streams)
    envs = trainer.envs[task := trainer.tasks[0]]
    random, episode = _beginning(envs, agent, config.train.chunk, seconds)
    model, stream = trainer.world_model, trainer.streams["test"]
    planner = build.agent(config, spaces, model, stream)
    decision, _ = _beginning(envs, planner, REPEATS, seconds)
    beside = peak_memory() if config.train.parallel else 0
    trainer.replay.add(episode)
    update = _timed(trainer.update, seconds)
    with closing(trainer.environments(task, config.train.evaluation_episodes)) as many:
        evaluation, _ = _beginning(many, planner, REPEATS, seconds)
    checkpoint = _timed(trainer.save, seconds)
    on_gpu = torch.device(config.train.device).type == "cuda"
    return Costs(
        random,
        update,
        decision,
        evaluation,
        checkpoint,
        memory=peak_memory() + beside,
        gpu_memory=torch.cuda.max_memory_allocated() if on_gpu else 0,
    )


def _timed(act: Callable[[], object], seconds: float) -> float:
    """Seconds that something takes, after the first time."""
    act()
    start, count = time.perf_counter(), 0
    while not count or (count < REPEATS and time.perf_counter() - start < seconds):
        act()
        count += 1
    return (time.perf_counter() - start) / count


def _beginning(
    envs: VectorEnv, agent: Agent, decisions: int, seconds: float
) -> tuple[float, Episode]:
    """Seconds a decision, and the beginning of the first environment's episode."""
    observations, _ = envs.reset(seed=0)
    agent.reset(envs.num_envs)
    actions = agent.act(observations)
    rows = [(observations[0].copy(), np.zeros_like(actions[0]), 0.0)]

    def decide() -> None:
        nonlocal observations
        actions = agent.act(observations)
        observations, rewards, *_ = envs.step(actions)
        rows.append((observations[0].copy(), actions[0], float(rewards[0])))

    each = _timed(decide, seconds)
    while len(rows) < decisions:
        decide()
    first, second, third = zip(*rows, strict=True)
    action, reward = np.stack(second), np.asarray(third, np.float32)
    return each, Episode(np.stack(first), action, reward, terminated=True)


def hours(config: Config, costs: Costs, decisions: Sequence[int]) -> dict[str, float]:
    """How long each part of a run takes, in hours, if no episode ends early."""
    train, each = config.train, sum(decisions)
    collected = train.episodes - train.seed_episodes
    evaluations = math.ceil(collected / train.evaluate_every)
    collecting = costs.decision if train.collection == "planned" else costs.random
    seconds = {
        "seed episodes": train.seed_episodes * each * costs.random,
        "fitting": collected * len(decisions) * train.updates * costs.update,
        "collecting": collected * each * collecting,
        "evaluating": evaluations * each * costs.evaluation,
        "saving": collected / train.checkpoint_every * costs.checkpoint,
    }
    if train.parallel:  # it takes only what it goes on for when the updates are done
        seconds["collecting"] = max(seconds["collecting"] - seconds["fitting"], 0.0)
    return {part: value / 3600 for part, value in seconds.items()}
