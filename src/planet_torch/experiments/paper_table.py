"""The paper's table: PlaNet's score in each task, beside the other methods'."""

from __future__ import annotations

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves
from planet_torch.published import FINAL_TASKS, METHODS

BALANCE = "dmc/cartpole-balance"


def variants(base: Config) -> list[Variant]:
    """PlaNet, and nothing else."""
    return [Variant("planet", "PlaNet, here", base)]


TABLE = Experiment(
    name="table",
    about="PlaNet in each task",
    figure="Table 1, Figure 4",
    variants=variants,
    panels=(learning_curves,),
    tasks=(*FINAL_TASKS, BALANCE),
    small_tasks=(BALANCE, "dmc/cartpole-swingup"),
    beside=METHODS,
)
