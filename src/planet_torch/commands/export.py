"""``planet export``: take the agent out of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from planet_torch.commands.options import task_name
from planet_torch.commands.types import Directory, OptionalDirectory
from planet_torch.ranges import Count, Options, Seed


@dataclass(frozen=True)
class Export(Options):
    """Write the agent of a run alone: its config, its weights, and a card.

    It is evaluated for the card. What is written is opened like a run, by evaluate,
    predict and the library, and cannot be trained on.
    """

    directory: Positional[Directory]
    """Of the run."""
    out: OptionalDirectory = None
    """Where the agent goes, which must be empty; zoo/TASK if left out."""
    episodes: Count = 10
    """Of the evaluation, of each task."""
    seed: Seed = 0
    """Of the evaluation."""

    def __call__(self) -> int:
        """Export."""
        from planet_torch.export import export
        from planet_torch.report import progress_of
        from planet_torch.run import Run

        run = Run.open(self.directory)
        out = self.out or Path("zoo") / task_name(run.config.task)
        with progress_of("evaluate") as on_decision:
            export(run, out, self.episodes, self.seed, on_decision)
        print((out / "README.md").read_text(encoding="utf-8"))
        print(f"in {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
        return 0
