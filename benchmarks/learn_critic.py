"""What a greedy critic should learn of: learn it on, with the model held still.

    python benchmarks/learn_critic.py RUN [OPTION=VALUE ...]

The run has a greedy value (objective.value_of). From the averaged weights of its newest
checkpoint the critic alone is learned for 1,000 updates more, on batches of the run's
replay with the options of the run but for those given (optimiser.learning_rate, which
is not halved here, train.batch, objective.value_imagined), each time of something else:

- replay: what was done (`GreedyValue`);
- replay, foreseen: and what the model foresees of it, eight steps ahead;
- replay, best: what was done, and the critic's own best actions, in imagination
  (`ImaginedValue`);
- all of it.

Each then acts for twenty episodes by the critic's best actions alone, with no search,
and for ten by the plans of the run. The model is the same for all, so the scores tell
what a critic learns of it. They have seeds of their own, and not those of the episodes
that `planet evaluate` has without --seed.
"""

import sys
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from planet_torch.agent import PlanetAgent
from planet_torch.benchmark.contest import changed
from planet_torch.config import Config
from planet_torch.critic import Critic
from planet_torch.objectives import Term, filtered
from planet_torch.optimiser import Adam, average_into
from planet_torch.planners import Planner, ReturnFn
from planet_torch.replay import Replay
from planet_torch.rollout import run_episodes
from planet_torch.run import Run
from planet_torch.value import GreedyValue, ImaginedValue

UPDATES = 1000
FORESEEN = 8  # steps
SEED = 50  # of the episodes


class Unsearched:
    """A planner that takes the first plan that the critic proposes."""

    horizon = 1

    def plan(
        self,
        imagine: ReturnFn,
        batch: int,
        action_dim: int,
        generator: torch.Generator,
        previous: Tensor | None = None,
        proposals: Tensor | None = None,
    ) -> Tensor:
        """The greedy one."""
        assert proposals is not None
        return proposals[:, 0]


def learn(
    agent: PlanetAgent, config: Config, replay: Replay, terms: list[Term]
) -> None:
    """Move the agent's critic on by the terms, and by nothing else."""
    model, train = agent.world_model, config.train
    critic = model.value
    assert isinstance(critic, Critic)
    rate = config.optimiser.learning_rate
    optimiser = Adam(critic.critics.parameters(), rate, config.optimiser.epsilon)
    average = deepcopy(critic)
    stream = torch.Generator().manual_seed(0)
    critic.slow.load_state_dict(critic.critics.state_dict())
    for update in range(UPDATES):
        chunk = replay.sample(train.batch, train.chunk, stream)
        with torch.no_grad():
            read = filtered(model, chunk, stream)
        loss = torch.stack([term(model, read, stream)[0] for term in terms]).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        average_into(average, critic, config.optimiser.average, 1 + update)
        critic.follow()
    model.value = average


def score(agent: PlanetAgent, run: Run, episodes: int) -> str:
    """Mean and standard deviation of the returns."""
    seeds = np.random.SeedSequence(SEED).generate_state(episodes).tolist()
    with closing(run.environments(agent, run.config.tasks[0], episodes)) as envs:
        returns = [episode.score for episode in run_episodes(envs, agent, seeds)]
    return f"{np.mean(returns):.1f} ± {np.std(returns):.1f}"


def scores(run: Run, terms: list[Term], replay: Replay) -> tuple[str, str]:
    """Of the run's agent after the critic has learned by the terms: greedy, planned."""
    agent = run.agent(SEED)
    if terms:
        agent.world_model.requires_grad_(False)
        cast("Critic", agent.world_model.value).critics.requires_grad_(True)
        learn(agent, run.config, replay, terms)
    planned = score(agent, run, 10)
    agent.planner, agent.proposals = cast("Planner", Unsearched()), 1
    return score(agent, run, 20), planned


def main() -> None:
    """A row for each of what a critic may learn of."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    run = Run.open(sys.argv[1], "cpu", "off")
    run = replace(run, config=changed(run.config, sys.argv[2:]))
    if run.config.objective.value_of != "greedy":
        sys.exit(f"{run.directory} has no greedy value (objective.value_of)")
    replay = Replay(run.episodes, run.config.train.replay_frames)
    done, foreseen = GreedyValue(), GreedyValue(distance=FORESEEN)
    best = ImaginedValue(distance=run.config.objective.value_imagined or 12)
    print("| learned of | greedy | planned |")
    print("| --- | --- | --- |")
    learned_of: dict[str, list[Term]] = {
        "nothing more": [],
        "replay": [done],
        "replay, foreseen": [foreseen],
        "replay, best": [done, best],
        "all of it": [foreseen, best],
    }
    for name, terms in learned_of.items():
        greedy, planned = scores(run, terms, replay)
        print(f"| {name} | {greedy} | {planned} |", flush=True)


if __name__ == "__main__":
    main()
