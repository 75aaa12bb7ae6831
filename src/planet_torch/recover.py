"""What a run goes on from, whatever happened to its files; nothing is ever deleted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from planet_torch import checkpoint
from planet_torch.files import set_aside
from planet_torch.replay import Replay
from planet_torch.run import Run


class Recovered(NamedTuple):
    """Where a run stands.

    Attributes:
        state: of the checkpoint to go on from; None if the run begins anew.
        replay: with its damaged episodes set aside.
        lost: whether something is not as it was.
    """

    state: dict[str, Any] | None
    replay: Replay
    lost: bool


def recover(run: Run) -> Recovered:
    """Read and check all checkpoints and episodes that the run needs.

    It goes on from the newest checkpoint that is whole and has all its episodes, and
    then ends with the bits of a run that nothing happened to. If there is none, it goes
    on from the newest whole one, without the episodes that are lost.

    Raises:
        ValueError: if there are checkpoints, but none is whole; or if no episode is.
    """
    damaged: dict[Path, str] = {}
    device = run.config.train.device
    good = checkpoint.whole(run.checkpoints, damaged, device, checkpoint.check)
    newest = next(good, None)
    most = run.config.train.replay_frames
    if newest is None and damaged:
        raise ValueError(
            f"no checkpoint in {run.checkpoints} can be read, so what was learned is "
            "lost: restore one, or begin again in another directory. "
            + "; ".join(damaged.values())
        )
    if newest is None:
        _keep_measured(run)
        return Recovered(None, Replay(run.episodes, most), lost=False)
    replay = Replay(run.episodes, most, newest[1]["episodes"])
    whole = (pair for pair in chain([newest], good) if not _missing(pair[1], replay))
    path, state = next(whole, newest)
    for other, error in damaged.items():
        aside = set_aside(other, "damaged").name
        warnings.warn(f"{error}; it was set aside as {aside}", stacklevel=2)
    left = checkpoint.paths(run.checkpoints)
    for later in left[left.index(path) + 1 :]:
        set_aside(later, "superseded")
    missing, at = _missing(state, replay), state["counters"]
    if missing:
        warnings.warn(
            f"lost: episodes {', '.join(map(str, missing))}; the run goes on without "
            "them, so it will not end with the bits of one that kept them",
            stacklevel=2,
        )
    if damaged or missing or path != newest[0]:
        warnings.warn(
            f"the run goes on from {path.name}, after {at['episodes']} episodes and "
            f"{at['updates']} updates",
            stacklevel=2,
        )
    return Recovered(state, replay, bool(damaged or missing))


def _keep_measured(run: Run) -> None:
    """Set aside and tell what a run has measured that begins anew."""
    if run.metrics.exists():
        aside = set_aside(run.metrics, "superseded").name
        warnings.warn(
            f"there is no checkpoint in {run.checkpoints}, so the run begins anew; "
            f"what it had measured was set aside as {aside}",
            stacklevel=3,
        )


def _missing(state: Mapping[str, Any], replay: Replay) -> list[int]:
    """The episodes of a checkpoint that are not there."""
    return sorted({*state["episodes"]} - replay.present)
