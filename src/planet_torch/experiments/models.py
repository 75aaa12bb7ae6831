"""Model designs: the RSSM, and what each of its two parts does alone."""

from __future__ import annotations

from dataclasses import replace

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves, prediction_errors
from planet_torch.published import PLANET, RNN, SSM


def variants(base: Config) -> list[Variant]:
    """The same agent with other dynamics.

    Those with one part have ELU at every scale: the paper found it to help them, and
    the RSSM not to care (Figure 9).
    """
    one_part = replace(base.model, activation="elu")
    ssm = replace(base, model=replace(one_part, dynamics="ssm"))
    rnn = replace(base, model=replace(one_part, dynamics="rnn"))
    return [
        Variant("planet", "RSSM", base, published=PLANET),
        Variant("ssm", "SSM, stochastic only", ssm, published=SSM),
        Variant("rnn", "RNN, deterministic only", rnn, published=RNN),
    ]


MODELS = Experiment(
    name="models",
    about="Model designs: RSSM, SSM and RNN",
    figure="Figure 4",
    variants=variants,
    panels=(learning_curves, prediction_errors),
)
