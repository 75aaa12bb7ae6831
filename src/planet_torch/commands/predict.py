"""``planet predict``: show what a model foresees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from planet_torch.commands.types import Device, Directory, OptionalCompile, Task
from planet_torch.ranges import Count, Options, Seed


@dataclass(frozen=True)
class Predict(Options):
    """Show what the model foresees, beside what came and how far it is off.

    The model watches the first frames of a new episode of its own agent. From there on
    it is given the actions only, and what it imagines stands beside what came.
    """

    directory: Positional[Directory]
    """Of the run, or of an exported agent."""
    context: Count = 5
    """Frames that the model sees."""
    length: Annotated[Count | None, arg(metavar="INT")] = None
    """Frames that it then has to foresee; 50, or as many as there are, if left out."""
    task: Task = None
    """One task of the run; only needed if it has several."""
    seed: Seed = 0
    """Of the episode, and of what the model imagines."""
    out: Annotated[Path | None, arg(metavar="PATH")] = None
    """What to write, without a suffix; if left out, videos/prediction in the run, or
    videos/NAME/prediction for an exported agent."""
    device: Device = None
    """Where to compute, if not where it was trained: cpu, cuda, mps."""
    compile: OptionalCompile = None
    """Whether to compile the model's parts, if not as the run does."""

    def __call__(self) -> int:
        """Predict."""
        from planet_torch import video
        from planet_torch.plots import error_curve
        from planet_torch.report import print_errors, progress_of
        from planet_torch.run import Run

        run = Run.open(self.directory, self.device, self.compile)
        with progress_of("predict") as on_decision:
            seen = run.predict(
                self.context, self.length, self.seed, on_decision, self.task
            )
        out = self.out or run.videos / "prediction"
        out.parent.mkdir(parents=True, exist_ok=True)
        rows = video.prediction_rows(seen)
        every = max(1, seen.real.shape[1] // 11)
        print(video.save_prediction(seen, f"{out}{video.video_suffix()}"))
        print(video.save_strip(rows, f"{out}.png", self.context, every))
        errors, bars = seen.error_per_distance, seen.standstill_per_distance
        print(error_curve(errors, bars, f"{out}-error.png", title=run.config.task))
        print_errors(seen)
        return 0
