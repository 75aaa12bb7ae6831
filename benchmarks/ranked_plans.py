"""How well the model of a run ranks the plans that its planner asks it about.

    python benchmarks/ranked_plans.py RUN [OPTION=VALUE ...]

The agent plays an episode without noise, with the options of its run but for those
given. At every tenth decision what it imagines is also tried on copies of the true
simulator: all candidates of all refits. For each refit, in the mean over decisions:

- imagined and true: the mean return of the candidates. Imagined ones that end in a
  value (planner.value) are discounted, and have another scale.
- correlation: of imagined with true returns.
- gained: what the candidates that the model likes best have more than the mean one, in
  truth, as a share of what the truly best ones have. 1 is as good as the simulator, and
  0 as good as chance. Decisions in which all candidates are worth the same are left
  out.

Rewards can be foreseen well (`foreseen_rewards.py`) without knowing what other actions
would have changed. This asks for what a planner needs. Only for tasks of dm_control.
"""

import sys
from contextlib import closing
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from planet_torch.benchmark.contest import changed
from planet_torch.envs.simulator import Simulator
from planet_torch.planners import Planner, ReturnFn
from planet_torch.rollout import run_episodes
from planet_torch.run import Run

EVERY = 10  # decisions


class Tried:
    """A planner whose candidates are also tried on something true, now and then.

    Attributes:
        seen: imagined and true returns of J candidates, of each refit of each decision.
    """

    def __init__(self, planner: Planner, truth: ReturnFn) -> None:
        self.planner, self.truth = planner, truth
        self.horizon = planner.horizon
        self.count = 0
        self.seen: list[list[tuple[Tensor, Tensor]]] = []

    def plan(
        self,
        imagine: ReturnFn,
        batch: int,
        action_dim: int,
        generator: torch.Generator,
        previous: Tensor | None = None,
        proposals: Tensor | None = None,
    ) -> Tensor:
        """The plan of the planner, which is not told the truth."""
        trying = self.count % EVERY == 0
        self.count += 1
        if trying:
            self.seen.append([])

        def both(actions: Tensor) -> Tensor:
            imagined = imagine(actions)
            if trying:
                self.seen[-1].append((imagined[0], self.truth(actions)[0]))
            return imagined

        return self.planner.plan(
            both, batch, action_dim, generator, previous, proposals
        )


def judged(imagined: Tensor, true: Tensor, elites: int) -> list[float]:
    """Mean imagined and true return, their correlation, and what is gained."""
    known = true.isfinite()  # where the physics did not diverge
    imagined, true = imagined[known].double(), true[known].double()
    both = torch.stack([imagined, true])
    mean = true.mean()
    best = true.topk(elites).values.mean() - mean
    liked = true[imagined.topk(elites).indices].mean() - mean
    numbers = (imagined.mean(), mean, torch.corrcoef(both)[0, 1], liked / best)
    return [float(number) for number in numbers]


def main() -> None:
    """A row for each refit."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    run = Run.open(sys.argv[1], "cpu", "off")
    run = replace(run, config=changed(run.config, sys.argv[2:]))
    config, agent = run.config, run.agent()
    envs = run.environments(agent, config.tasks[0], 1)
    with (
        closing(envs),
        closing(Simulator(envs.envs)) as simulator,
    ):
        tried = Tried(agent.planner, simulator)
        agent.planner = cast("Planner", tried)
        (episode,) = run_episodes(envs, agent, [0])
    elites = config.planner.elites
    print(f"An episode with a return of {episode.score:.1f}\n")
    print("| refit | imagined | true | correlation | gained |")
    print("| --- | --- | --- | --- | --- |")
    for refit, pairs in enumerate(zip(*tried.seen, strict=True)):
        rows = [judged(imagined, true, elites) for imagined, true in pairs]
        cells = " | ".join(f"{x:.2f}" for x in np.nanmean(rows, axis=0))
        print(f"| {refit + 1} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
