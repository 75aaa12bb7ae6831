"""What a run reports: JSON lines always, and whatever else listens.

A line of ``metrics.jsonl`` is a flat object: its kind, the task if it is about one, the
four counters, the values, and last the time, which is the only part that two equal runs
do not share.

    {"kind": "collect", "task": "dmc/cartpole-swingup", "environment_steps": 6000,
     "decisions": 750, "updates": 100, "episodes": 6, "return": 281.5, "time": 41.203}
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Protocol, SupportsFloat, runtime_checkable

import numpy as np

from planet_torch.files import set_aside, write_atomically
from planet_torch.sealed import MALFORMED

Value = float | list[float]
Mark = tuple[int, str]
"""How many lines there are, and a checksum of them without their times."""


@dataclass(frozen=True)
class Counters:
    """How far a run is; never one "step".

    Attributes:
        environment_steps: control steps of the simulator, seed episodes included, but
            not those of evaluation.
        decisions: actions chosen; each is held for the action repeat of its task, or
            until the episode ends.
        updates: of the parameters.
        episodes: collected, of all tasks, seed episodes included.
    """

    environment_steps: int = 0
    decisions: int = 0
    updates: int = 0
    episodes: int = 0


@dataclass(frozen=True)
class Record:
    """One line.

    Attributes:
        kind: what was measured: "seed", "fit", "collect" or "evaluate", and
            "skip" or "fault" where something failed.
        counters: when it was measured.
        values: numbers, or lists of numbers such as the returns of an evaluation.
        time: seconds that the run has been running, without the pauses between its
            resumptions.
        task: what it is about; empty if it is about all tasks.
    """

    kind: str
    counters: Counters
    values: Mapping[str, Value]
    time: float
    task: str = ""

    @property
    def scalars(self) -> dict[str, float]:
        """The values that are single numbers."""
        return {k: v for k, v in self.values.items() if isinstance(v, float)}

    @property
    def name(self) -> str:
        """The kind, and the task if there is one."""
        return f"{self.kind}/{self.task}".rstrip("/")


@runtime_checkable
class Sink(Protocol):
    """Something else that wants the records, such as TensorBoard."""

    def write(self, record: Record) -> None:
        """Take one record."""

    def close(self) -> None:
        """Finish; nothing is written afterwards."""


@runtime_checkable
class Progress(Sink, Protocol):
    """A sink for a person who waits, who also learns what is going on in between."""

    def recall(self, records: Sequence[Record], counters: Counters) -> None:
        """Take the records of the run so far, and where it goes on, if resumed."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """Begin a part of the run that takes ``total`` of ``unit``."""

    def advance(self, count: int) -> None:
        """Count so many units of the phase as done."""


class Silent:
    """The progress display of nobody."""

    def write(self, record: Record) -> None:
        """Ignore it."""

    def recall(self, records: Sequence[Record], counters: Counters) -> None:
        """Ignore them."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """Ignore it."""

    def advance(self, count: int) -> None:
        """Ignore it."""

    def close(self) -> None:
        """Do nothing."""


class Reporter:
    """Writes the metrics of one run to its file, and passes them on.

        with Reporter(run / "metrics.jsonl", progress=progress) as reporter:
            reporter.phase("fit", 100, "updates")
            for _ in range(100):
                loss = update()
                reporter.advance()
            reporter.log("fit", {"loss": loss}, counters)

    Args:
        path: the file. Each line is handed to the system at once, so that only a power
            cut can lose lines that `mark` has not counted.
        sinks: who else gets the records.
        progress: who shows them, and the phases, while one waits.
        resume: which lines to keep, as `mark` said at the checkpoint.
            Without it the run is new. A file that has other lines is set aside, and
            those that can still be read are kept.
        counters: where the run goes on, which may be after its last line.

    Attributes:
        lost: whether the file was not as it was marked.

    Raises:
        FileExistsError: if the run is new, but its file is there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sinks: Sequence[Sink] = (),
        progress: Progress | None = None,
        resume: Mark | None = None,
        counters: Counters = Counters(),
    ) -> None:
        self._progress = progress or Silent()
        self._sinks = [self._progress, *sinks]
        lines: list[bytes] = []
        self.lost = False
        if resume is not None:
            lines, self.lost = _keep(Path(path), resume)
        kept = [_parse(line) for line in lines]
        self._digest = _digest(lines)
        mode = "x" if resume is None else "a"
        self._file = Path(path).open(mode, encoding="utf-8")  # noqa: SIM115
        self._lines = len(kept)
        self._start = time.monotonic() - (kept[-1].time if kept else 0.0)
        self._progress.recall(kept, counters)

    def log(
        self,
        kind: str,
        values: Mapping[str, SupportsFloat | Sequence[SupportsFloat]],
        counters: Counters,
        task: str = "",
    ) -> None:
        """Record numbers or sequences of numbers, and where the run is.

        What is not finite becomes null in the file, as JSON has no NaN.

        Raises:
            ValueError: if a value has the name of a counter, "kind", "task" or "time".
        """
        plain = {k: np.asarray(v, np.float64).tolist() for k, v in values.items()}
        record = Record(kind, counters, plain, round(self.seconds, 3), task)
        line = _line(record)
        self._file.write(line)
        self._file.flush()
        self._lines += 1
        self._digest.update(_timeless(line.encode()))
        for sink in self._sinks:
            sink.write(record)

    @property
    def seconds(self) -> float:
        """How long the run has been running, without pauses between resumptions."""
        return time.monotonic() - self._start

    def phase(self, name: str, total: int, unit: str) -> None:
        """Begin a part of the run, for example ``("fit", 100, "updates")``."""
        self._progress.phase(name, total, unit)

    def advance(self, count: int = 1) -> None:
        """Count so many units of the phase as done."""
        self._progress.advance(count)

    def mark(self) -> Mark:
        """Bring all lines to the disk; which they are, to be stored in a checkpoint."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._lines, self._digest.hexdigest()

    def close(self) -> None:
        """Close the file and the sinks."""
        try:
            self._file.close()  # writes what it could not before, or fails again
        finally:
            for sink in self._sinks:
                sink.close()

    def __enter__(self) -> Reporter:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def read_metrics(path: str | os.PathLike[str], kind: str | None = None) -> list[Record]:
    """The records of a run, or those of one kind; a torn last line is no record.

    What was not finite is read back as NaN.

    Raises:
        ValueError: if a line is no record.
    """
    records = []
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                try:
                    records.append(_parse(line))
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}: {error}") from error
    return [record for record in records if kind in (None, record.kind)]


def _keep(path: Path, mark: Mark) -> tuple[list[bytes], bool]:
    """Cut the file after the marked lines; these, and whether any of them is lost."""
    count, checksum = mark
    content = path.read_bytes() if path.is_file() else b""
    whole = [line + b"\n" for line in content.split(b"\n")[:-1]]
    lines = [line for line in whole[:count] if _is_record(line)]
    if len(lines) == count and checksum == _digest(lines).hexdigest():
        if path.exists():
            os.truncate(path, sum(map(len, lines)))
        return lines, False
    if path.exists():
        aside = f"was set aside as {set_aside(path, 'damaged').name}"
    else:
        aside = "is gone"
    warnings.warn(
        f"{path} is not as the checkpoint knew it, and {aside}; {len(lines)} of "
        f"{count} lines can be read and are kept; what is learned does not depend on "
        "them",
        stacklevel=4,
    )
    write_atomically(path, b"".join(lines))
    return lines, True


def _is_record(line: bytes) -> bool:
    """Whether a line can be read."""
    try:
        _parse(line)
    except ValueError:
        return False
    return True


def _digest(lines: Sequence[bytes]) -> hashlib._Hash:
    """The checksum of lines, to be gone on with."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(_timeless(line))
    return digest


