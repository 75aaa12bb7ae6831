"""Compile the parts of a world model that take the time: filter, decoder, imagination.

What is computed is the same to rounding. Compilation takes minutes, as the time loops
are unrolled; PyTorch keeps the result on disk for the next run of the same sizes.
"""

from __future__ import annotations

import functools
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch

from planet_torch.kernels import sweep
from planet_torch.world_model import WorldModel

Choice = Literal["auto", "on", "off"]
SHAPES = 64  # for which a function may be compiled


def compile_parts(model: WorldModel, choice: Choice) -> bool:
    """Have a world model compile its parts when they are first called.

    Args:
        model: whose methods are replaced. A copy of it shares them, so copy before.
        choice: auto is on where the model is on a GPU, whose time goes in the many
            small steps of the loops, and off on a CPU, where a short run would not earn
            the minutes back (docs/speed.md).

    Returns:
        Whether it will. Without a working compiler it warns, and leaves all as it is.
    """
    device = next(model.parameters()).device
    if choice == "off" or (choice == "auto" and device.type != "cuda"):
        return False
    problem = missing(device)
    if problem:
        warnings.warn(
            f"train.compile (={choice!r}) has no working compiler, so the run goes on "
            f"without, more slowly; see planet doctor ({problem})",
            stacklevel=2,
        )
        return False
    # A search of iCEM has other shapes in each iteration, for one environment and for
    # ten; beyond PyTorch's limit of eight a function would silently not be compiled.
    # The name is that of PyTorch 2.6; later ones know it, too.
    torch._dynamo.config.cache_size_limit = SHAPES
    for owner, method in (
        (model.encoder, "forward"),
        (model.decoder, "forward"),
        (model.dynamics, "observe"),
        (model.dynamics, "step"),
        (model, "imagine"),
        (model, "imagined_returns"),
        (model, "follow_critic"),
    ):
        name = f"{type(owner).__name__}.{method}"
        setattr(owner, method, Compiled(getattr(owner, method), name))
    return True


@functools.cache  # a run compiles two models, and trying takes seconds
def missing(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device; None if it can."""
    sweep()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what PyTorch finds in its own code
            torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:  # of many kinds: no compiler, no headers, no backend
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return None


def tell(message: str) -> None:
    """Say it where it does not mix with what a command prints."""
    print(message, file=sys.stderr, flush=True)


class Compiled:
    """A function that is compiled for each new shape of its inputs, and tells how long.

    Args:
        function: of tensors and states, whose shapes those of the tensors imply.
        name: to say which it was.
        say: is told.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        say: Callable[[str], None] = tell,
    ) -> None:
        self.function = torch.compile(function, dynamic=False)
        self.name, self.say = name, say
        self.seen: set[tuple[object, ...]] = set()

    def __call__(self, *args: Any) -> Any:
        """What the function gives."""
        key = (*(getattr(arg, "shape", None) for arg in args), torch.is_grad_enabled())
        if key in self.seen:
            return self.function(*args)
        self.seen.add(key)
        start = time.perf_counter()
        result = self.function(*args)
        self.say(f"compiled {self.name} in {time.perf_counter() - start:.1f} s")
        return result
