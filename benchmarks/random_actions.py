"""Returns of episodes of random actions, of each kind, in the seven tasks.

    python benchmarks/random_actions.py [EPISODES]

From states, so without pictures: half a minute for ten episodes of each.
"""

import sys
from contextlib import closing

import numpy as np
import torch
from raycast import TASKS

from planet_torch import build, build_envs
from planet_torch.agent import RandomAgent
from planet_torch.config import Config, EnvConfig
from planet_torch.rollout import run_episodes


def returns(task: str, kind: type[RandomAgent], episodes: int) -> list[float]:
    """One a seed, 0 and up."""
    config = Config(task=f"dmc/{task}", env=EnvConfig(observation="state"))
    with closing(build_envs.environments(config, config.task, 1)) as envs:
        (actions,) = envs.single_action_space.shape
        agent = kind(actions, torch.Generator().manual_seed(0))
        return [run_episodes(envs, agent, [seed])[0].score for seed in range(episodes)]


def main() -> None:
    """A row for each task."""
    episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    kinds = build.RANDOM_AGENTS.values()
    print(f"| task | {' | '.join(build.RANDOM_AGENTS)} |")
    print("| --- " * (len(kinds) + 1) + "|")
    for task in TASKS:
        scores = [returns(task, kind, episodes) for kind in kinds]
        cells = (f"{np.mean(s):.1f} ± {np.std(s):.1f}" for s in scores)
        print(f"| {task} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
