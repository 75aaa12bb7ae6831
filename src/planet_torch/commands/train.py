"""``planet train``: learn a task, or go on with a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

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


@dataclass(frozen=True)
class Train:
    """Learn a task, or go on with a run.

    Ctrl-C ends the run where it can be saved, and says how to go on.
    """

    task: Annotated[Positional[str | None], arg(metavar="TASK")] = None
    """Such as dmc/cartpole-swingup, gym/Pendulum-v1 or package.module:factory; several
    with commas between them are learned by one agent."""
    preset: Preset = "cpu"
    """Gives each option its default."""
    run: OptionalDirectory = None
    """Where the new run goes; runs/TASK-PRESET-SEED if left out."""
    seed: Seed = 0
    """The one seed, from which every random stream is spawned."""
    resume: OptionalDirectory = None
    """Go on with this run, by the options that it began with."""
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where the metrics go besides metrics.jsonl."""
    env: EnvConfig = field(default_factory=EnvConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Train:
        """The command with the values of the preset that the words name."""
        name = given("--preset", words)
        command = cls.from_preset(name if name in PRESETS else "cpu")
        return replace(command, planner=searching(command.planner, words))

    @classmethod
    def from_preset(cls, name: Preset) -> Train:
        """The command with the values of a preset."""
        values = PRESETS[name]
        groups = {g: getattr(values, g) for g in vars(values) if g != "task"}
        return cls(preset=name, **groups)

    @property
    def config(self) -> Config:
        """The part that the run depends on."""
        if not self.task:
            raise ValueError("which TASK? `planet list` names those of the suite")
        return Config(**{name: getattr(self, name) for name in vars(Config())})

    @property
    def directory(self) -> Path:
        """Where a new run goes."""
        names = [task.rpartition("/")[2] for task in (self.task or "").split(",")]
        name = file_name("+".join([*names[:6], *["more"] * (len(names) > 6)]))
        return self.run or Path("runs") / f"{name}-{self.preset}-{self.seed}"

    def __call__(self) -> int:
        """Train."""
        from planet_torch.progress import terminal_progress
        from planet_torch.report import print_result
        from planet_torch.run import Run
        from planet_torch.signals import Stopped
        from planet_torch.trainer import train

        if self.resume is None:
            run = Run.create(self.directory, self.config)
        elif replace(self, resume=None, log=()) != Train.from_preset(self.preset):
            raise ValueError(
                "--resume goes on with the options of the run; it takes only --log"
            )
        else:
            run = Run.open(self.resume)
            run.note_start()
        episodes = run.config.train.episodes * len(run.config.tasks)
        progress = terminal_progress(run.config.task, episodes)
        try:
            train(run, self.log, progress)
        except Stopped as stop:
            print(f"{stop}: saved. Go on with: planet train --resume {run.directory}")
            return 128 + stop.number
        print_result(run)
        return 0
