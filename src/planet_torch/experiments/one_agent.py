"""One agent for all tasks, against an agent for each."""

from __future__ import annotations

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves
from planet_torch.published import PLANET


def variants(base: Config) -> list[Variant]:
    """The same config twice: one run learns all tasks, or each has a run of its own."""
    return [
        Variant("planet", "an agent for each task", base, published=PLANET),
        Variant("one-agent", "one agent for all tasks", base, joint=True),
    ]


ONE_AGENT = Experiment(
    name="one-agent",
    about="One agent for all tasks",
    figure="Figures 6 and 7",
    variants=variants,
    panels=(learning_curves,),
    small_tasks=("dmc/cartpole-balance", "dmc/cartpole-swingup"),
)
