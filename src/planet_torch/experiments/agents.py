"""Agent designs: plan by CEM, shoot at random, or learn from random episodes alone."""

from __future__ import annotations

from dataclasses import replace

from planet_torch.build import with_method
from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves
from planet_torch.published import PLANET, RANDOM_COLLECTION


def variants(base: Config) -> list[Variant]:
    """The same model, with less of an agent around it.

    Random shooting takes the best of as many candidates as one iteration of CEM has, as
    in the paper. An agent that collects at random still plans when it is evaluated.
    """
    shooting = replace(base, planner=with_method(base.planner, "random-shooting"))
    at_random = replace(base, train=replace(base.train, collection="random"))
    return [
        Variant("planet", "PlaNet", base, published=PLANET),
        Variant(
            "random-collection",
            "random collection",
            at_random,
            published=RANDOM_COLLECTION,
        ),
        Variant("random-shooting", "random shooting", shooting),
    ]


AGENTS = Experiment(
    name="agents",
    about="Agent designs: planning, random collection, random shooting",
    figure="Figure 5",
    variants=variants,
    panels=(learning_curves,),
)
