"""Run the runs of an experiment one after another, from where they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from planet_torch.experiments.base import Entry, Series
from planet_torch.files import write_atomically
from planet_torch.lock import RunInUseError, locked
from planet_torch.metrics import Counters, Reporter
from planet_torch.progress import terminal_progress
from planet_torch.resume import differences, resume, stored_config
from planet_torch.run import Run
from planet_torch.signals import StopSignals
from planet_torch.simulated import plan_episodes
from planet_torch.training import train

Say = Callable[[str], None]


def run_all(series: Series, say: Say = print) -> list[Entry]:
    """Bring every run of a series to its end; one that is finished is left alone.

    A run that cannot go on, since a number in it is no longer finite, is passed over,
    and one that another process is at work on is left to it.

    Args:
        series: what to run.
        say: is told what begins, in a line.

    Returns:
        The runs that were passed over.

    Raises:
        ValueError: if a run was begun with another config; then nothing is run.
        Stopped: if SIGINT or SIGTERM asked for it; the run is saved.
    """
    entries = list(series.entries())
    for entry in entries:
        check(entry)
    failed = []
    for number, entry in enumerate(entries, 1):
        if entry.finished:
            continue
        say(f"run {number} of {len(entries)}: {entry}, in {entry.directory}")
        try:
            perform(series, entry)
        except RunInUseError as error:
            say(f"left to another process: {error}")
        except FloatingPointError as error:
            say(f"{entry}: {error}")
            failed.append(entry)
    return failed


def perform(series: Series, entry: Entry) -> None:
    """Bring one run to its end, and mark it as finished."""
    try:
        run = Run.create(entry.directory, entry.config)
    except FileExistsError:  # begun before, or by another process meanwhile
        run = resume(entry.directory, entry.config)
    METHODS[series.experiment.method](run, str(entry))
    write_atomically(entry.mark, b"")


def learn(run: Run, title: str) -> None:
    """Train an agent, from where it is."""
    episodes = run.config.train.episodes * len(run.config.tasks)
    train(run, progress=terminal_progress(title, episodes))


def plan(run: Run, title: str) -> None:
    """Plan with the true simulator; what was stopped begins anew, since it is short."""
    count, threads = run.config.train.evaluation_episodes, run.config.train.threads
    with locked(run.directory), StopSignals() as stop:
        run.metrics.unlink(missing_ok=True)
        progress = terminal_progress(title, count)
        with Reporter(run.metrics, progress=progress) as reporter:
            planned = plan_episodes(
                run.config, count, threads, on_decision=lambda returns: stop.check()
            )
            episodes = list(planned)
            returns = [one.episode.score for one in episodes]
            seconds = float(np.mean([one.seconds for one in episodes]))
            score = float(np.mean(returns))
            reporter.log(
                "evaluate",
                {"score": score, "returns": returns, "seconds_per_decision": seconds},
                Counters(episodes=count),
                run.config.task,
            )


METHODS = {"train": learn, "plan": plan}


def check(entry: Entry) -> None:
    """Refuse a run that was begun with another config.

    Raises:
        ValueError: with the options that differ.
    """
    if not (entry.directory / "config.json").exists():
        return
    changed = differences(stored_config(entry.directory)[0], entry.config)
    if entry.finished:  # what was learned on one device is shown on any
        changed.pop("train.device", None)
    if changed:
        shown = ", ".join(
            f"{name} {was!r} and not {now!r}" for name, (was, now) in changed.items()
        )
        raise ValueError(
            f"{entry.directory} was begun with {shown}; move it away, or choose "
            "another --directory"
        )


def remember(series: Series) -> None:
    """Write down what was asked for, so that a picture can be drawn of the same."""
    series.folder.mkdir(parents=True, exist_ok=True)
    content = {"tasks": series.tasks, "seeds": series.seeds}
    path = series.folder / f"{series.experiment.name}.json"
    write_atomically(path, (json.dumps(content) + "\n").encode(), alone=False)


def remembered(series: Series) -> tuple[Sequence[str], int] | None:
    """The tasks and the number of seeds that were asked for last."""
    path = series.folder / f"{series.experiment.name}.json"
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    return content["tasks"], content["seeds"]
