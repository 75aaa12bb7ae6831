"""``planet plan``: what a perfect model would score."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from planet_torch.commands.types import Planner, searching
from planet_torch.config import Config, EnvConfig, PlannerConfig
from planet_torch.ranges import Count, Options, Range, Seed

SMALL = PlannerConfig(
    method="icem", horizon=16, candidates=64, elites=8, iterations=4, sigma=1.0
)


@dataclass(frozen=True)
class Plan(Options):
    """Plan with the true simulator: what a perfect model would score.

    Nothing is learned. Each decision is planned on copies of the task's own physics,
    with its own rewards.
    """

    task: Annotated[Positional[str | None], arg(metavar="TASK")] = None
    """Of the suite, such as dmc/cartpole-swingup."""
    episodes: Count = 3
    """How many."""
    seed: Seed = 0
    """Of the episodes and the plans; the same one gives the same bits."""
    action_repeat: Count | None = None
    """Environment steps a decision; None is the task's own, as in the paper."""
    threads: Annotated[int, Range(0, 1024)] = 0
    """For the physics; 0 is one a core. They change the time alone."""
    video: bool = False
    """Write each episode as a video, too. Without it no picture is drawn."""
    image_size: Count = 128
    """Height and width of its pictures."""
    out: Annotated[Path, arg(metavar="DIR")] = Path("videos")
    """Where the videos go."""
    json: bool = False
    """Print JSON."""
    planner: Planner = SMALL
    """Smaller than the paper's, which is the preset paper of planet train."""

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Plan:
        """The command with the method that the words ask for."""
        return cls(planner=searching(SMALL, words))

    @property
    def config(self) -> Config:
        """The part that the scores depend on."""
        if not self.task:
            raise ValueError("which TASK? `planet list` names those of the suite")
        env = EnvConfig(
            image_size=self.image_size,
            action_repeat=self.action_repeat,
            observation="pixels" if self.video else "state",
        )
        return Config(task=self.task, seed=self.seed, env=env, planner=self.planner)

    def __call__(self) -> int:
        """Plan."""
        from planet_torch import build
        from planet_torch.published import SIMULATOR
        from planet_torch.report import in_words, progress_of
        from planet_torch.simulated import plan_episodes
        from planet_torch.video import save_episode

        config = self.config
        returns, seconds, decisions = [], [], []
        if self.video:
            self.out.mkdir(parents=True, exist_ok=True)
        with progress_of("plan") as on_decision:
            planned = plan_episodes(config, self.episodes, self.threads, on_decision)
            for number, (episode, each) in enumerate(planned):
                returns.append(episode.score)
                seconds.append(each)
                decisions.append(len(episode) - 1)
                say(f"episode {number}: {episode.score:.1f}, {each:.3f} s a decision")
                if self.video:
                    path = self.out / f"{self.name}-{number:02d}"
                    say(f"video {save_episode(episode, path)}")
        published = SIMULATOR.get(config.task)
        result: dict[str, Any] = {
            "task": config.task,
            "score": float(np.mean(returns)),
            "returns": returns,
            "published": published and published.score,
            "seconds_per_decision": float(np.mean(seconds)),
            "decisions": decisions,
            "seed": self.seed,
            "planner": build.used(config.planner),
        }
        if self.json:
            print(json.dumps(result))
            return 0
        settings = (f"{name}={value}" for name, value in result["planner"].items())
        print(f"score      {result['score']:.1f}, {in_words(returns)}")
        if published:
            print(f"published  {published.score:.0f}, by CEM with the true simulator")
        print(f"time       {result['seconds_per_decision']:.3f} s a decision")
        print(f"planner    {', '.join(settings)}")
        return 0

    @property
    def name(self) -> str:
        """What the videos are named after."""
        task = (self.task or "").rpartition("/")[2]
        return f"{task}-{self.planner.method}-seed-{self.seed}"


def say(text: str) -> None:
    """Tell how it goes, beside what is printed at the end."""
    print(text, file=sys.stderr, flush=True)
