"""Activations: ReLU against ELU, for each model."""

from __future__ import annotations

from dataclasses import replace

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves
from planet_torch.experiments.models import variants as models


def variants(base: Config) -> list[Variant]:
    """The variants of the model designs, with either activation.

    Where one of them has it already, their run is shared.
    """
    found = []
    for variant in models(base):
        own = variant.config.model
        for activation in ("relu", "elu"):
            model = replace(own, activation=activation)
            name = variant.name if model == own else f"{variant.name}-{activation}"
            label = f"{own.dynamics.upper()}, {activation.upper()}"
            found.append(Variant(name, label, replace(base, model=model)))
    return found


ACTIVATIONS = Experiment(
    name="activations",
    about="ReLU and ELU, for RSSM, SSM and RNN",
    figure="Figure 9",
    variants=variants,
    panels=(learning_curves,),
)
