"""The scores of an experiment: read from its finished runs, written as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from planet_torch.experiments.base import Entry, Series
from planet_torch.files import write_atomically
from planet_torch.metrics import Record, read_metrics
from planet_torch.statistics import Estimate, estimate, interquartile_mean, mean

ALL = "all tasks"


def evaluations(entry: Entry, task: str) -> list[Record]:
    """Those of a run in a task."""
    records = read_metrics(entry.directory / "metrics.jsonl", "evaluate")
    return [record for record in records if record.task == task]


def curve(entry: Entry, task: str) -> dict[int, float]:
    """The scores of a run in a task, by the episodes of the task so far."""
    return {
        record.counters.episodes // len(entry.tasks): record.scalars["score"]
        for record in evaluations(entry, task)
    }


def final(entries: Sequence[Entry], task: str) -> Float64[np.ndarray, "_"]:
    """The score of each run's last evaluation."""
    scores = [[*curve(entry, task).values()][-1] for entry in entries]
    return np.array(scores, np.float64)


def minutes(entries: Sequence[Entry], task: str) -> float:
    """How long a run took to its last evaluation, with it; the mean of several."""
    return float(np.mean([evaluations(one, task)[-1].time / 60 for one in entries]))


@dataclass(frozen=True)
class Row:
    """The scores of one thing in one task, or in all.

    Attributes:
        seeds: for each task the score of each seed; none if it is published.
        mean: with its interval.
        middle: the interquartile mean, with its interval.
        source: where it comes from, if not from here.
        minutes: that a run took; NaN if it is published or of several tasks.
    """

    method: str
    task: str
    seeds: tuple[Float64[np.ndarray, "_"], ...]
    mean: Estimate
    middle: Estimate
    source: str = ""
    minutes: float = np.nan


def rows(series: Series) -> list[Row]:
    """What there is so far, and what is published beside it."""
    return [*measured(series), *published(series)]


def measured(series: Series) -> Iterator[Row]:
    """Each variant in each task that it has finished with some seed, and in all."""
    for variant in series.variants:
        scores = {}
        for task in series.tasks:
            entries = series.finished(variant, task)
            if entries:
                scores[task] = final(entries, task)
                found = row(variant.label, task, [scores[task]])
                yield replace(found, minutes=minutes(entries, task))
        if len(scores) == len(series.tasks) > 1:
            least = min(map(len, scores.values()))  # so that each task counts alike
            alike = [seeds[:least] for seeds in scores.values()]
            yield row(variant.label, ALL, alike, paired=variant.joint)


def row(
    method: str,
    task: str,
    seeds: Sequence[Float64[np.ndarray, "_"]],
    paired: bool = False,
) -> Row:
    """The row of these scores; paired if a seed is one run in all tasks."""
    average = estimate(seeds, mean, paired=paired)
    middle = estimate(seeds, interquartile_mean, paired=paired)
    return Row(method, task, tuple(seeds), average, middle)


def published(series: Series) -> Iterator[Row]:
    """The scores of the papers: of the variants themselves, then of other methods."""
    methods = {
        f"{variant.label}, published": variant.published for variant in series.variants
    }
    for method, scores in {**methods, **series.experiment.beside}.items():
        for task in series.tasks:
            if task in scores:
                value = Estimate(float(scores[task].score), np.nan, np.nan)
                where = f"{scores[task].source}; {scores[task].episodes:,} episodes"
                yield Row(method, task, (), value, value, where)


def write_csv(series: Series, path: Path) -> Path:
    """Write a row for each thing and task; what is not known is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    estimates = [f"{name}{part}" for name in ("mean", "iqm") for part in ENDS]
    names = ["method", "task", "seeds", *estimates, "scores", "source", "minutes"]
    writer.writerow(names)
    for one in rows(series):
        scores = np.concatenate(one.seeds) if one.seeds else np.array([])
        numbers = [
            "" if np.isnan(value) else f"{value:.1f}"
            for value in (*one.mean, *one.middle)
        ]
        if one.source:
            numbers[3:] = ["", "", ""]  # of these only a mean is printed
        listed = " ".join(f"{score:.1f}" for score in scores)
        count = min(map(len, one.seeds)) if one.seeds else ""
        cells = [one.method, one.task, count, *numbers, listed, one.source]
        writer.writerow([*cells, "" if np.isnan(one.minutes) else f"{one.minutes:.1f}"])
    return write_atomically(path, text.getvalue().encode(), alone=False)


ENDS = ("", "_low", "_high")


def write_markdown(series: Series, path: Path) -> Path:
    """Write the table as the paper prints it: a row a method, a column a task."""
    found = rows(series)
    known = {one.task for one in found}
    tasks = [task for task in (*series.tasks, ALL) if task in known]
    lines = [f"| | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for method in dict.fromkeys(one.method for one in found):
        cells = {one.task: cell(one) for one in found if one.method == method}
        line = " | ".join(cells.get(task, "") for task in tasks)
        lines.append(f"| {method} | {line} |")
    text = "\n".join([*lines, "", *notes(series, found), ""])
    return write_atomically(path, text.encode(), alone=False)


def cell(row: Row) -> str:
    """Such as: 512 (480 to 533), IQM 515 (479 to 530), 5 seeds, 31.4 min."""
    if row.source:
        return f"{row.mean}"
    seeds = min(map(len, row.seeds))
    middle = f", IQM {row.middle}" if seeds > 1 else ""
    time = "" if np.isnan(row.minutes) else f", {row.minutes:.1f} min"
    return f"{row.mean}{middle}, {seeds} seed{'s' * (seeds > 1)}{time}"


def notes(series: Series, found: Sequence[Row]) -> Iterator[str]:
    """What must be known to read the table."""
    train = series.variants[0].config.train
    yield (
        f"Scores of finished runs at the scale `{series.scale}`, each the mean of "
        f"{train.evaluation_episodes} episodes at the end; over seeds the mean and the "
        "interquartile mean (IQM), in brackets their 95% intervals by the stratified "
        "bootstrap; the minutes of a run with its evaluations, the mean over seeds."
    )
    sources = [f"{one.method}: {one.source}." for one in found if one.source]
    if sources:
        yield ""
        yield f"Published: {' '.join(dict.fromkeys(sources))}"
