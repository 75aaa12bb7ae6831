"""Savings: what each way to do less costs in score, and what doing more would bring."""

from __future__ import annotations

from dataclasses import replace

from planet_torch.config import Config
from planet_torch.experiments.base import Experiment, Variant
from planet_torch.experiments.figures import learning_curves

SHARE = 0.2  # of the rows, where not all are decoded


def variants(base: Config) -> list[Variant]:
    """The preset, and one option changed at a time.

    What a preset saves already is undone, and what it does not is tried.
    """
    env, train, planner, terms = base.env, base.train, base.planner, base.objective
    share = SHARE if terms.decoded == 1 else 1.0
    shortest = max(train.chunk // 4, 2)
    warm = not planner.warm_start
    larger = replace(
        planner, candidates=4 * planner.candidates, elites=4 * planner.elites
    )
    changed = {
        f"decoded-{share:g}": replace(base, objective=replace(terms, decoded=share)),
        f"chunks-from-{shortest}": replace(
            base, train=replace(train, shortest_chunk=shortest)
        ),
        **{
            f"updates-{count}": replace(base, train=replace(train, updates=count))
            for count in (max(train.updates // 2, 1), 2 * train.updates)
        },
        f"{'warm' if warm else 'cold'}-start": replace(
            base, planner=replace(planner, warm_start=warm)
        ),
        f"candidates-{larger.candidates}": replace(base, planner=larger),
        f"pictures-{2 * env.image_size}": replace(
            base, env=replace(env, image_size=2 * env.image_size)
        ),
    }
    found = [Variant("planet", "as the preset", base)]
    return found + [
        Variant(name, name.replace("-", " "), config)
        for name, config in changed.items()
    ]


SAVINGS = Experiment(
    name="savings",
    about="Each way to do less for the same result, and to do more",
    figure="",
    variants=variants,
    panels=(learning_curves,),
    tasks=("dmc/cartpole-balance",),
    small_tasks=("dmc/cartpole-balance",),
)
