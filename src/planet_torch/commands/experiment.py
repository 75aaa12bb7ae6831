"""``planet experiment``: the comparisons of the paper, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from planet_torch.commands.types import Device
from planet_torch.experiments.base import Scale, Series
from planet_torch.ranges import Count, Options, Whole


@dataclass(frozen=True)
class Experiment(Options):
    """Run a comparison of the paper by its name, and draw what came out.

    A run that is finished is not repeated, and one that was stopped goes on. All
    experiments in one directory share their runs, and so do processes: a run that
    another one trains is left to it.
    """

    action: Positional[Literal["list", "run", "plot"]]
    """list names the experiments; plot draws the runs that are finished."""
    name: Annotated[Positional[str], arg(metavar="[NAME]")] = ""
    """Of the experiment."""
    scale: Scale = "cpu"
    """The preset that the runs start from."""
    seeds: Count | None = None
    """How many; five at the scale of the paper and three at cpu if left out."""
    tasks: Annotated[tuple[str, ...], arg(metavar="TASK...")] = ()
    """In place of the experiment's own."""
    episodes: Count | None = None
    """Of each run; those of the scale if left out."""
    threads: Whole = 0
    """Of each run, for tensors or for the physics; 0 is one for each core."""
    directory: Annotated[Path, arg(metavar="DIR")] = Path("runs/experiments")
    """Where the runs, pictures and tables are."""
    device: Device = None
    """Where to compute, if not on the CPU: cuda, mps."""

    def __call__(self) -> int:
        """List, run or plot."""
        from planet_torch.experiments import report
        from planet_torch.experiments.catalogue import series_of
        from planet_torch.experiments.runner import remembered

        if self.action == "list":
            report.print_experiments()
            return 0
        series = series_of(
            self.name,
            self.scale,
            self.tasks,
            self.seeds,
            self.directory,
            self.device or "cpu",
            self.episodes,
            self.threads,
        )
        if self.action == "run":
            return _run(series)
        if (asked := remembered(series)) and not self.tasks and self.seeds is None:
            series = replace(series, tasks=tuple(asked[0]), seeds=asked[1])
        report.print_result(series)
        return 0


def _run(series: Series) -> int:
    """Run what is left of a series, and draw it."""
    from planet_torch import build
    from planet_torch.experiments import report
    from planet_torch.experiments.runner import remember, run_all
    from planet_torch.files import nearest
    from planet_torch.signals import Stopped

    nearest(series.folder)
    for entry in {entry.tasks: entry for entry in series.entries()}.values():
        build.check(entry.config)  # now, and not only when its turn comes
    remember(series)
    try:
        failed = run_all(series)
    except Stopped as stop:
        print(f"{stop}: saved. The same command goes on.")
        return 128 + stop.number
    for entry in failed:
        print(f"could not be finished: {entry}, in {entry.directory}")
    report.print_result(series)
    return int(bool(failed))
