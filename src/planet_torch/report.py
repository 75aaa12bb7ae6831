"""What the commands print: the result of a run, scores, errors of predictions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from planet_torch.estimate import Disk
from planet_torch.files import in_bytes, nearest
from planet_torch.memory import peak_memory
from planet_torch.metrics import Record, read_metrics
from planet_torch.plots import learning_curve
from planet_torch.prediction import Prediction
from planet_torch.published import PLANET
from planet_torch.run import Run


def print_result(run: Run) -> None:
    """Draw the curve of a finished run, and say what came out and where it is."""
    tasks, path = run.config.tasks, run.directory / "curve.png"
    scores = {task: PLANET[task].score for task in tasks if task in PLANET}
    seeds, evaluations = _by_task(run, "seed"), _by_task(run, "evaluate")
    if seeds or evaluations:
        title = run.config.task
        learning_curve(run.directory, path, scores, "PlaNet, published", title)
    last = {task: records[-1].values for task, records in evaluations.items()}
    returns = {t: np.atleast_1d(v["returns"]).tolist() for t, v in last.items()}
    print("\n".join(score_lines(returns)))
    if lost := [task for task in tasks if task not in returns]:
        print(f"lost        from {run.metrics}: the score in {', '.join(lost)}")
    for task in scores:
        published = PLANET[task]
        print(
            f"published   {published.score:.0f} in {task}, after "
            f"{published.episodes:,} episodes, by {published.source}"
        )
    for task, records in seeds.items():
        random = [record.scalars["return"] for record in records]
        print(f"random      {np.mean(random):.1f} in {task}, {in_words(random)}")
    print(f"memory      {in_bytes(peak_memory())} at the most, in this process")
    print(f"curve       {path}")
    place = quote(str(run.directory))
    if run.config.env.observation == "state":
        print(f"score again planet evaluate {place}")
        return
    print(f"videos      {run.videos}")
    print(f"score again planet evaluate {place} --video")
    task = f" --task {tasks[0]}" if len(tasks) > 1 else ""
    print(f"look inside planet predict {place}{task}")


def _by_task(run: Run, kind: str) -> dict[str, list[Record]]:
    """The records of a kind of each task that has some."""
    records = read_metrics(run.metrics, kind)
    every = {t: [r for r in records if r.task == t] for t in run.config.tasks}
    return {task: found for task, found in every.items() if found}


def score_lines(returns: Mapping[str, Sequence[float]]) -> list[str]:
    """What was scored in each task, and what this is in the mean, if there are several.

    Args:
        returns: of the evaluation episodes, by task.
    """
    lines = [
        f"score       {np.mean(part):.1f} in {task}, {in_words(part)}"
        for task, part in returns.items()
    ]
    if len(returns) > 1:
        mean = mean_score(returns)
        lines.append(f"score       {mean:.1f}, the mean of {len(returns)} tasks")
    return lines


def mean_score(returns: Mapping[str, Sequence[float]]) -> float:
    """The mean score of all tasks, each of which counts alike."""
    return float(np.mean([np.mean(part) for part in returns.values()]))


def disk_in_words(disk: Disk, directory: Path) -> tuple[str, bool]:
    """What a run will need where it goes, and whether there is so much room."""
    place = nearest(directory)
    free = shutil.disk_usage(place).free
    fits = disk.total < free
    text = (
        f"disk        {in_bytes(disk.total)}: {in_bytes(disk.episodes)} episodes, "
        f"{in_bytes(disk.checkpoints)} checkpoints; {in_bytes(free)} free in {place}"
    )
    return text if fits else f"{text}, which is NOT ENOUGH", fits


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
