"""An environment in a process of its own, which may die or hang there alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Space

from planet_torch.envs.checked import EnvError, fault, place_of
from planet_torch.envs.wrappers import Env, Step
from planet_torch.worker import Gone, Worker

START_SECONDS = 300.0  # to import what an environment needs, and to make it


@dataclass(frozen=True)
class About:
    """What there is to know of an environment before its first episode."""

    observation_space: Space[Any]
    action_space: Space[Any]
    metadata: dict[str, Any]
    render_mode: str | None


class Isolated(gymnasium.Env[Any, Any]):
    """Passes everything on to an environment in a spawned process.

    One that dies, or takes longer for a decision than ``step_seconds``, raises
    ``EnvError`` and is killed; the next ``reset`` begins in a new process. Episodes are
    those that they would be without the process, to the bit.

    Several of these are made at once: the constructor does not wait for the process.

    Args:
        factory: makes the environment; a function that can be sent to a process.
        name: of the environment, for what goes wrong.
        step_seconds: that a reset or a decision may take.
    """

    def __init__(
        self, factory: Callable[[], Env], name: str, step_seconds: float = 60.0
    ) -> None:
        self._factory, self._name, self._limit = factory, name, step_seconds
        self._decision = 0
        self._seed: int | None = None
        self._start()

    def _start(self) -> None:
        """Start the process. Its first answer says what the environment is like."""
        self._worker = Worker(_serve, self._factory)
        self._about: About | None = None

    @property
    def about(self) -> About:
        """What the environment is like; waits until it is there."""
        if self._about is None:
            self._about = self._answer("its start", START_SECONDS)
        assert self._about is not None
        return self._about

    @property
    def observation_space(self) -> Space[Any]:  # type: ignore[override]
        """Of the environment."""
        return self.about.observation_space

    @property
    def action_space(self) -> Space[Any]:  # type: ignore[override]
        """Of the environment."""
        return self.about.action_space

    @property
    def metadata(self) -> dict[str, Any]:  # type: ignore[override]
        """Of the environment."""
        return self.about.metadata

    @property
    def render_mode(self) -> str | None:  # type: ignore[override]
        """Of the environment."""
        return self.about.render_mode

    def get_wrapper_attr(self, name: str) -> Any:
        """An attribute of the environment or of what is wrapped around it."""
        return self._ask("get_wrapper_attr", {"name": name})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, in a new process if the last one is gone."""
        if self._worker.closed:
            self._start()
        self._decision, self._seed = 0, seed
        return self._ask("reset", {"seed": seed, "options": options})

    def step(self, action: Any) -> Step:
        """One decision."""
        self._decision += 1
        return self._ask("step", {"action": np.asarray(action)})

    def render(self) -> Any:
        """The picture of the present state."""
        return self._ask("render", {})

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def _ask(self, method: str, arguments: dict[str, Any]) -> Any:
        """Let the environment do something, and give back what it gave."""
        place = place_of(self._decision, self._seed)
        if self._worker.closed:
            raise fault(self._name, place, "its process is gone; reset it")
        _ = self.about  # which a new process says before anything else
        try:
            self._worker.ask((method, arguments))
        except Gone as end:
            raise self._died(place, end) from None
        return self._answer(place, self._limit)

    def _answer(self, place: str, seconds: float) -> Any:
        """What the process answers, or a fault if it does not."""
        try:
            if not self._worker.answered(seconds):
                self._worker.kill()
                raise fault(
                    self._name,
                    place,
                    f"no answer in {seconds:g} s, so its process was killed; mend the "
                    "environment, or raise env.step_seconds if it only is slow",
                )
            answer = self._worker.answer()
        except Gone as end:
            raise self._died(place, end) from None
        if isinstance(answer, Exception):
            if isinstance(answer, EnvError):
                self._worker.kill()  # who knows what state it is in
            raise answer
        return answer

    def _died(self, place: str, end: Gone) -> EnvError:
        """What became of the process, and what to do."""
        what = f"its process died ({end}); see above what it printed, and mend it"
        return fault(self._name, place, what)


def _serve(pipe: Connection, factory: Callable[[], Env]) -> None:
    """The other process: make the environment, and do what is asked."""
    try:
        env = factory()
        about = About(
            env.observation_space,
            env.action_space,
            env.metadata,
            env.render_mode,
        )
        pipe.send(about)
    except Exception as error:
        pipe.send(_portable(error))
        return
    while (request := pipe.recv()) is not None:
        method, arguments = request
        pipe.send(_result(getattr(env, method), arguments))
    env.close()


def _result(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What a call gives or raises."""
    try:
        return method(**arguments)
    except Exception as error:
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """An error that says the same, and that the other side knows."""
    for kind in (EnvError, ImportError, ValueError):
        if isinstance(error, kind):
            return kind(str(error))
    return EnvError(f"{type(error).__name__}: {error}")
