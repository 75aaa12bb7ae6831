"""Train a run to its end: locked, recovered, reported."""

from __future__ import annotations

from collections.abc import Sequence

from planet_torch.files import disk_errors_explained
from planet_torch.lock import locked
from planet_torch.metrics import Counters, Progress, Reporter
from planet_torch.recover import recover
from planet_torch.run import Run
from planet_torch.sinks import SINKS
from planet_torch.trainer import Trainer


def train(
    run: Run, sinks: Sequence[str] = (), progress: Progress | None = None
) -> None:
    """Train to the end of the run, from its newest good checkpoint if it has one.

    Args:
        run: as created or opened.
        sinks: names from ``SINKS``, of what gets the metrics besides metrics.jsonl.
        progress: shows them, and what is going on, to a person who waits.

    Raises:
        Stopped: if SIGINT or SIGTERM asked for it; the run is saved.
        EnvError: if an environment fails; the run is saved.
        FloatingPointError: if a number is not finite, and ``train.on_nan`` is "stop".
        DiskError: if the disk is full or gone; the last checkpoint is good.
        RunInUseError: if another process trains it.
        ValueError: if what the directory holds cannot be gone on from.
        ImportError: if a sink is not installed.
    """
    run.check_trainable()
    with disk_errors_explained(run.directory, run.again), locked(run.directory):
        state, replay, lost = recover(run)
        counters = Counters(**state["counters"]) if state else Counters()
        others = [SINKS[name](run.directory, counters) for name in sinks]
        lines = state["metrics"] if state else None
        with Reporter(run.metrics, others, progress, lines, counters) as reporter:
            trainer = Trainer(run, reporter, state, replay)
            if lost or reporter.lost:
                trainer.save()  # so that it is told once
            trainer.train()
