"""What a run depends on, as options of the commands that begin or weigh one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

from tyro.conf import Positional, arg

from planet_torch.commands.types import OptionalDirectory, given, searching
from planet_torch.config import (
    Config,
    EnvConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    PlannerConfig,
    TrainConfig,
)
from planet_torch.files import file_name
from planet_torch.presets import PRESETS, Preset
from planet_torch.ranges import Seed

Kind = TypeVar("Kind", bound="RunOptions")


@dataclass(frozen=True)
class RunOptions:
    """A task, a preset, and what differs from it."""

    task: Annotated[Positional[str | None], arg(metavar="TASK")] = None
    """Such as dmc/cartpole-swingup, gym/Pendulum-v1 or package.module:factory; several
    with commas between them are learned by one agent."""
    preset: Preset = "cpu"
    """Gives each option its default."""
    like: OptionalDirectory = None
    """A run or an exported agent that does so in place of a preset, for TASK and seed,
    too: with nothing else, the same again."""
    run: OptionalDirectory = None
    """Where the new run goes; runs/TASK-PRESET-SEED if left out."""
    seed: Seed = 0
    """The one seed, from which every random stream is spawned."""
    env: EnvConfig = field(default_factory=EnvConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def from_words(cls: type[Kind], words: Sequence[str]) -> Kind:
        """The command with the values of the preset, or run, that the words name."""
        name, like = given("--preset", words), given("--like", words)
        if name and like:
            raise ValueError("--preset and --like both give defaults: leave one out")
        if like:
            command = cls.from_run(Path(like))
        else:
            command = cls.from_preset(name if name in PRESETS else "cpu")
        return replace(command, planner=searching(command.planner, words))

    @classmethod
    def from_preset(cls: type[Kind], name: Preset) -> Kind:
        """The command with the values of a preset."""
        values = PRESETS[name]
        groups = {g: getattr(values, g) for g in vars(values) if g != "task"}
        return cls(preset=name, **groups)

    @classmethod
    def from_run(cls: type[Kind], directory: Path) -> Kind:
        """The command with the values of a run or an exported agent."""
        from planet_torch.resume import stored_config

        return cls(**vars(stored_config(directory)[0]))

    @property
    def config(self) -> Config:
        """The part that the run depends on."""
        if not self.task:
            raise ValueError("which TASK? `planet list` names those of the suite")
        return Config(**{name: getattr(self, name) for name in vars(Config())})

    @property
    def directory(self) -> Path:
        """Where a new run goes."""
        name = task_name(self.task or "")
        source = f"like-{self.like.resolve().name}" if self.like else self.preset
        return self.run or Path("runs") / f"{name}-{source}-{self.seed}"


def task_name(tasks: str) -> str:
    """What is named after a task, or after several with commas between them."""
    names = [task.rpartition("/")[2] for task in tasks.split(",")]
    return file_name("+".join([*names[:6], *["more"] * (len(names) > 6)]))
