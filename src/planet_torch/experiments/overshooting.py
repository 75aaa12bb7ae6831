"""Latent overshooting, on and off."""

from __future__ import annotations

from dataclasses import replace

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves, prediction_errors
from planet_torch.published import PLANET, PLANET_FIRST


def overshooting(base: Config) -> Config:
    """The same with the divergences of all distances in a chunk.

    The sum of Eq. 7 is divided by D. So one step has the weight D, which leaves it as
    it is without overshooting, and each other distance D / (D - 1), so that together
    they weigh as much; these are the proportions of the first version.
    """
    terms, distance = base.objective, base.train.chunk
    further = replace(
        terms,
        overshooting=distance,
        kl_weight=terms.kl_weight * distance,
        overshooting_weight=terms.kl_weight * distance / (distance - 1),
    )
    return replace(base, objective=further)


def variants(base: Config) -> list[Variant]:
    """The one-step bound alone, and all distances."""
    further = overshooting(base)
    label = f"latent overshooting, D = {further.objective.overshooting}"
    return [
        Variant("planet", "one-step bound", base, published=PLANET),
        Variant("overshooting", label, further, published=PLANET_FIRST),
    ]


OVERSHOOTING = Experiment(
    name="overshooting",
    about="Latent overshooting, on and off",
    figure="Figure 8, for the RSSM",
    variants=variants,
    panels=(learning_curves, prediction_errors),
)
