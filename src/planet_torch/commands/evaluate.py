"""``planet evaluate``: score a trained agent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from planet_torch import config
from planet_torch.commands.types import (
    Device,
    Directory,
    OptionalCompile,
    OptionalDirectory,
    Planner,
    Task,
    searching,
)
from planet_torch.ranges import Count, Options, Seed

if TYPE_CHECKING:
    from planet_torch.chunk import Episode


@dataclass(frozen=True)
class Evaluate(Options):
    """Score a trained agent in new episodes, without exploration noise.

    They are run ten at a time, and the first ones are the same however many follow.
    """

    directory: Positional[Directory]
    """Of the run, or of an exported agent."""
    episodes: Count = 10
    """How many, of each task; fewer than ten take as long as ten."""
    task: Task = None
    """One task of the run; all of them if left out."""
    seed: Seed = 0
    """Of the episodes and of the agent; the same one gives the same scores."""
    video: bool = False
    """Write each episode as a video, too."""
    out: OptionalDirectory = None
    """Where the videos go; videos in the run, or videos/NAME for an exported agent."""
    json: bool = False
    """Print JSON."""
    device: Device = None
    """Where to compute, if not where it was trained: cpu, cuda, mps."""
    compile: OptionalCompile = None
    """Whether to compile the model's parts, if not as the run does."""
    planner: Planner = field(kw_only=True)
    """What is not given is as the run has it."""

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Evaluate | None:
        """The command with the planner of the run that a word names."""
        for before, directory in pairwise(["", *words]):
            path = Path(directory, "config.json")
            if before != "--out" and path.exists():
                planner = config.load(path).planner
                return cls(Path(directory), planner=searching(planner, words))
        return None

    def __call__(self) -> int:
        """Evaluate."""
        from planet_torch.files import file_name
        from planet_torch.report import mean_score, progress_of, score_lines
        from planet_torch.run import UNSEEN, Run

        run = Run.open(self.directory, self.device, self.compile)
        run = replace(run, config=replace(run.config, planner=self.planner))
        tasks = [run.chosen(self.task)] if self.task else run.config.tasks
        out = self.out or run.videos
        if self.video:
            if run.config.env.observation == "state":
                raise ValueError(f"{run.directory} {UNSEEN}; leave --video out")
            out.mkdir(parents=True, exist_ok=True)
        returns, unwritten = {}, None
        for task in tasks:
            with progress_of(f"evaluate {task}") as on_decision:
                episodes = run.evaluate(self.episodes, self.seed, on_decision, task)
            returns[task] = [episode.score for episode in episodes]
            if self.video and not unwritten:
                name = f"evaluate-{file_name(task)}-seed-{self.seed}"
                unwritten = videos(episodes, out / name)
        if self.json:
            score = mean_score(returns)
            print(json.dumps({"score": score, "returns": returns, "seed": self.seed}))
        else:
            print("\n".join(score_lines(returns)))
        if unwritten:
            raise unwritten
        return 0


def videos(episodes: Sequence[Episode], path: Path) -> OSError | None:
    """Write the videos; the error if one cannot be, to be raised after the scores."""
    from planet_torch.video import save_episode

    try:
        for number, episode in enumerate(episodes):
            print(
                f"video {save_episode(episode, f'{path}-{number:02d}')}",
                file=sys.stderr,
            )
    except OSError as error:
        return error
    return None
