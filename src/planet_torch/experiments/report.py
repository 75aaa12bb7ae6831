"""What `planet experiment` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from planet_torch.experiments.base import Series
from planet_torch.experiments.catalogue import EXPERIMENTS, series_of
from planet_torch.experiments.figures import draw
from planet_torch.experiments.summary import write_csv, write_markdown


def print_experiments() -> None:
    """Print the table of the experiments."""
    table = Table("experiment", "what", "in the paper", box=None)
    table.add_column("runs at cpu", justify="right")
    table.add_column("at paper", justify="right")
    for name, experiment in EXPERIMENTS.items():
        counts = [
            str(len([*series_of(name, scale).entries()])) for scale in ("cpu", "paper")
        ]
        table.add_row(name, experiment.about, experiment.figure, *counts)
    Console().print(table)


def print_result(series: Series) -> None:
    """Draw what is finished, write its tables, and print them.

    Raises:
        ValueError: if nothing is finished yet.
    """
    base = series.folder / series.experiment.name
    picture = draw(series, base.with_suffix(".png"))
    table = write_markdown(series, base.with_suffix(".md"))
    values = write_csv(series, base.with_suffix(".csv"))
    entries = [*series.entries()]
    done = sum(entry.finished for entry in entries)
    print(table.read_text())
    print(f"runs    {done} of {len(entries)} are finished, in {series.folder}")
    print(f"picture {picture}")
    print(f"tables  {table} and {values}")
