"""``planet evaluate``: score a trained agent."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from tyro.conf import Positional

from planet_torch.commands.types import Device, Directory
from planet_torch.config import Count, Options, Seed


@dataclass(frozen=True)
class Evaluate(Options):
    """Score a trained agent in new episodes, without exploration noise."""

    directory: Positional[Directory]
    """Of the run."""
    episodes: Count = 10
    """How many."""
    seed: Seed = 0
    """Of the episodes and of the agent; the same one gives the same scores."""
    video: bool = False
    """Write each episode as a video, too."""
    json: bool = False
    """Print JSON."""
    device: Device = None
    """Where to compute, if not where it was trained: cpu, cuda, mps."""

    def __call__(self) -> int:
        """Evaluate."""
        from planet_torch.report import in_words, progress_of
        from planet_torch.run import Run
        from planet_torch.video import save_episode

        run = Run.open(self.directory, self.device)
        with progress_of("evaluate") as on_decision:
            episodes = run.evaluate(self.episodes, self.seed, on_decision)
        returns = [episode.score for episode in episodes]
        score = sum(returns) / len(returns)
        if self.json:
            print(json.dumps({"score": score, "returns": returns, "seed": self.seed}))
        else:
            print(f"score {score:.1f}, {in_words(returns)}")
        for number, episode in enumerate(episodes if self.video else []):
            path = run.videos / f"evaluate-seed-{self.seed}-{number:02d}"
            print(f"video {save_episode(episode, path)}", file=sys.stderr)
        return 0
