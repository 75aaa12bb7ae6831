"""What the commands print: the result of a run, scores, errors of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from planet_torch.metrics import read_metrics
from planet_torch.plots import learning_curve
from planet_torch.prediction import Prediction
from planet_torch.published import PLANET
from planet_torch.run import Run


def print_result(run: Run) -> None:
    """Draw the curve of a finished run, and say what came out and where it is."""
    task, path = run.config.task, run.directory / "curve.png"
    published = PLANET.get(task)
    if published is None:
        learning_curve(run.directory, path, title=task)
    else:
        label = f"PlaNet, published, {published.episodes:,} episodes"
        learning_curve(run.directory, path, published.score, label, title=task)
    last = read_metrics(run.metrics, "evaluate")[-1]
    returns = np.atleast_1d(last.values["returns"]).tolist()
    print(f"score       {last.scalars['score']:.1f}, {in_words(returns)}")
    if published is not None:
        print(
            f"published   {published.score:.0f} after {published.episodes:,} episodes, "
            f"by {published.source}"
        )
    seeds = [r for r in read_metrics(run.metrics, "collect") if not r.counters.updates]
    if seeds:
        mean = np.mean([record.scalars["return"] for record in seeds])
        print(f"random      {mean:.1f}, the mean of {len(seeds)} seed episodes")
    print(f"curve       {path}")
    print(f"videos      {run.videos}")
    print(f"score again planet evaluate {run.directory} --video")
    print(f"look inside planet predict {run.directory}")


def in_words(returns: Sequence[float]) -> str:
    """What a score is the mean of."""
    if len(returns) == 1:
        return "of 1 episode"
    spread = np.std(returns, ddof=1)
    return (
        f"the mean of {len(returns)} episodes from {min(returns):.1f} to "
        f"{max(returns):.1f}, standard deviation {spread:.1f}"
    )


def print_errors(prediction: Prediction) -> None:
    """Print how wrong a prediction is, the further ahead the more."""
    errors, bars = prediction.error_per_distance, prediction.standstill_per_distance
    for ahead in sorted({d for d in (1, 2, 5, 10, 20, 50) if d <= len(errors)}):
        print(
            f"{ahead:3} frames ahead: wrong by {errors[ahead - 1]:5.1f} grey levels of "
            f"256; by {bars[ahead - 1]:5.1f}, had nothing moved"
        )


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[np.ndarray], None]]:
    """Show on a terminal how many decisions are taken, and the returns so far."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    silent = not console.is_terminal
    with Progress(
        *columns, console=console, transient=True, disable=silent
    ) as progress:
        task = progress.add_task(what, total=None)

        def on_decision(returns: np.ndarray) -> None:
            progress.advance(task)
            done = progress.tasks[0].completed
            text = f"{what}: {done:,.0f} decisions, return {returns.mean():.1f} so far"
            progress.update(task, description=text)

        yield on_decision
