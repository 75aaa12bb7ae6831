"""Fit new models to the episodes of a run, and see how they foresee later rewards.

    python benchmarks/fit_episodes.py RUN UPDATES HELD [OPTION=VALUE ...]

The newest HELD episodes are kept from the model, which learns from all before them.
After each quarter of the updates there are two rows: of the newest HELD episodes that
it learns from, and of those that it never sees. The columns are as in
`foreseen_rewards.py`. OPTION=VALUE is what differs from the run. So objectives are
compared within minutes, in the same episodes, before one is given the hours of a run.

The episodes are somebody else's, so it tells nothing of those that an agent with this
model would have collected.
"""

import sys
import time
from dataclasses import replace

import torch
from foreseen_rewards import DISTANCES, explained, replay_of

from planet_torch import build_model
from planet_torch.benchmark.contest import changed
from planet_torch.chunk import Episode
from planet_torch.config import Config
from planet_torch.estimate import scratch_trainer
from planet_torch.replay import Replay
from planet_torch.run import Run
from planet_torch.trainer import Trainer

ROWS = 4


def fit(config: Config, known: Replay, held: int, updates: int) -> None:
    """A row for the episodes learned from and one for the others, now and then."""
    count = len(known)
    groups = {
        "learned from": [known.read(i) for i in range(count - 2 * held, count - held)],
        "never seen": [known.read(i) for i in range(count - held, count)],
    }
    with scratch_trainer(config) as trainer:
        for place in range(count - held):
            trainer.replay.add(known.read(place))
        start = time.perf_counter()
        for number in range(1, updates + 1):
            trainer.update()
            if number % max(updates // ROWS, 1) == 0:
                minutes = (time.perf_counter() - start) / 60
                show(trainer, groups, f"{number:,} | {minutes:.0f}")


@torch.no_grad()
def show(trainer: Trainer, groups: dict[str, list[Episode]], when: str) -> None:
    """A row for each group, of the averaged weights."""
    # Its parts are not compiled: whole episodes would be compiled anew, for minutes.
    model = build_model.world_model(trainer.config, trainer.spaces)
    model.load_state_dict(trainer.average.state_dict())
    for name, episodes in groups.items():
        shares = " | ".join(f"{share:.2f}" for share in explained(model, episodes))
        print(f"| {when} | {name} | {shares} |", flush=True)


def main() -> None:
    """The rows, under their heads."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    _, directory, updates, held, *changes = sys.argv
    run = Run.open(directory, "cpu", "off")
    config = changed(run.config, changes)
    known = replay_of(run)
    if not 1 <= int(held) <= len(known) / 2:
        sys.exit(f"HELD (={held}) must be from 1 to half of the {len(known)} episodes")
    print(f"| updates | minutes | episodes | {' | '.join(map(str, DISTANCES))} |")
    print("| --- " * (len(DISTANCES) + 3) + "|")
    alone = replace(config.train, parallel=False)  # nothing is collected
    fit(replace(config, train=alone), known, int(held), int(updates))


if __name__ == "__main__":
    main()
