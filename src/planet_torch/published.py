"""What the papers print, to stand beside what comes out here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Published(NamedTuple):
    """A published mean return, at most 1000.

    Attributes:
        score: of episodes of 1000 control steps.
        episodes: how many the agent had learned from.
        source: where it is printed.
    """

    score: float
    episodes: int
    source: str


FINAL = "Hafner et al., ICML 2019, Table 1"
FIRST = "Hafner et al., arXiv:1811.04551v3, Table 1"
FIRST_FIGURES = "Hafner et al., arXiv:1811.04551v3, figures, medians read by eye"

FINAL_TASKS = (
    *("dmc/cartpole-swingup", "dmc/reacher-easy", "dmc/cheetah-run"),
    *("dmc/finger-spin", "dmc/ball_in_cup-catch", "dmc/walker-walk"),
)
"""The six tasks of the final paper."""
FIRST_TASKS = (
    *("dmc/cartpole-balance", "dmc/cartpole-swingup", "dmc/finger-spin"),
    *("dmc/cheetah-run", "dmc/ball_in_cup-catch", "dmc/walker-walk"),
)
"""Those of the preprint: balance in place of reacher."""


def _first(
    scores: Sequence[int], episodes: int, source: str = FIRST
) -> dict[str, Published]:
    """A row of the preprint."""
    parts = zip(FIRST_TASKS, scores, strict=True)
    return {task: Published(score, episodes, source) for task, score in parts}


def _final(scores: Sequence[int], episodes: int) -> dict[str, Published]:
    """A row of the final paper."""
    parts = zip(FINAL_TASKS, scores, strict=True)
    return {task: Published(score, episodes, FINAL) for task, score in parts}


# Where both papers have a task, the final one counts; it left out only balance.
PLANET_FIRST = _first([986, 831, 744, 650, 914, 890], 2000)
PLANET = {
    **_final([821, 832, 662, 700, 930, 951], 1000),
    "dmc/cartpole-balance": PLANET_FIRST["dmc/cartpole-balance"],
}
"""By the name of the task."""
SIMULATOR = {
    **_first([998, 850, 825, 656, 993, 994], 0),
    **_final([850, 964, 656, 825, 993, 994], 0),
}
D4PG = {
    **_first([993, 862, 985, 524, 980, 968], 100_000),
    **_final([862, 967, 524, 985, 980, 968], 100_000),
}
A3C = {
    **_first([952, 558, 129, 214, 105, 311], 100_000),
    **_final([558, 285, 214, 129, 105, 311], 100_000),
}
# Of the first version's agent.
RNN = _first([370, 200, 50, 200, 0, 180], 2000, FIRST_FIGURES)
SSM = _first([340, 180, 0, 80, 0, 50], 2000, FIRST_FIGURES)
RANDOM_COLLECTION = _first([930, 740, 110, 405, 890, 100], 1000, FIRST_FIGURES)

METHODS = {
    "PlaNet": PLANET,
    "PlaNet, first version": PLANET_FIRST,
    "CEM, true simulator": SIMULATOR,
    "D4PG, from pixels": D4PG,
    "A3C, from states": A3C,
}
"""The tables of the papers, by method."""

CURVES = {
    "dmc/cartpole-balance": {5: 600, 200: 960, 600: 985, 2000: 945},
    "dmc/cartpole-swingup": {75: 505, 150: 690, 300: 770, 2000: 785},
    "dmc/finger-spin": {5: 0, 200: 390, 500: 650, 2000: 725},
    "dmc/cheetah-run": {5: 150, 200: 450, 550: 530, 1000: 600, 2000: 615},
    "dmc/walker-walk": {5: 140, 500: 300, 1000: 670, 1500: 820, 2000: 840},
}
"""PlaNet's learning curves in the preprint by task: scores by episodes.

The first version's agent; medians, read off the figure by eye, so good to about 30.
"""
