"""How long an agent is paid without a pause, and how long its pauses are.

    python benchmarks/reward_stretches.py zoo/finger-spin --seed 50

names runs or exported agents, which play ten episodes each. A decision counts as paid
if it has a reward, and at least half of the highest of its episode; what comes before
the first one is left out.
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

import numpy as np

from planet_torch.run import Run


def stretches(reward: np.ndarray) -> dict[bool, list[int]]:
    """The lengths, in decisions, of what is paid and of what is not."""
    paid = (reward > 0) & (reward >= reward.max() / 2)
    found: dict[bool, list[int]] = {True: [], False: []}
    for is_paid, group in groupby(paid[paid.argmax() :].tolist()):
        found[is_paid].append(len(list(group)))
    return found


def main() -> None:
    """A row for each agent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("agents", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| agent | score | paid | pause | pauses an episode |")
    print("| --- | --- | --- | --- | --- |")
    for directory in given.agents:
        episodes = Run.open(directory, compiled="off").evaluate(seed=given.seed)
        score = np.mean([episode.score for episode in episodes])
        found = [stretches(episode.reward[1:]) for episode in episodes]
        paid, pause = (
            np.mean([n for each in found for n in each[kind]] or [0])
            for kind in (True, False)
        )
        count = np.mean([len(each[False]) for each in found])
        cells = f"{score:.1f} | {paid:.1f} | {pause:.1f} | {count:.1f}"
        print(f"| {directory.name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
