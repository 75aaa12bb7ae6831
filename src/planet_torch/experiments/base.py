"""What an experiment is: configs by name, and what is drawn of their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from planet_torch.config import Config
from planet_torch.files import file_name
from planet_torch.presets import PRESETS
from planet_torch.published import FINAL_TASKS, Published

Scale = Literal["paper", "cpu", "debug"]
SEEDS: Mapping[Scale, int] = {"paper": 5, "cpu": 3, "debug": 2}
"""How many there are, if nobody says so; the paper has five."""


@dataclass(frozen=True)
class Variant:
    """One of the things that an experiment compares.

    Attributes:
        name: of its run directories. In all experiments one name is one config, so that
            they share runs.
        label: in tables and pictures.
        config: of its runs, but for task and seed.
        joint: one run learns all tasks, instead of a run each.
        published: its scores in the papers, by task.
    """

    name: str
    label: str
    config: Config
    joint: bool = False
    published: Mapping[str, Published] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """What is compared, on which tasks, and how it is shown.

    Attributes:
        name: on the command line.
        about: what it compares, in a line.
        figure: of the paper, that it repeats.
        variants: from the preset of a scale to what is compared.
        panels: what is drawn of each task, as (axes, series, task).
        tasks: at the scale of the paper.
        small_tasks: at any other.
        method: train agents, or plan with the true simulator.
        seeds: how many, if not as many as the scale has.
        note: below the picture, what is drawn.
        beside: published methods, to stand beside all variants.
    """

    name: str
    about: str
    figure: str
    variants: Callable[[Config], list[Variant]]
    panels: tuple[Callable[[Any, Series, str], None], ...]
    tasks: tuple[str, ...] = FINAL_TASKS
    small_tasks: tuple[str, ...] = ("dmc/cartpole-swingup",)
    method: Literal["train", "plan"] = "train"
    seeds: int | None = None
    note: str = (
        "lines: means over seeds; dotted: interquartile means; bands: 95% intervals; "
        "dashed: published"
    )
    beside: Mapping[str, Mapping[str, Published]] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One run of an experiment."""

    variant: Variant
    tasks: tuple[str, ...]
    seed: int
    directory: Path

    @property
    def config(self) -> Config:
        """All that the run depends on."""
        task = ",".join(self.tasks)
        return replace(self.variant.config, task=task, seed=self.seed)

    @property
    def mark(self) -> Path:
        """The file that says that the run is finished."""
        return self.directory / "finished"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.mark.exists()

    def __str__(self) -> str:
        """Such as: SSM, dmc/cartpole-swingup, seed 0."""
        return f"{self.variant.label}, {' and '.join(self.tasks)}, seed {self.seed}"


@dataclass(frozen=True)
class Series:
    """The runs of an experiment at one scale.

    They are in ``directory/SCALE/TASK/VARIANT-SEED``, for all experiments alike.
    """

    experiment: Experiment
    scale: Scale
    tasks: tuple[str, ...]
    seeds: int
    directory: Path
    device: str = "cpu"
    episodes: int | None = None
    threads: int = 0

    @property
    def folder(self) -> Path:
        """Of the runs, the pictures and the tables of the scale."""
        return self.directory / self.scale

    @property
    def variants(self) -> list[Variant]:
        """What is compared."""
        preset = PRESETS[self.scale]
        episodes = self.episodes or preset.train.episodes
        train = replace(
            preset.train, episodes=episodes, device=self.device, threads=self.threads
        )
        return self.experiment.variants(replace(preset, train=train))

    def entries(self) -> Iterator[Entry]:
        """The runs, one seed of everything after the other."""
        for seed in range(self.seeds):
            for variant in self.variants:
                for tasks in self.parts(variant):
                    place = self.folder / "+".join(map(short, tasks))
                    yield Entry(variant, tasks, seed, place / f"{variant.name}-{seed}")

    def parts(self, variant: Variant) -> list[tuple[str, ...]]:
        """The tasks that share a run."""
        return [self.tasks] if variant.joint else [(task,) for task in self.tasks]

    def finished(self, variant: Variant, task: str) -> list[Entry]:
        """The finished runs of a variant that have to do with a task."""
        return [
            entry
            for entry in self.entries()
            if entry.variant == variant and task in entry.tasks and entry.finished
        ]


def short(task: str) -> str:
    """The name of a task as part of a path: dmc/walker-walk is walker-walk."""
    return file_name(task.rpartition("/")[2])
