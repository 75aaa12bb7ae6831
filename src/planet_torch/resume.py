"""Go on with a run by the options it has, or by others that are named."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from planet_torch import build, checkpoint, config
from planet_torch.config import Config
from planet_torch.files import disk_errors_explained, set_aside, write_atomically
from planet_torch.lock import locked
from planet_torch.nested import option_names, unknown
from planet_torch.run import Run

_DATA = "its episodes and its random streams come from it"
FIXED = {  # options and groups that a run cannot change, and why
    "task": _DATA,
    "seed": _DATA,
    "env.image_size": _DATA,
    "env.renderer": _DATA,
    "env.camera": _DATA,
    "env.action_repeat": _DATA,
    "env.time_limit": _DATA,
    "env.observation": _DATA,
    "model": "its weights were learned for it",
    "objective.value_of": "its value head was learned for it",
    "train.seed_episodes": "its updates are counted by it",
    "train.pretrained": "its first weights and episodes came from it",
    "train.updates": "its updates are counted by it",
    "train.device": "its random streams live there",
}


def resume(
    directory: str | os.PathLike[str],
    given: Config | None = None,
    override: Sequence[str] = (),
) -> Run:
    """Open a run to go on with it.

    Options that are changed are kept in its config.json, and noted in its run.json.

    Args:
        directory: of the run.
        given: options to go on with; those of its config.json if left out.
        override: the names of those that may differ from what the run had.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if an option differs that is not named, or that cannot be changed;
            if there is an exported agent, and no run.
        RunInUseError: if another process trains the run.
    """
    directory = Path(directory)
    for name in override:
        if name not in option_names(Config):
            raise ValueError(unknown(name, option_names(Config)))
    stored, whole = stored_config(directory)
    run = Run(directory, stored)
    run.check_trainable()
    with disk_errors_explained(directory, run.again), locked(directory):
        given = given or stored
        before = learned_config(directory) or stored
        changes = differences(before, given)
        run = Run(directory, given)
        _check(changes, {*override, *_noted(run, given)})
        if changes:
            build.check(given, begun=True)
        run.note_start(overridden=changes)
        path = directory / "config.json"
        if not whole:
            aside = set_aside(path, "damaged").name
            warnings.warn(
                f"{path} is damaged, so set aside as {aside}, and written anew from "
                "the newest checkpoint",
                stacklevel=2,
            )
        if not whole or given != stored:
            write_atomically(path, lambda place: config.save(given, place))
    return run


def stored_config(directory: Path) -> tuple[Config, bool]:
    """The config of a run, and whether it is that of its config.json.

    If that is damaged, it is the one in the newest checkpoint.

    Raises:
        ValueError: if that cannot be had either.
    """
    if not (directory / "config.json").exists():
        Run.open(directory)  # says that there is none
    try:
        return config.load(directory / "config.json"), True
    except ValueError as error:
        try:
            learned = learned_config(directory)
        except ValueError:  # of another version, as that of the file is
            raise error from None
        if learned is None:
            raise
        return learned, False


def learned_config(directory: Path) -> Config | None:
    """The config by which the newest whole checkpoint was learned, if there is one.

    Raises:
        ValueError: if it is of another version.
    """
    damaged: dict[Path, str] = {}  # set aside when the run goes on
    whole = checkpoint.whole(directory / "checkpoints", damaged)
    path, content = next(whole, (directory, {}))
    return config.stored(content["config"], path) if "config" in content else None


def differences(before: Config, after: Config) -> dict[str, tuple[Any, Any]]:
    """The options that are not equal, with both values."""
    pairs = {
        name: (attrgetter(name)(before), attrgetter(name)(after))
        for name in option_names(Config)
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _check(changes: Mapping[str, tuple[Any, Any]], allowed: set[str]) -> None:
    """Raise ValueError if not all of the changes can be, or are meant."""
    for name, (before, after) in changes.items():
        reason = _fixed(name, before, after)
        if reason:
            raise ValueError(
                f"{name} cannot be changed from {before!r} to {after!r} in a run that "
                f"has begun, since {reason}; begin another with --run"
            )
    refused = {name: change for name, change in changes.items() if name not in allowed}
    if refused:
        shown = ", ".join(
            f"{n} {was!r} -> {now!r}" for n, (was, now) in refused.items()
        )
        raise ValueError(
            f"the options are not those of the run: {shown}; leave them as they were, "
            f"or change them by --override {' '.join(refused)}"
        )


def _fixed(name: str, before: object, after: object) -> str | None:
    """Why a run cannot make this change, if it cannot."""
    if name == "objective.value_discount" and 0 in (before, after):
        return "its weights have a value head, or have none"
    return FIXED.get(name) or FIXED.get(name.partition(".")[0])


def _noted(run: Run, given: Config) -> set[str]:
    """The options that were changed last to what they are now.

    A run that was killed right after it was not checkpointed with them yet.
    """
    last = {name: json.dumps(after) for name, _, after in run.changes()}
    known = last.keys() & set(option_names(Config))
    return {n for n in known if json.dumps(attrgetter(n)(given)) == last[n]}
