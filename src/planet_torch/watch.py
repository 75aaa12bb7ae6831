"""Signs that a run learns nothing, each told once with what may help."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from planet_torch.chunk import Episode

PATIENCE = 10  # fits in a row
NO_DIVERGENCE = 1e-3  # nats
EPISODES = 10  # with one and the same reward


class Watch:
    """Looks at each fit and each collected episode; it changes nothing.

    It begins anew when a run is resumed.

    Args:
        gradient_clip: the norm that gradients are clipped to.
    """

    def __init__(self, gradient_clip: float) -> None:
        self.gradient_clip = gradient_clip
        self._told: set[str] = set()
        self._in_a_row = {"divergence": 0, "gradient": 0}
        self._rewards: set[float] = set()
        self._episodes = 0

    def fit(self, means: Mapping[str, float]) -> None:
        """Look at the means of the updates of one iteration."""
        overshot = means.get("latent_overshooting", np.inf)  # has the divergence in it
        signs = {
            "divergence": means.get("divergence", overshot) < NO_DIVERGENCE,
            "gradient": means.get("gradient", 0.0) > self.gradient_clip,
        }
        for name, seen in signs.items():
            self._in_a_row[name] = self._in_a_row[name] + 1 if seen else 0
        if self._in_a_row["divergence"] >= PATIENCE:
            self._tell(
                "divergence",
                f"the divergence is zero since {PATIENCE} fits: the posterior tells "
                "nothing that the prior did not know, so the model ignores what it "
                "sees; try a lower objective.kl_weight, more objective.free_nats, or a "
                "higher objective.observation_weight",
            )
        if self._in_a_row["gradient"] >= PATIENCE:
            self._tell(
                "gradient",
                f"the gradient is above optimiser.gradient_clip ({self.gradient_clip:g}"
                f") since {PATIENCE} fits: training may diverge; try a lower "
                "optimiser.learning_rate, or smaller rewards if they are far above 1",
            )

    def episode(self, episode: Episode) -> None:
        """Look at a collected episode."""
        if (episode.observation == episode.observation[0]).all():
            self._tell(
                "observation",
                "all observations of an episode are the same: see a picture of it "
                "(planet evaluate RUN --video), and try another env.camera or "
                "env.renderer",
            )
        self._episodes += 1
        if len(self._rewards) < 2:
            self._rewards.update(np.unique(episode.reward[1:])[:2].tolist())
        if self._episodes >= EPISODES and len(self._rewards) == 1:
            self._tell(
                "reward",
                f"each reward of {self._episodes} episodes was "
                f"{next(iter(self._rewards)):g}: there is nothing to learn from yet; "
                "see to the task's reward, or explore more with train.seed_episodes or "
                "train.exploration",
            )

    def _tell(self, sign: str, text: str) -> None:
        """Warn, once a sign."""
        if sign not in self._told:
            self._told.add(sign)
            warnings.warn(text, stacklevel=4)
