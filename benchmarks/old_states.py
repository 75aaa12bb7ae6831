"""Whether the states of an agent grow worse as its episode goes on.

    python benchmarks/old_states.py RUN [EPISODES [AGENT]]

A model that learns of chunks from the zero state knows no state that is older than a
chunk, and the agent's are as old as its episode. So the newest episodes of the run are
filtered from their resets, as the agent does, and each row again from so many rows
before it, as in a chunk. A number is the mean squared error of the reward four
decisions ahead, by the actions that were taken, so smaller is better; the rows are all
that are as far into their episodes. States are means. With an agent (or another run)
the model is its own, and the episodes are the run's.
"""

import sys
from collections.abc import Sequence
from itertools import pairwise

import torch
from foreseen_rewards import replay_of

from planet_torch.chunk import Chunk, Episode
from planet_torch.dynamics import State
from planet_torch.run import Run
from planet_torch.world_model import WorldModel

AHEAD = 4  # decisions
WINDOWS = (12, 20, 40)  # rows, of which the last is foreseen from
SPANS = 5  # of an episode


def filtered(model: WorldModel, embedding: torch.Tensor, action: torch.Tensor) -> State:
    """The means of all posteriors (B, L, ...), from the zero state."""
    still = torch.zeros(2, *action.shape[:2], model.dynamics.stochastic_size)
    return model.dynamics.observe(embedding, action, still)[0]


def errors(
    model: WorldModel, episodes: Sequence[Episode]
) -> dict[tuple[int, int], list[float]]:
    """By the rows of a span: from the reset, then from each of the windows."""
    length = min(map(len, episodes))
    first, end = max(WINDOWS), length - AHEAD
    if end - first < SPANS:
        least = first + AHEAD + SPANS
        sys.exit(f"episodes of {length} rows are too short: it takes {least}")
    chunk = Chunk.of(episodes, length)
    generator = torch.Generator().manual_seed(0)
    embedding = model.embed(model.prepare(chunk.observation, generator))
    whole = filtered(model, embedding, chunk.action)

    def error(state: State, rows: Sequence[int]) -> float:
        after = [[row + 1 + d for d in range(AHEAD)] for row in rows]
        actions = chunk.action[:, after].flatten(0, 1)
        last = model.dynamics.imagine(state, actions, None)[:, -1]
        real = chunk.reward[:, [row + AHEAD for row in rows]].flatten()
        return float((model.rewards_of(last.features) - real).square().mean())

    def of(rows: Sequence[int]) -> list[float]:
        from_reset = whole.map(lambda part: part[:, rows].flatten(0, 1))
        found = [error(from_reset, rows)]
        for window in WINDOWS:
            seen = [[row - window + 1 + k for k in range(window)] for row in rows]
            parts = (part[:, seen].flatten(0, 1) for part in (embedding, chunk.action))
            found.append(error(filtered(model, *parts)[:, -1], rows))
        return found

    ends = torch.linspace(first, end, SPANS + 1).int().tolist()
    return {(start, stop - 1): of(range(start, stop)) for start, stop in pairwise(ends)}


@torch.no_grad()
def main() -> None:
    """A row for each span of an episode."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    run = Run.open(sys.argv[1], "cpu", "off")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    other = Run.open(sys.argv[3], "cpu", "off") if len(sys.argv) > 3 else run
    replay = replay_of(run)
    if len(replay) < count:
        sys.exit(f"{len(replay)} episodes are too few: {count} are asked for")
    episodes = [replay.read(place) for place in range(-count, 0)]
    names = ["from the reset", *(f"from {window} rows" for window in WINDOWS)]
    print(f"| rows | {' | '.join(names)} |")
    print("| --- " * (len(names) + 1) + "|")
    for (start, stop), found in errors(other.agent().world_model, episodes).items():
        cells = " | ".join(f"{value:.3f}" for value in found)
        print(f"| {start} to {stop} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
