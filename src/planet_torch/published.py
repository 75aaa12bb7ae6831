"""What PlaNet scored in its papers, to stand beside what it scores here."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A published mean return, at most 1000.

    Attributes:
        score: of episodes of 1000 control steps, from pixels.
        episodes: how many the agent had learned from.
        source: where it is printed.
    """

    score: float
    episodes: int
    source: str


_CAMERA_READY = "Hafner et al., ICML 2019, Table 1"
_PREPRINT = "Hafner et al., arXiv:1811.04551v3, Table 1"

PLANET = {
    "dmc/cartpole-swingup": Published(821, 1000, _CAMERA_READY),
    "dmc/reacher-easy": Published(832, 1000, _CAMERA_READY),
    "dmc/cheetah-run": Published(662, 1000, _CAMERA_READY),
    "dmc/finger-spin": Published(700, 1000, _CAMERA_READY),
    "dmc/ball_in_cup-catch": Published(930, 1000, _CAMERA_READY),
    "dmc/walker-walk": Published(951, 1000, _CAMERA_READY),
    # The only one of the preprint's tasks that the final paper left out.
    "dmc/cartpole-balance": Published(986, 2000, _PREPRINT),
}
"""By the name of the task."""
