"""Contenders in processes of their own, timed in turns.

A machine is never quiet for long, so that two numbers compare only if they were
measured side by side. Each contender has a process, which keeps memory, threads and
code apart; the jobs go round all of them again and again.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planet_torch import config
from planet_torch.config import Config
from planet_torch.nested import option_names, unknown
from planet_torch.presets import PRESETS

WARM_UP = 2  # rounds that are not counted


@dataclass(frozen=True)
class Result:
    """What one contender took for one job, over all rounds.

    Attributes:
        job: its name.
        contender: the name of the contender.
        unit: what is counted.
        count: of it, in each call.
        seconds: of each call, by the clock.
        cpu: of each call, of all processors together.
        parts: median seconds of each part of a call.
        peak_mib: the most memory of the process until then.
    """

    job: str
    contender: str
    unit: str
    count: int
    seconds: list[float]
    cpu: list[float]
    parts: dict[str, float]
    peak_mib: float

    @property
    def median(self) -> float:
        """Median seconds of a call."""
        return float(np.median(self.seconds))

    @property
    def rate(self) -> float:
        """Units a second, by the median."""
        return self.count / self.median

    def milliseconds(self, percent: int) -> float:
        """A percentile of the calls."""
        return 1e3 * float(np.percentile(self.seconds, percent))

    def summary(self) -> dict[str, Any]:
        """Everything, for a file."""
        percentiles = {f"p{p}_ms": self.milliseconds(p) for p in (25, 50, 75, 90, 99)}
        rest = {"cpu_ms": 1e3 * float(np.median(self.cpu)), "per_second": self.rate}
        return {**asdict(self), **percentiles, **rest}


class Contender:
    """A process that times jobs with one config.

    Args:
        name: to show.
        config_: what it builds.
        plain: whether it runs the reference loops.
        source: a folder with another version of the package.

    Raises:
        ValueError: if the process cannot begin; with why, if it says so.
    """

    def __init__(
        self,
        name: str,
        config_: Config,
        *,
        plain: bool = False,
        source: Path | None = None,
    ) -> None:
        self.name = name
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            path = Path(file.name)
        config.save(config_, path)
        paths = [str(p) for p in (source, *sys.path) if p]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        module = f"{__package__}.jobs"
        words = [sys.executable, "-m", module, str(path), *["plain"] * plain]
        self.process = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # what it warns of goes where ours does
            text=True,
        )
        try:
            self.about = self._answer()
        finally:
            path.unlink()
        self.jobs: dict[str, list[Any]] = self.about["jobs"]

    def time(self, job: str) -> dict[str, Any]:
        """One measurement of a job."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{job}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            raise ValueError(
                f"the contender {self.name!r} ended (exit status "
                f"{self.process.returncode}); see above what it printed"
            )
        answer = dict(json.loads(line))
        if "failed" in answer:
            self.process.communicate()
            raise ValueError(f"the contender {self.name!r}: {answer['failed']}")
        return answer


def config_of(words: str, task: str, threads: int) -> Config:
    """The config that words such as ``cpu planner.horizon=12`` describe.

    The first names a preset, or a directory with the config of a run or an agent.

    Raises:
        ValueError: for an unknown preset or option, or a bad value.
    """
    name, *changes = words.split() or [""]
    stored = Path(name, "config.json")
    if name in PRESETS:
        begin = PRESETS[name]
    elif name and stored.exists():
        begin = config.load(stored)
    else:
        raise ValueError(unknown(name, PRESETS, "preset or run"))
    return changed(begin, (f"task={task}", f"train.threads={threads}", *changes))


def changed(before: Config, changes: Iterable[str]) -> Config:
    """A config with changes such as ``planner.horizon=12``.

    Raises:
        ValueError: for an unknown option, or a bad value.
    """
    values = dataclasses.asdict(before)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in option_names(Config):
            raise ValueError(unknown(name, option_names(Config)))
        *groups, last = name.split(".")
        inside = values[groups[0]] if groups else values
        inside[last] = _read(value)
    return config.parse(values)


def _read(value: str) -> object:
    """A value as config.json has it (false, null), or as options do (False, None)."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError):
            return read(value)
    return value


def contest(
    contenders: Sequence[Contender], only: Sequence[str], rounds: int
) -> list[Result]:
    """Time the jobs of all contenders in turns.

    Args:
        contenders: each times the jobs that it has.
        only: the first words of the jobs that are wanted; all if empty.
        rounds: measurements of each, after those to warm up.

    Raises:
        ValueError: if no job is wanted.
    """
    names = list(dict.fromkeys(job for c in contenders for job in c.jobs))
    wanted = [n for n in names if not only or n.startswith(tuple(only))]
    if not wanted:
        raise ValueError(f"no job begins with {tuple(only)}; there are {names}")
    results = []
    for job in wanted:
        able = [c for c in contenders if job in c.jobs]
        taken: list[list[dict[str, Any]]] = [[] for _ in able]
        for _ in range(WARM_UP + rounds):
            for contender, times in zip(able, taken, strict=True):
                times.append(contender.time(job))
        for contender, times in zip(able, taken, strict=True):
            results.append(_result(job, contender, times[WARM_UP:]))
    return results


def _result(job: str, contender: Contender, times: list[dict[str, Any]]) -> Result:
    parts = {
        name: float(np.median([time["parts"][name] for time in times]))
        for name in times[0]["parts"]
    }
    unit, count = contender.jobs[job]
    return Result(
        job,
        contender.name,
        unit,
        count,
        [time["seconds"] for time in times],
        [time["cpu"] for time in times],
        parts,
        times[-1]["peak_mib"],
    )


def table(results: Sequence[Result]) -> str:
    """The results in Markdown, each against the first contender of its job."""
    head = "job | contender | median ms | quartiles | p90 | p99 | CPU ms | a second"
    rows = [head + " | times the first | peak MiB"]
    rows.append(" | ".join(["---"] * 10))
    first: dict[str, Result] = {}
    for result in results:
        base = first.setdefault(result.job, result)
        low, middle, high, p90, p99 = map(result.milliseconds, (25, 50, 75, 90, 99))
        cells = [
            result.job,
            result.contender,
            f"{middle:.1f}",
            f"{low:.1f} to {high:.1f}",
            f"{p90:.1f}",
            f"{p99:.1f}",
            f"{1e3 * float(np.median(result.cpu)):.1f}",
            f"{result.rate:.1f} {result.unit}",
            f"{result.median / base.median:.2f}",
            f"{result.peak_mib:.0f}",
        ]
        rows.append(" | ".join(cells))
    text = "\n".join(f"| {row} |" for row in rows)
    parts = [
        f"{r.contender}, parts of the {r.job} in ms: "
        + ", ".join(f"{name} {1e3 * s:.1f}" for name, s in r.parts.items())
        for r in results
        if r.parts
    ]
    return "\n\n".join([text, *parts])
