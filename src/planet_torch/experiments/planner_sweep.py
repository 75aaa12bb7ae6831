"""Settings of CEM with the true simulator of cheetah: nothing is learned."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from planet_torch.config import Config, EnvConfig, PlannerConfig
from planet_torch.experiments.base import Experiment, Series, Variant
from planet_torch.experiments.summary import final
from planet_torch.presets import PRESETS
from planet_torch.published import SIMULATOR

HORIZONS = (6, 8, 10, 12, 15)
OPTIONS = ("candidates", "iterations", "elites")
FACTORS = (0.3, 1.0, 3.0)  # by which one of these is changed from the preset


def grid(preset: PlannerConfig) -> dict[tuple[str, float, int], PlannerConfig]:
    """CEM by option, factor and horizon; the elites grow with the candidates."""
    start = {option: getattr(preset, option) for option in OPTIONS}
    found = {}
    for option in OPTIONS:
        changed = (option, "elites") if option == "candidates" else (option,)
        for factor in FACTORS:
            sizes = {name: max(1, round(start[name] * factor)) for name in changed}
            for horizon in HORIZONS:
                planner = PlannerConfig(**{**start, **sizes, "horizon": horizon})
                found[option, factor, horizon] = planner
    return found


def name_of(planner: PlannerConfig) -> str:
    """Such as cem-h12-j1000-k100-i10, by the letters of the paper."""
    sizes = (planner.horizon, planner.candidates, planner.elites, planner.iterations)
    return "-".join(["cem", *map("{}{}".format, "hjki", sizes)])


def variants(base: Config) -> list[Variant]:
    """Each setting once, for one episode a seed."""
    planners = {name_of(planner): planner for planner in grid(base.planner).values()}
    config = replace(
        Config(env=EnvConfig(observation="state")),
        train=replace(base.train, evaluation_episodes=1),
    )
    return [
        Variant(name, name.replace("-", " "), replace(config, planner=planner))
        for name, planner in planners.items()
    ]


def heat_map(axes: Axes, series: Series, task: str, option: str) -> None:
    """The mean score by the horizon and one of the options."""
    planners = grid(PRESETS[series.scale].planner)
    by_name = {variant.name: variant for variant in series.variants}
    scores = np.full((len(FACTORS), len(HORIZONS)), np.nan)
    for row, factor in enumerate(FACTORS):
        for column, horizon in enumerate(HORIZONS):
            variant = by_name[name_of(planners[option, factor, horizon])]
            entries = series.finished(variant, task)
            if entries:
                scores[row, column] = final(entries, task).mean()
                text = f"{scores[row, column]:.0f}"
                box = {"facecolor": "white", "alpha": 0.6, "lw": 0, "pad": 1.5}
                axes.text(column, row, text, ha="center", va="center", bbox=box)
    axes.imshow(scores, cmap="viridis", aspect="auto", origin="lower", vmin=0)
    sizes = [getattr(planners[option, f, HORIZONS[0]], option) for f in FACTORS]
    axes.set_xticks(range(len(HORIZONS)), [str(horizon) for horizon in HORIZONS])
    axes.set_yticks(range(len(FACTORS)), [f"{size:,}" for size in sizes])
    axes.set_xlabel("horizon, decisions")
    axes.set_ylabel(option)


PLANNER_SWEEP = Experiment(
    name="planner-sweep",
    about="CEM with the true simulator, by its settings",
    figure="Figure 12",
    variants=variants,
    panels=tuple(partial(heat_map, option=option) for option in OPTIONS),
    note="mean scores over seeds; the paper's range from 132 to 837",
    tasks=("dmc/cheetah-run",),
    small_tasks=("dmc/cheetah-run",),
    seeds=3,
    method="plan",
    beside={"CEM, true simulator, H 12, J 1000, K 100, I 10": SIMULATOR},
)
