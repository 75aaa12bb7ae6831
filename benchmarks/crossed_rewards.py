"""The rewards that the model of each agent foresees in the episodes of the others.

    python benchmarks/crossed_rewards.py zoo/finger-spin RUN --seed 50

names runs or exported agents of one task, which play episodes each, without noise. A
number is the mean over them, after so many decisions of which only the actions are
known; at 0 the frame itself is seen. Beside it stands the real mean. An agent whose
model foresees too little in the episodes of a better one will not go there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from foreseen_rewards import DISTANCES, foreseen

from planet_torch.run import Run


@torch.no_grad()
def main() -> None:
    """A row for each pair."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("agents", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=4)
    given = parser.parse_args()
    runs = [Run.open(directory, "cpu", "off") for directory in given.agents]
    models = [run.agent().world_model for run in runs]
    print(f"| episodes of | model of | real | {' | '.join(map(str, DISTANCES))} |")
    print("| --- " * (len(DISTANCES) + 3) + "|")
    for player in runs:
        episodes = player.evaluate(seed=given.seed, episodes=given.episodes)
        for owner, model in zip(runs, models, strict=True):
            pairs = [*foreseen(model, episodes)]
            means = [pairs[0][1].mean(), *(expected.mean() for expected, _ in pairs)]
            cells = " | ".join(f"{mean:.2f}" for mean in means)
            names = f"{player.directory.name} | {owner.directory.name}"
            print(f"| {names} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
