"""Numbers that are not finite: found before anything learns from them, and kept.

The dump of an update has all that its loss depends on; that of an episode has the seed
and the actions that lead to it again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import nn

from planet_torch.checkpoint import arrays_of
from planet_torch.files import write_atomically
from planet_torch.sealed import seal

IN_A_ROW = 100  # so many skipped, and nothing is learned any more
DUMPS = 20  # that are kept at most; they are for looking into, not for counting


class NotFiniteError(FloatingPointError):
    """A number is NaN or infinite.

    Attributes:
        name: of the dump, such as "update-000000003"; its first word is what failed.
        arrays: what reproduces it.
        header: plain values that go with them.
    """

    def __init__(
        self,
        message: str,
        name: str,
        arrays: Mapping[str, np.ndarray],
        header: Mapping[str, Any],
    ) -> None:
        super().__init__(message)
        self.name, self.arrays, self.header = name, arrays, header

    def __reduce__(self) -> tuple[object, ...]:
        """As it is sent from one process to another."""
        return type(self), (str(self), self.name, self.arrays, self.header)


class Guard:
    """While it is entered, numbers that are not finite are dumped, and then it stops.

    Args:
        directory: of the dumps.
        skip: go on after what failed, and not stop, until too much fails in a row.
        on_skip: is told each error that is skipped.

    Raises:
        FloatingPointError: with where it came from, and where the dump is.
    """

    def __init__(
        self, directory: Path, skip: bool, on_skip: Callable[[NotFiniteError], None]
    ) -> None:
        self.directory, self.skip, self.on_skip = directory, skip, on_skip
        self._in_a_row = 0

    def __enter__(self) -> Guard:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Whether what failed is skipped."""
        if not isinstance(error, NotFiniteError):
            self._in_a_row = 0
            return False
        path = self.dump(error)
        self._in_a_row += 1
        kept = f"; {path} reproduces it" if path else ""
        if not self.skip:
            raise FloatingPointError(
                f"{error}{kept}. The run goes on without it by --train.on_nan skip "
                "--override train.on_nan"
            ) from error
        if self._in_a_row == IN_A_ROW:
            raise FloatingPointError(f"{error}, the {IN_A_ROW}th in a row{kept}")
        warnings.warn(f"skipped: {error}{kept}", stacklevel=2)
        self.on_skip(error)
        return True

    def dump(self, error: NotFiniteError) -> Path | None:
        """Write what reproduces it; None if there are enough such files."""
        self.directory.mkdir(exist_ok=True)
        path = self.directory / f"{error.name}.safetensors"
        if not path.exists() and len(list(self.directory.iterdir())) >= DUMPS:
            return None
        content, _ = seal("dump", error.arrays, {"error": str(error), **error.header})
        return write_atomically(path, content)


def check_update(
    number: int,
    values: Mapping[str, float],
    model: nn.Module,
    cause: Mapping[str, Any],
    config: Any,
) -> None:
    """Refuse an update whose loss, terms or gradient are not finite.

    Args:
        number: of the update.
        values: by their names.
        model: the world model, whose weights they were computed from.
        cause: what else they were computed from: tensors, nested.
        config: the dataclass that says how.

    Raises:
        NotFiniteError: before the weights take it.
    """
    if all(map(math.isfinite, values.values())):
        return
    shown = ", ".join(f"{name} {value:g}" for name, value in values.items())
    raise NotFiniteError(
        f"update {number} is not finite ({shown}), so the weights were left as they "
        "are; a lower optimiser.learning_rate or optimiser.gradient_clip may do better",
        f"update-{number:09d}",
        arrays_of({"world_model": model.state_dict(), **cause}),
        {"values": dict(values), "config": asdict(config)},
    )


def check_row(seed: int, rows: list[tuple[np.ndarray, np.ndarray, float]]) -> None:
    """Refuse the newest row of an episode if a number in it is not finite.

    Args:
        seed: of the episode.
        rows: observation, action that led to it, reward that came with it.

    Raises:
        NotFiniteError: before the replay or an agent takes it.
    """
    observation, action, reward = rows[-1]
    if (
        math.isfinite(reward)
        and (observation.dtype.kind != "f" or np.isfinite(observation).all())
        and np.isfinite(action).all()
    ):
        return
    named: dict[str, Any] = {
        "observation": observation,
        "action": action,
        "reward": reward,
    }
    name = next(n for n, value in named.items() if not np.isfinite(value).all())
    decision = len(rows) - 1
    raise NotFiniteError(
        f"the {name} is not finite ({named[name]}) at decision {decision} of the "
        f"episode with seed {seed}",
        f"episode-{seed:010d}-{decision:05d}",
        {
            "observation": observation,
            "action": np.stack([row[1] for row in rows]),
            "reward": np.array([row[2] for row in rows]),
        },
        {"seed": seed, "decision": decision},
    )
