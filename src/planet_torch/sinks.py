"""Other places that want the metrics of a run; each needs an extra of the package."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from planet_torch.files import write_atomically
from planet_torch.metrics import Counters, Record, Sink


class TensorBoard:
    """TensorBoard curves over environment steps, in ``tensorboard/`` of the run.

    Args:
        run: the run directory.
        counters: where the run starts or goes on; what an earlier process wrote after
            that point is hidden.

    Raises:
        ImportError: without the extra "tensorboard".
    """

    def __init__(self, run: Path, counters: Counters) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(_missing("TensorBoard", "tensorboard")) from error
        purge = counters.environment_steps + 1 if counters.environment_steps else None
        self._writer = SummaryWriter(run / "tensorboard", purge_step=purge)

    def write(self, record: Record) -> None:
        """Add the scalars; sequences stay in the JSON lines."""
        for name, value in record.scalars.items():
            self._writer.add_scalar(
                f"{record.name}/{name}", value, record.counters.environment_steps
            )

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


class WandB:
    """Weights & Biases curves over environment steps, as one run that can go on.

    The project, the account and the mode (such as offline) are wandb's own environment
    variables; the project is "planet-torch" unless WANDB_PROJECT says otherwise.

    Args:
        run: the run directory; its file ``wandb-id`` names the run over there.
        counters: where the run starts or goes on.

    Raises:
        ImportError: without the extra "wandb".
    """

    def __init__(self, run: Path, counters: Counters) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ImportError(_missing("Weights & Biases", "wandb")) from error
        name = run / "wandb-id"
        if not name.exists():
            write_atomically(name, secrets.token_hex(8).encode())
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "planet-torch"),
            name=run.name,
            id=name.read_text(),
            dir=run,
            resume="allow",
        )
        self._run.define_metric("*", step_metric="environment_steps")

    def write(self, record: Record) -> None:
        """Log the scalars and the counters; sequences stay in the JSON lines."""
        values = {f"{record.name}/{k}": v for k, v in record.scalars.items()}
        self._run.log({**asdict(record.counters), **values})

    def close(self) -> None:
        """Send what is still here."""
        self._run.finish()


SINKS: dict[str, Callable[[Path, Counters], Sink]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
}
"""The sinks by the names that ``--log`` takes."""
PACKAGES = {"tensorboard", "wandb"}  # those of them that are a package's


def check_installed(names: Iterable[str]) -> None:
    """Raise ImportError if a sink lacks its package, before there is a run to log."""
    for name in {*names} & PACKAGES:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name is none
            raise ImportError(_missing(SINKS[name].__name__, name))


def _missing(product: str, extra: str) -> str:
    return f"{product} is not installed: pip install 'planet-torch[{extra}]'"
