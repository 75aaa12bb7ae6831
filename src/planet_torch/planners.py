"""Planners: search for the action sequences with the highest return.

A planner sees nothing of a model, only a function from candidates to their returns, so
the same planners serve imagination and the true simulator. One call plans for B
environments. Letters: J candidates, K elites, horizon H in decisions, A action
dimensions. Every action lies in [-1, 1].
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from planet_torch.trials import ReturnFn, Trials

__all__ = ["CEM", "ICEM", "MPPI", "Planner", "RandomShooting", "ReturnFn"]


@dataclass(kw_only=True, eq=False)
class Planner(ABC):
    """What all planners share; they differ only in how they update their search.

    Attributes:
        horizon: H, the number of decisions planned ahead.
        candidates: J, the action sequences evaluated in an iteration.
        decision_budget_ms: time for one plan, None for as long as it takes. When it is
            spent, `plan` returns the best it has found. An eighth of the first
            iteration is always done; plans then depend on the machine's speed.
        clock: gives seconds; it is only read when there is a budget.
        memory: what a search leaves to the next one of the same episodes.
    """

    horizon: int = 12
    candidates: int = 1000
    decision_budget_ms: float | None = None
    clock: Callable[[], float] = time.perf_counter
    memory: tuple[Tensor, ...] | None = field(default=None, init=False, repr=False)

    @torch.no_grad()
    def plan(
        self,
        returns_of: ReturnFn,
        batch: int,
        action_dim: int,
        generator: torch.Generator,
        previous: Float[Tensor, "B H A"] | None = None,
        proposals: Float[Tensor, "B P H A"] | None = None,
    ) -> Float[Tensor, "B H A"]:
        """Search for the H decisions with the highest return in each environment.

        Args:
            returns_of: gives the return of every candidate. A candidate whose return is
                NaN is never chosen; one of -inf is the worst of the others.
            batch: B, the number of environments.
            action_dim: A, the number of action dimensions.
            generator: the only source of randomness; the plan is on its device.
            previous: the plan made one decision ago, for planners that start from it. A
                row of zeros starts afresh; None does for all, as if there were no past.
            proposals: plans from elsewhere, beside the candidates of each iteration.

        Raises:
            ValueError: if `previous` is not of shape (B, H, A), or if `returns_of` does
                not give (B, J) returns, or gives NaN for all candidates of a row.
        """
        shape = (batch, self.horizon, action_dim)
        if previous is None:
            self.memory = None
            previous = torch.zeros(shape, device=generator.device)
        if previous.shape != shape:
            raise ValueError(
                f"previous has shape {tuple(previous.shape)}; the plans of this call "
                f"have (batch, horizon, action_dim) = {shape}"
            )
        trials = Trials(returns_of, self.decision_budget_ms, self.clock, proposals)
        return self.search(trials, generator, previous)

    @abstractmethod
    def search(
        self, trials: Trials, generator: torch.Generator, previous: Tensor
    ) -> Float[Tensor, "B H A"]:
        """Search as `plan` does, for as long as there is time for trials."""


@dataclass(kw_only=True, eq=False)
class CEM(Planner):
    """The cross-entropy method (PlaNet, Algorithm 2; control/planning.py).

    Attributes:
        iterations: I, how often the search distribution is refitted.
        elites: K, the best candidates, which it is refitted to.
        spread: "population" standard deviation, as reference; or "mean-absolute"
            deviation over K - 1, as the paper's box prints it.
        warm_start: begin around the previous plan moved on by one decision.
    """

    iterations: int = 10
    elites: int = 100
    spread: Literal["population", "mean-absolute"] = "population"
    warm_start: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_common(self)
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")
        fewest = 2 if self.spread == "mean-absolute" else 1
        rule = f"from {fewest} to candidates (={self.candidates})"
        check(fewest <= self.elites <= self.candidates, "elites", self.elites, rule)
        known = ("population", "mean-absolute")
        check(self.spread in known, "spread", self.spread, f"one of {known}")

    def search(
        self, trials: Trials, generator: torch.Generator, previous: Tensor
    ) -> Float[Tensor, "B H A"]:
        """The mean of the last search distribution."""
        noise = normal(self.iterations, self.candidates, previous, generator)
        # As reference: each decision starts afresh, and nothing of an earlier iteration
        # is averaged in. The mean is returned and not the best candidate.
        mean = torch.zeros_like(previous)
        if self.warm_start:
            mean = shift(previous, mean[:, -1:])
        stddev = torch.ones_like(mean)
        for draw in trials.while_time(noise):
            actions = around(mean, stddev, draw)
            elites = trials.best(actions, self.elites)
            mean, stddev = elites.mean(dim=1), self.spread_of(elites)
        return mean

    def spread_of(self, elites: Float[Tensor, "B K H A"]) -> Float[Tensor, "B H A"]:
        """How far the next candidates are spread around the mean of these elites."""
        if self.spread == "mean-absolute":
            deviation = (elites - elites.mean(dim=1, keepdim=True)).abs()
            # A time budget may have left one elite, and then no iteration follows.
            return deviation.sum(dim=1) / max(elites.shape[1] - 1, 1)
        # As reference (tf.nn.moments): the population variance; torch's default and
        # the common ports divide by K - 1. The constant keeps the search alive.
        return (elites.var(dim=1, correction=0) + 1e-6).sqrt()


@dataclass(kw_only=True, eq=False)
class RandomShooting(Planner):
    """The best of J random candidates (PlaNet, Figure 5).

    As reference: drawn as CEM draws its first, from a clipped standard normal.
    """

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_common(self)

    def search(
        self, trials: Trials, generator: torch.Generator, previous: Tensor
    ) -> Float[Tensor, "B H A"]:
        """The best candidate."""
        noise = normal(1, self.candidates, previous, generator)[0]
        return trials.best(noise.clamp(-1, 1), 1)[:, 0]


@dataclass(kw_only=True, eq=False)
class MPPI(Planner):
    """Model predictive path integral control (Williams et al., 2017, Algorithm 2).

    Every candidate counts, weighted by the exponential of its return. The search starts
    around the previous plan moved on by one decision. Differs: actions cost nothing.

    Attributes:
        iterations: how often the mean is moved; the original moves it once.
        sigma: standard deviation of the candidates around the mean; it stays the same.
        temperature: the loss of return at which a candidate's weight is 1/e of the
            best one's; towards 0 the best candidate alone counts.
    """

    iterations: int = 10
    sigma: float = 0.5
    temperature: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_common(self)
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")
        check(self.sigma > 0, "sigma", self.sigma, "above 0")
        check(self.temperature > 0, "temperature", self.temperature, "above 0")

    def search(
        self, trials: Trials, generator: torch.Generator, previous: Tensor
    ) -> Float[Tensor, "B H A"]:
        """The mean of all candidates, weighted by their returns."""
        noise = normal(self.iterations, self.candidates, previous, generator)
        mean = shift(previous, torch.zeros_like(previous[:, -1:]))
        stddev = torch.full_like(mean, self.sigma)
        for draw in trials.while_time(noise):
            actions, returns = trials.evaluate(around(mean, stddev, draw))
            mean = torch.einsum("bj,bjha->bha", self.weights(returns), actions)
        return mean

    def weights(self, returns: Float[Tensor, "B J"]) -> Float[Tensor, "B J"]:
        """What each candidate contributes; of equally infinite returns, the same."""
        loss = returns - returns.amax(dim=1, keepdim=True)
        loss = loss.nan_to_num(nan=0.0, neginf=-math.inf)
        return (loss / self.temperature).softmax(dim=1)


@dataclass(kw_only=True, eq=False)
class ICEM(Planner):
    """The improved cross-entropy method (Pinneri et al., 2020, Algorithm 1).

    Candidates are smooth in time, fewer in each iteration, and compete with the elites
    kept from the iteration before, or from the decision before. The best candidate of
    the last iteration is returned. The planner remembers its last elites, and uses them
    for the rows in which `previous` is the plan that it made from them.

    Attributes:
        iterations: how often the search distribution is refitted.
        elites: K, the best candidates, which it is refitted to.
        sigma: standard deviation of the first candidates of a decision.
        beta: colour of the noise: its power falls with frequency^-beta. At 0 the
            decisions of a candidate are independent, at 2 they are a random walk.
        decay: each iteration has this factor fewer candidates, but at least 2 K.
        kept_fraction: the part of the elites that stays among the candidates.
        momentum: the part of the old mean and spread that a refit leaves.
    """

    iterations: int = 10
    elites: int = 10
    sigma: float = 0.5
    beta: float = 2.0
    decay: float = 1.25
    kept_fraction: float = 0.3
    momentum: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_common(self)
        check(self.iterations >= 1, "iterations", self.iterations, "at least 1")
        rule = f"from 1 to candidates (={self.candidates})"
        check(1 <= self.elites <= self.candidates, "elites", self.elites, rule)
        check(self.sigma > 0, "sigma", self.sigma, "above 0")
        check(self.beta >= 0, "beta", self.beta, "0 or more")
        check(self.decay >= 1, "decay", self.decay, "1 or more")
        kept = self.kept_fraction
        check(0 <= kept <= 1, "kept_fraction", kept, "from 0 to 1")
        check(0 <= self.momentum < 1, "momentum", self.momentum, "from 0 to below 1")

    def search(
        self, trials: Trials, generator: torch.Generator, previous: Tensor
    ) -> Float[Tensor, "B H A"]:
        """The best candidate of the last iteration."""
        counts = self.counts()
        noise = normal(1, sum(counts), previous, generator)[0]
        draws = coloured(noise, self.beta).split_with_sizes(counts, dim=1)
        mean, kept = self.carried(previous, draws[0])
        stddev = torch.full_like(mean, self.sigma)
        for index, draw in trials.while_time(enumerate(draws)):
            # The mean itself is tried at the end only: earlier it narrows the search.
            extra = [mean[:, None]] if index == self.iterations - 1 else []
            # Kept elites come first, so that a short time suffices to confirm them.
            actions = torch.cat([kept, *extra, around(mean, stddev, draw)], dim=1)
            elites = trials.best(actions, self.elites)
            kept = elites[:, : int(self.kept_fraction * self.elites)]
            mean = elites.mean(dim=1).lerp(mean, self.momentum)
            stddev = elites.std(dim=1, correction=0).lerp(stddev, self.momentum)
        self.memory = (elites[:, 0], mean, kept)
        return elites[:, 0]

    def counts(self) -> list[int]:
        """The number of new candidates in each iteration."""
        decayed = (int(self.candidates / self.decay**i) for i in range(self.iterations))
        least = min(2 * self.elites, self.candidates)
        return [max(count, least) for count in decayed]

    def carried(
        self, previous: Tensor, draw: Float[Tensor, "B J H A"]
    ) -> tuple[Float[Tensor, "B H A"], Float[Tensor, "B N H A"]]:
        """The first mean and the first kept candidates, from one decision earlier."""
        plan, mean, kept = self.memory or (previous, previous, previous[:, None])
        if plan.shape != previous.shape:
            plan, mean, kept = previous, previous, previous[:, None]
        own = (plan == previous).flatten(1).all(dim=1)[:, None, None]
        mean = torch.where(own, mean, previous)
        kept = torch.where(own[:, None], kept, previous[:, None])
        # As reference (controllers/icem.py): the mean repeats its last decision, kept
        # candidates draw a new one.
        mean = shift(mean, mean[:, -1:])
        fresh = around(mean, torch.full_like(mean, self.sigma), draw)
        return mean, shift(kept, fresh[:, : kept.shape[1], -1:])


def normal(
    iterations: int, candidates: int, like: Tensor, generator: torch.Generator
) -> Float[Tensor, "I B J H A"]:
    """All standard normal noise of a search, drawn before its loop."""
    B, H, A = like.shape
    shape = (iterations, B, candidates, H, A)
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)


def around(
    mean: Float[Tensor, "B H A"],
    stddev: Float[Tensor, "B H A"],
    draw: Float[Tensor, "B J H A"],
) -> Float[Tensor, "B J H A"]:
    """Candidates around a mean. As reference: clipped before they are evaluated."""
    return torch.addcmul(mean[:, None], stddev[:, None], draw).clamp_(-1, 1)


def shift(plan: Tensor, last: Tensor) -> Tensor:
    """The plan moved on by one decision, with `last` for the decision it lacks."""
    return torch.cat([plan[..., 1:, :], last], dim=-2)


def coloured(white: Float[Tensor, "B J H A"], beta: float) -> Float[Tensor, "B J H A"]:
    """Noise whose power falls with frequency^-beta along H, of variance 1.

    Timmer and Koenig (1995). Frequency 0 gets the power of the lowest that fits in H.
    """
    H = white.shape[2]
    cycles = torch.fft.fftfreq(H, 1 / H, device=white.device).abs().clamp(min=1)
    scale = cycles.pow(-beta / 2)
    scale = scale / scale.square().mean().sqrt()
    spectrum = torch.fft.rfft(white, dim=2) * scale[: H // 2 + 1, None]
    noise: Tensor = torch.fft.irfft(spectrum, n=H, dim=2)
    return noise


def check_common(planner: Planner) -> None:
    """Refuse what can work for no planner."""
    check(planner.horizon >= 1, "horizon", planner.horizon, "at least 1")
    check(planner.candidates >= 1, "candidates", planner.candidates, "at least 1")
    budget = planner.decision_budget_ms
    check(budget is None or budget > 0, "decision_budget_ms", budget, "above 0 or None")


def check(allowed: bool, name: str, value: object, rule: str) -> None:
    """Raise a ValueError that names the option, what came, and what may come."""
    if not allowed:
        raise ValueError(f"{name} (={value!r}) must be {rule}")
