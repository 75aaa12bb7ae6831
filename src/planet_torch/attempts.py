"""Episodes of a run: stopped between decisions, and begun again after a fault."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from planet_torch.agent import PlanetAgent
from planet_torch.chunk import Episode
from planet_torch.envs.checked import EnvError
from planet_torch.metrics import Counters, Reporter
from planet_torch.rollout import run_episodes
from planet_torch.signals import Stopped, StopSignals

RESTARTS = 3  # of isolated environments, in a row

Result = TypeVar("Result")
OnDecision = Callable[[np.ndarray], None]
"""Is told the returns so far after every decision."""
Play = Callable[[list[int], OnDecision], Result]
"""Runs the episodes of some seeds."""


def give_up_or_warn(fault: EnvError, count: int, isolated: bool) -> None:
    """Warn of a fault after which the episode is begun again, or raise it."""
    if not isolated:
        raise fault
    if count > RESTARTS:
        raise EnvError(f"{fault} ({count} times in a row)") from fault
    warnings.warn(
        f"{fault}. Its episode is dropped and begun again, {count} of at most "
        f"{RESTARTS} times",
        stacklevel=2,
    )


def _drawn(stream: torch.Generator, count: int) -> list[int]:
    """Seeds from a stream."""
    return [int(s) for s in torch.randint(2**31, (count,), generator=stream)]


def run_these(
    envs: VectorEnv,
    agent: PlanetAgent,
    seeds: Sequence[int],
    on_decision: OnDecision | None,
    isolated: bool,
) -> list[Episode]:
    """Run the episodes of these seeds, and again where an isolated environment fails.

    Raises:
        EnvError: if one fails that is not isolated, or again and again.
        NotFiniteError: if a number is not finite.
    """
    before = agent.generator.get_state()
    for count in itertools.count(1):
        try:
            return run_episodes(envs, agent, seeds, on_decision)
        except EnvError as fault:
            give_up_or_warn(fault, count, isolated)
            agent.generator.set_state(before)
    raise AssertionError


class Attempts:
    """Runs episodes whose randomness is of named streams.

    Args:
        streams: of the run; what an unfinished episode has drawn is drawn again.
        reporter: is told the phase, each decision, and each fault.
        signals: end an episode between two decisions.
        isolated: whether an environment that fails may be started again.
    """

    def __init__(
        self,
        streams: Mapping[str, torch.Generator],
        reporter: Reporter,
        signals: StopSignals,
        isolated: bool,
    ) -> None:
        self.streams, self.reporter = streams, reporter
        self.signals, self.isolated = signals, isolated

    def run(
        self,
        phase: str,
        decisions: int,
        play: Play[Result],
        stream: str,
        counters: Counters,
        count: int = 1,
    ) -> Result:
        """Play so many episodes, and again where an isolated environment fails.

        The first time again it has the same seed, so that an accident leaves no trace
        in the run; after that others, since some seed may always fail.

        Args:
            phase: what it is for.
            decisions: the most that there will be.
            play: runs the episodes of some seeds.
            stream: of the seeds, by its name.
            counters: of the run so far.
            count: of the episodes.

        Raises:
            Stopped: if a signal asked for it.
            EnvError: if one fails that is not isolated, or again and again.
            NotFiniteError: if a number is not finite.
        """
        for faults in itertools.count():
            try:
                with self.undone_unless_finished():
                    self.reporter.phase(phase, decisions, "decisions")
                    for _ in range(max(faults, 1)):
                        # What happens in an episode depends on nothing before it.
                        seeds = _drawn(self.streams[stream], count)
                    return play(seeds, self.on_decision)
            except EnvError as fault:
                self.signals.check()
                give_up_or_warn(fault, faults + 1, self.isolated)
                self.reporter.log("fault", {"in a row": faults + 1}, counters)
        raise AssertionError

    def foreseen(self, stream: str, runs: int) -> list[int]:
        """The seeds that so many runs of one episode will have, if none fails."""
        copy = torch.Generator()
        copy.set_state(self.streams[stream].get_state())
        return [seed for _ in range(runs) for seed in _drawn(copy, 1)]

    def on_decision(self, returns: np.ndarray) -> None:
        """Between two decisions of an episode."""
        self.reporter.advance()
        self.signals.check()

    @contextmanager
    def undone_unless_finished(self) -> Iterator[None]:
        """Forget an unfinished episode, so that it can be begun again."""
        before = {name: s.get_state() for name, s in self.streams.items()}
        try:
            yield
        except (Stopped, EnvError):
            for name, stream in self.streams.items():
                stream.set_state(before[name])
            raise
