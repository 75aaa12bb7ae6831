"""Trials: the evaluation of a planner's candidates, whatever their returns may be.

Letters: B environments, J candidates, horizon H in decisions, A action dimensions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

ReturnFn = Callable[[Float[Tensor, "B J H A"]], Float[Tensor, "B J"]]
"""Returns of J candidates in each of B environments. J may differ from call to call."""

SLICES = 8  # Under a time budget, how often an iteration looks at the clock.
T = TypeVar("T")


class Trials:
    """The evaluation of candidates for as long as there is time.

    Time is up when one more slice of the candidates, as slow as the last, would end too
    late.
    """

    def __init__(
        self,
        returns_of: ReturnFn,
        budget_ms: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
        proposals: Float[Tensor, "B P H A"] | None = None,
    ) -> None:
        """Start the clock. Proposals compete with the candidates each time."""
        self.returns_of = returns_of
        self.proposals = proposals
        self.clock = clock if budget_ms is not None else lambda: 0.0
        self.slices = 1 if budget_ms is None else SLICES
        self.now = self.clock()
        self.end = math.inf if budget_ms is None else self.now + budget_ms / 1000
        self.time_is_up = False

    def while_time(self, draws: Iterable[T]) -> Iterator[T]:
        """The draws there is time for, the first in any case."""
        for draw in draws:
            yield draw
            if self.time_is_up:
                return

    def evaluate(
        self, actions: Float[Tensor, "B J H A"]
    ) -> tuple[Float[Tensor, "B N H A"], Float[Tensor, "B N"]]:
        """The candidates there is time for, at least a slice, and their returns.

        Proposals are the first of them. Returns that are NaN come out as -inf, and
        those of -inf as the lowest number.
        """
        if self.proposals is not None:
            actions = torch.cat([self.proposals, actions], dim=1)
        returns: list[Tensor] = []
        for part in self.while_time(actions.chunk(self.slices, dim=1)):
            returns.append(checked(self.returns_of(part), part))
            if self.slices > 1:  # a GPU goes on computing; a number is waited for
                returns[-1].sum().item()
            before, self.now = self.now, self.clock()
            self.time_is_up = self.now + (self.now - before) > self.end
        together = torch.cat(returns, dim=1)
        return actions[:, : together.shape[1]], ranked(together)

    def best(
        self, actions: Float[Tensor, "B J H A"], count: int
    ) -> Float[Tensor, "B K H A"]:
        """The best `count` candidates, or that share of those there was time for."""
        planned = actions.shape[1]
        if self.proposals is not None:
            planned += self.proposals.shape[1]
        actions, returns = self.evaluate(actions)
        return best(actions, returns, math.ceil(count * actions.shape[1] / planned))


def best(
    actions: Float[Tensor, "B J H A"], returns: Float[Tensor, "B J"], count: int
) -> Float[Tensor, "B K H A"]:
    """The `count` candidates with the highest returns, best first.

    Of equal returns the earlier candidate is the better one (`topk` leaves that open).
    Where fewer than `count` have a return above -inf, those are repeated in turn.
    """
    order = returns.argsort(dim=1, descending=True, stable=True)
    usable = returns.isneginf().logical_not().sum(dim=1, keepdim=True)
    top = order.gather(1, torch.arange(count, device=returns.device) % usable)
    return actions[torch.arange(len(actions), device=top.device)[:, None], top]


def checked(
    returns: Float[Tensor, "..."], actions: Float[Tensor, "B J H A"]
) -> Float[Tensor, "B J"]:
    """The returns, if there is one for each candidate."""
    if returns.shape != actions.shape[:2]:
        raise ValueError(
            f"returns_of gave shape {tuple(returns.shape)} for candidates of shape "
            f"{tuple(actions.shape)}; give (B, J) = {tuple(actions.shape[:2])}"
        )
    return returns


def ranked(returns: Float[Tensor, "B J"]) -> Float[Tensor, "B J"]:
    """The returns with NaN as -inf, below a true -inf, which is the lowest number.

    Raises:
        ValueError: if all returns of a row are NaN.
    """
    lowest = torch.finfo(returns.dtype).min
    returns = returns.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=lowest)
    lost = returns.amax(dim=1).isneginf()
    if lost.any():
        raise ValueError(
            f"all {returns.shape[1]} candidates of row {int(lost.nonzero()[0])} of the "
            "batch have the return NaN: the model or simulator has diverged"
        )
    return returns
