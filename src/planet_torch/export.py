"""Export of a trained agent: what acts and foresees of a run, and its card."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from planet_torch import checkpoint, config
from planet_torch.checkpoint import AGENT
from planet_torch.files import in_bytes, nearest, write_atomically
from planet_torch.metrics import Counters, read_metrics
from planet_torch.presets import PRESETS
from planet_torch.provenance import provenance
from planet_torch.published import PLANET
from planet_torch.report import in_words
from planet_torch.resume import differences
from planet_torch.run import Run

KEPT = "average", "spaces", "counters"  # of a checkpoint


def export(
    run: Run,
    directory: Path,
    episodes: int = 10,
    seed: int = 0,
    on_decision: Callable[[np.ndarray], None] | None = None,
) -> Run:
    """Write the agent of a run, as its newest checkpoint has it, and evaluate it.

    What is evaluated is what was written, on the CPU. The directory is whole or absent.

    Args:
        run: that was trained, wherever.
        directory: where the agent goes; it must be empty or absent.
        episodes: of the evaluation, of each task.
        seed: of the evaluation.
        on_decision: is told the returns so far after every decision.

    Returns:
        The exported agent, opened.

    Raises:
        FileExistsError: if there is something in the directory.
        NotADirectoryError: if that is a file or inside one.
        FileNotFoundError: if the run has no checkpoint yet.
        ValueError: if the run is an exported agent itself, or cannot be read.
    """
    nearest(directory)  # before the evaluation, which takes a while
    if not directory.name:
        raise ValueError(f"{directory} has no name to give the agent; name it by --out")
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(
            f"{directory} is not empty; choose another directory by --out"
        )
    anywhere, kept = parts(run)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".export-") as place:
        partial = Path(place) / directory.name
        partial.mkdir()
        checkpoint.write(partial / AGENT, kept)
        config.save(anywhere, partial / "config.json")
        training = training_rows(run, kept)
        returns = evaluated(Run.open(partial), episodes, seed, on_decision)
        # No card has a path of one machine.
        name = directory.name if directory.is_absolute() else directory.as_posix()
        command = (
            f"planet evaluate {shlex.quote(name)} --episodes {episodes} --seed {seed}"
        )
        rows = {
            **score_rows(returns, command),
            **training,
            "seeds": f"{run.config.seed} of the training, {seed} of the evaluation",
            "weights": f"{in_bytes((partial / AGENT).stat().st_size)} in `{AGENT}`",
            "options": "`config.json`",
        }
        write_atomically(partial / "README.md", card(anywhere.task, rows).encode())
        partial.rename(directory)
    return Run.open(directory)


def parts(run: Run) -> tuple[config.Config, dict[str, Any]]:
    """The config and the part of the newest checkpoint that are exported."""
    if run.exported:
        raise ValueError(f"{run.directory} is an exported agent already; copy it")
    train = replace(run.config.train, device="cpu")
    anywhere = replace(run.config, train=train)
    state = replace(run, config=anywhere).latest()
    if state is None:
        raise FileNotFoundError(f"{run.directory} has no checkpoint yet")
    with checkpoint.fitting():
        return anywhere, {name: state[name] for name in KEPT}


def evaluated(
    exported: Run,
    episodes: int,
    seed: int,
    on_decision: Callable[[np.ndarray], None] | None,
) -> dict[str, list[float]]:
    """The returns of new episodes, by task."""
    returns = {}
    for task in exported.config.tasks:
        evaluation = exported.evaluate(episodes, seed, on_decision, task)
        returns[task] = [episode.score for episode in evaluation]
    return returns


def card(task: str, rows: Mapping[str, str]) -> str:
    """What is to be known of an agent, as a page."""
    lines = [f"| {name} | {text} |" for name, text in rows.items()]
    return "\n".join([f"# {task}", "", "| | |", "| --- | --- |", *lines, ""])


def score_rows(returns: Mapping[str, Sequence[float]], command: str) -> dict[str, str]:
    """What was scored, by which command, where, and what is published.

    Args:
        returns: of the evaluation episodes, by task.
        command: that repeats them.
    """
    rows = {}
    for task, part in returns.items():
        of = f" in {task}" if len(returns) > 1 else ""
        rows[f"score{of}"] = f"{np.mean(part):.1f}, {in_words(part)}"
        if task in PLANET:
            score, episodes, source = PLANET[task]
            text = f"{score:.0f}, after {episodes:,} episodes, by {source}"
            rows[f"published{of}"] = text
    here = {**provenance(), "commit": None}
    return {**rows, "scored by": f"`{command}`", "scored on": _where(here)}


def training_rows(run: Run, state: Mapping[str, Any]) -> dict[str, str]:
    """How the agent of a checkpoint was trained, where, and for how long."""
    counters, train = Counters(**state["counters"]), run.config.train
    whole, start = train.episodes, train.seed_episodes
    tasks, starts = len(run.config.tasks), run.starts()
    changed = [f"{name} from {was} to {now}" for name, was, now in run.changes()]
    return {
        "trained by": f"`{command_of(run.config)}`",
        **({"changed on the way": ", ".join(changed)} if changed else {}),
        "trained on": _where(starts[-1]) if starts else "not known",
        "minutes": minutes(run, counters),
        "episodes": f"{counters.episodes:,} of {whole * tasks:,}, the first "
        f"{start * tasks:,} {_beginning(train)}",
        "environment steps": f"{counters.environment_steps:,}",
        "updates": f"{counters.updates:,}",
    }


def _beginning(train: config.TrainConfig) -> str:
    """How the seed episodes were collected."""
    if train.pretrained is None:
        return "with random actions"
    return f"collected by {train.pretrained}"


def command_of(config_: config.Config) -> str:
    """The command that begins a run with these options, by the preset next to them."""
    task, seed = config_.task, config_.seed
    changed = {
        name: differences(replace(preset, task=task, seed=seed), config_)
        for name, preset in PRESETS.items()
    }
    nearest = min(changed, key=lambda name: len(changed[name]))
    words = ["planet", "train", task, "--preset", nearest, "--seed", str(seed)]
    for name, (_, value) in changed[nearest].items():
        words += [f"--{name}", str(value)]
    return shlex.join(words)


def minutes(run: Run, counters: Counters) -> str:
    """For how long a run was trained until it had come so far."""
    if not run.metrics.exists():  # the checkpoints alone were copied
        return "not known"
    seconds = [
        record.time
        for record in read_metrics(run.metrics)
        if record.counters.updates <= counters.updates
        and record.counters.episodes <= counters.episodes
    ]
    return f"{max(seconds, default=0.0) / 60:.0f}, evaluations included"


def _where(start: Mapping[str, Any]) -> str:
    """Machine and versions, as far as they are known; see `provenance`."""
    versions = {
        "Python": start.get("python"),
        **(start.get("packages") or {}),
        "commit": start.get("commit"),
    }
    known = [
        start.get("processor"),
        f"{start.get('cores')} cores",
        f"threads: {start.get('threads')}",
        start.get("gpu") or "no GPU",
        *(f"{name} {version}" for name, version in versions.items() if version),
    ]
    return ", ".join(str(part) for part in known if part)
