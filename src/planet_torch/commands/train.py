"""``planet train``: learn a task, or go on with a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from planet_torch.commands.options import RunOptions
from planet_torch.commands.types import OptionalDirectory


@dataclass(frozen=True)
class Train(RunOptions):
    """Learn a task, or go on with a run.

    Ctrl-C ends the run where it can be saved, and says how to go on.
    """

    resume: OptionalDirectory = None
    """Go on with this run, by the options that it began with."""
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where the metrics go besides metrics.jsonl."""

    def __call__(self) -> int:
        """Train."""
        from planet_torch.estimate import disk
        from planet_torch.progress import terminal_progress
        from planet_torch.report import disk_in_words, print_result
        from planet_torch.run import Run
        from planet_torch.signals import Stopped
        from planet_torch.trainer import train

        if self.resume is None:
            run = Run.create(self.directory, self.config)
            print(disk_in_words(disk(run.config), run.directory)[0])
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
