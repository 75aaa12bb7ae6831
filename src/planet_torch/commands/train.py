"""``planet train``: learn a task, or go on with a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from planet_torch.commands.options import RunOptions
from planet_torch.commands.types import OptionalDirectory, given, searching
from planet_torch.presets import PRESETS


@dataclass(frozen=True)
class Train(RunOptions):
    """Learn a task, or go on with a run.

    Ctrl-C ends the run where it can be saved, and says how to go on.
    """

    resume: OptionalDirectory = None
    """Go on with this run; each option that is left out is as it was."""
    override: tuple[str, ...] = ()
    """Options that may differ from those of the run, such as train.episodes."""
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where the metrics go besides metrics.jsonl."""

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Train:
        """The command with the values of the run or the preset that the words name."""
        name, directory = given("--preset", words), given("--resume", words)
        if directory and given("--like", words):
            raise ValueError(f"--like is for a new run; --resume goes by {directory}")
        if not directory or not (Path(directory) / "config.json").exists():
            return super().from_words(words)
        command = cls.from_run(Path(directory))
        if name in PRESETS:
            values = cls.from_preset(name)
            command = replace(values, task=command.task, seed=command.seed)
        return replace(command, planner=searching(command.planner, words))

    def __call__(self) -> int:
        """Train."""
        from planet_torch.estimate import disk
        from planet_torch.progress import terminal_progress
        from planet_torch.report import disk_in_words, print_result
        from planet_torch.resume import resume
        from planet_torch.run import Run
        from planet_torch.signals import Stopped
        from planet_torch.sinks import check_installed
        from planet_torch.training import train

        if self.resume is None:
            if self.override:
                raise ValueError("--override is for a run to go on with, by --resume")
            check_installed(self.log)
            run = Run.create(self.directory, self.config)
            print(disk_in_words(disk(run.config), run.directory)[0])
        elif self.run is not None:
            raise ValueError(f"--run is for a new run; --resume is in {self.resume}")
        else:
            options = self.config if self.task else None  # None if there is no run
            run = resume(self.resume, options, self.override)
        episodes = run.config.train.episodes * len(run.config.tasks)
        progress = terminal_progress(run.config.task, episodes)
        try:
            train(run, self.log, progress)
        except Stopped as stop:
            print(f"{stop}: saved. Go on with: {run.again}")
            return 128 + stop.number
        print_result(run)
        return 0