def _timeless(line: bytes) -> bytes:
    """What two equal runs have in common of a line."""
    return line.rpartition(b', "time": ')[0]


def _line(record: Record) -> str:
    """The record as one line of JSON."""
    task = {"task": record.task} if record.task else {}
    head = {"kind": record.kind, **task, **asdict(record.counters)}
    taken = record.values.keys() & {*head, "task", "time"}
    if taken:
        raise ValueError(f"values named {sorted(taken)} would hide those of the line")
    values = {name: _nulled(value) for name, value in record.values.items()}
    return json.dumps({**head, **values, "time": record.time}, allow_nan=False) + "\n"


def _parse(line: str | bytes) -> Record:
    """The record that `_line` wrote.

    Raises:
        ValueError: if it is none.
    """
    try:
        values = json.loads(line)
        kind, seconds = values.pop("kind"), float(values.pop("time"))
        task = values.pop("task", "")
        counts = {f.name: values.pop(f.name) for f in fields(Counters)}
        values = {k: np.asarray(v, np.float64).tolist() for k, v in values.items()}
        if {type(kind), type(task)} != {str} or {*map(type, counts.values())} != {int}:
            raise ValueError("its kind, task or counters are of another type")
    except MALFORMED as error:
        raise ValueError(f"it is no record: {error}") from error
    return Record(kind, Counters(**counts), values, seconds, task)


def _nulled(value: Value) -> object:
    """The value with None in place of what is not finite."""
    if isinstance(value, list):
        return [_nulled(part) for part in value]
    return value if math.isfinite(value) else None
