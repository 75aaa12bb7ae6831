"""The deep recurrent model, with latent overshooting on and off."""

from __future__ import annotations

from dataclasses import replace

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves, prediction_errors
from planet_torch.experiments.overshooting import overshooting
from planet_torch.published import PLANET


def variants(base: Config) -> list[Variant]:
    """The DRNN by either objective, and the RSSM to compare it with."""
    drnn = replace(base, model=replace(base.model, dynamics="drnn"))
    return [
        Variant("planet", "RSSM", base, published=PLANET),
        Variant("drnn", "DRNN, one-step bound", drnn),
        Variant("drnn-overshooting", "DRNN, overshooting", overshooting(drnn)),
    ]


DEEP = Experiment(
    name="drnn",
    about="DRNN, with latent overshooting and without",
    figure="Figure 8, for the DRNN",
    variants=variants,
    panels=(learning_curves, prediction_errors),
)
