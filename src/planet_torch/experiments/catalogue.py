"""The experiments that there are; each is a value in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from planet_torch.experiments.activations import ACTIVATIONS
from planet_torch.experiments.agents import AGENTS
from planet_torch.experiments.base import SEEDS, Experiment, Scale, Series
from planet_torch.experiments.deep import DEEP
from planet_torch.experiments.models import MODELS
from planet_torch.experiments.one_agent import ONE_AGENT
from planet_torch.experiments.overshooting import OVERSHOOTING
from planet_torch.experiments.paper_table import TABLE
from planet_torch.experiments.planner_sweep import PLANNER_SWEEP
from planet_torch.experiments.savings import SAVINGS
from planet_torch.nested import unknown

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *(TABLE, MODELS, AGENTS, ONE_AGENT, OVERSHOOTING, DEEP, ACTIVATIONS),
        *(PLANNER_SWEEP, SAVINGS),
    )
}


def series_of(
    name: str,
    scale: Scale = "cpu",
    tasks: Sequence[str] = (),
    seeds: int | None = None,
    directory: Path = Path("runs/experiments"),
    device: str = "cpu",
    episodes: int | None = None,
    threads: int = 0,
) -> Series:
    """The runs of the experiment of a name.

    Args:
        name: as `planet experiment list` gives it.
        scale: the preset that it starts from.
        tasks: those of the experiment if left out.
        seeds: how many; five at the scale of the paper and three at `cpu` if left out.
        directory: of all experiments, which share runs.
        device: where to compute.
        episodes: of each run; those of the scale if left out.
        threads: for tensors or for the physics; 0 is one for each core.

    Raises:
        ValueError: if there is no such experiment.
    """
    if name not in EXPERIMENTS:
        raise ValueError(unknown(name, EXPERIMENTS, "experiment"))
    experiment = EXPERIMENTS[name]
    own = experiment.tasks if scale == "paper" else experiment.small_tasks
    chosen = tuple(dict.fromkeys(tasks)) or own
    count = seeds or experiment.seeds or SEEDS[scale]
    return Series(
        experiment, scale, chosen, count, directory, device, episodes, threads
    )
