"""Savings: what each way to do less costs in score, and what doing more would bring."""

from __future__ import annotations

from dataclasses import replace

from planet_torch import build
from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves

SHARE = 0.2  # of the rows, where not all are decoded


def variants(base: Config) -> list[Variant]:
    """The preset, and one option changed at a time.

    What a preset saves already is undone, and what it does not is tried.
    """
    changed = {**updates(base), **plans(base), **sizes(base)}
    return [Variant("planet", "as the preset", base)] + [
        Variant(name, name.replace("-", " "), config)
        for name, config in changed.items()
    ]


def updates(base: Config) -> dict[str, Config]:
    """Cheaper updates, or another number of them."""
    train, terms = base.train, base.objective
    share = SHARE if terms.decoded == 1 else 1.0
    shortest = max(train.chunk // 4, 2)
    fewer, more = max(train.updates // 2, 1), 2 * train.updates
    trains = {
        f"chunks-from-{shortest}": replace(train, shortest_chunk=shortest),
        f"updates-{fewer}": replace(train, updates=fewer),
        f"updates-{more}": replace(train, updates=more),
        "bf16": replace(train, precision="bf16"),
    }
    return {
        f"decoded-{share:g}": replace(base, objective=replace(terms, decoded=share)),
        **{name: replace(base, train=changed) for name, changed in trains.items()},
    }


def plans(base: Config) -> dict[str, Config]:
    """Cheaper plans, or dearer ones."""
    planner = base.planner
    warm, J, K = not planner.warm_start, 4 * planner.candidates, 4 * planner.elites
    refits = max(planner.iterations // 2, 1)
    planners = {
        f"{'warm' if warm else 'cold'}-start": replace(planner, warm_start=warm),
        f"candidates-{J}": replace(planner, candidates=J, elites=K),
        f"refits-{refits}": replace(planner, iterations=refits),
        "icem": build.with_method(planner, "icem"),
    }
    return {name: replace(base, planner=changed) for name, changed in planners.items()}


def sizes(base: Config) -> dict[str, Config]:
    """Larger pictures, and larger networks."""
    model, pixels = base.model, 2 * base.env.image_size
    doubled = {
        name: 2 * getattr(model, name)
        for name in ("width", "belief_size", "units", "reward_units")
    }
    return {
        f"pictures-{pixels}": replace(base, env=replace(base.env, image_size=pixels)),
        "networks-doubled": replace(base, model=replace(model, **doubled)),
    }


SAVINGS = Experiment(
    name="savings",
    about="Each way to do less for the same result, and to do more",
    figure="",
    variants=variants,
    panels=(learning_curves,),
    tasks=("dmc/cartpole-balance",),
    small_tasks=("dmc/cartpole-balance",),
)
