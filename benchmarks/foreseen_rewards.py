"""How well the model of a run foresees rewards, in episodes of its replay.

    python benchmarks/foreseen_rewards.py RUN [EPISODES [AGENT]]

By the age of the episodes: those that it has learned from longest, and the newest, of
which it has learned little or nothing. With an agent (or another run) the model is its
own, and the episodes are the run's. A number is the share of the rewards' variance that
is explained (R squared), after so many decisions of which only the actions are known;
at 0 the frame itself is seen. The states that are foreseen are means. The first frames
of an episode, in which its state is not yet known, are left out.
"""

import math
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from planet_torch.chunk import Chunk, Episode
from planet_torch.replay import Replay
from planet_torch.run import Run
from planet_torch.world_model import WorldModel

DISTANCES = (0, 1, 2, 4, 8, 12)
CONTEXT = 5  # frames
SPANS = 4  # of the replay, by age


def foreseen(
    model: WorldModel, episodes: Sequence[Episode]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What a model foresees and what came, by distance; nothing if that is too far."""
    length = min(map(len, episodes))
    chunk = Chunk.of(episodes, length)
    generator = torch.Generator().manual_seed(0)
    observation = model.prepare(chunk.observation, generator)
    states, _ = model.observe(observation, chunk.action, generator)
    for distance in DISTANCES:
        real = chunk.reward[:, CONTEXT + distance :].flatten()
        starts = torch.arange(CONTEXT, max(CONTEXT, length - distance))
        state = states.map(lambda part, at=starts: part[:, at].flatten(0, 1))
        if distance and len(real):
            after = starts[:, None] + 1 + torch.arange(distance)
            actions = chunk.action[:, after].flatten(0, 1)
            state = model.dynamics.imagine(state, actions, None)[:, -1]
        yield model.rewards_of(state.features), real


def explained(model: WorldModel, episodes: Sequence[Episode]) -> list[float]:
    """The share of the variance that is explained, by distance.

    NaN if the episodes are too short for it.
    """
    pairs = [*foreseen(model, episodes)]
    variance = pairs[0][1].var()  # of all rewards that are looked at
    errors = ((expected - real).square().mean() for expected, real in pairs)
    return [float(1 - error / variance) for error in errors]


def groups(replay: Replay, count: int) -> Iterator[tuple[str, list[Episode]]]:
    """Episodes from each span of the replay but for the newest, and the newest."""
    ends = np.linspace(0, len(replay) - count, SPANS + 1).astype(int)
    for first, end in pairwise(ends):
        places = sorted(set(np.linspace(first, end - 1, count).astype(int).tolist()))
        yield f"{first + 1} to {end}", [replay.read(place) for place in places]
    yield f"the newest {count}", [replay.read(place) for place in range(-count, 0)]


def replay_of(run: Run) -> Replay:
    """The episodes of a run; an exported agent has none, and none are made of it."""
    if run.exported:
        sys.exit(f"{run.directory} is an exported agent, without episodes; name a run")
    return Replay(run.episodes)


@torch.no_grad()
def main() -> None:
    """A row for each group."""
    run = Run.open(sys.argv[1], "cpu", "off")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    other = Run.open(sys.argv[3], "cpu", "off") if len(sys.argv) > 3 else run
    model, replay = other.agent().world_model, replay_of(run)
    if len(replay) < SPANS + count:
        sys.exit(f"{len(replay)} episodes are too few: {SPANS + count} are needed")
    print(f"| episodes | mean reward | {' | '.join(map(str, DISTANCES))} |")
    print("| --- " * (len(DISTANCES) + 2) + "|")
    for name, episodes in groups(replay, count):
        reward = np.mean([e.reward[1:].mean() for e in episodes])
        shares = explained(model, episodes)
        cells = " | ".join("-" if math.isnan(s) else f"{s:.2f}" for s in shares)
        print(f"| {name} | {reward:.2f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
