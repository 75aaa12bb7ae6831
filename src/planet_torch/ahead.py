"""Episodes collected in a process of their own, while the model is being updated.

They begin before the updates do, so they are by the weights from before them: one
iteration older than those that Algorithm 1 collects with. Nothing depends on which of
the two ends first, so a run repeats to the bit, and goes on to the bits it would have
had, whenever it is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv

from planet_torch import build, build_envs, build_model
from planet_torch.agent import Agent
from planet_torch.attempts import OnDecision
from planet_torch.build_envs import Spaces
from planet_torch.collector import Collector, InTurn, Played, play
from planet_torch.compilation import compile_parts
from planet_torch.config import Config
from planet_torch.envs.checked import EnvError
from planet_torch.worker import Gone, Worker
from planet_torch.world_model import WorldModel

POLL_SECONDS = 0.1  # between looks at whether the run is to stop


@dataclass(frozen=True)
class Request:
    """Episodes to play, one after another.

    Attributes:
        weights: of the world model that acts, by name.
        noise: state of the stream of the agent's randomness.
        collected: how many episodes of each task there were before.
        episodes: the task and the seed of each.
    """

    weights: Mapping[str, np.ndarray]
    noise: np.ndarray
    collected: int
    episodes: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Answer:
    """An episode as it was played, and the state of the stream after it."""

    played: Played
    noise: np.ndarray


class Ahead:
    """Plays episodes ahead of when they are wanted, by a copy of the weights.

    Args:
        config: of the run.
        spaces: of its tasks.
        model: that is copied when an iteration begins.
        stream: of the agent's randomness; moved on by each episode that is handed over,
            and by nothing else.
        check: is called while waiting, and may raise.

    Attributes:
        weights: those that act in this iteration; None between iterations.
    """

    def __init__(
        self,
        config: Config,
        spaces: Spaces,
        model: WorldModel,
        stream: torch.Generator,
        check: Callable[[], None],
    ) -> None:
        self.config, self.spaces, self.model = config, spaces, model
        self.stream, self.check = stream, check
        self.weights: Mapping[str, torch.Tensor] | None = None
        self._collected = 0
        self._asked: list[tuple[str, int]] = []
        self._ready: list[Answer | Exception] = []
        self._worker: Worker | None = None

    def begin(self, tasks: Sequence[str], seeds: Sequence[int], collected: int) -> None:
        """Begin to play an episode of each task, by the weights as they are now.

        Or by those that the iteration began with, if the run was stopped since.
        """
        self._collected = collected
        if self.weights is None:
            now = self.model.state_dict().items()
            self.weights = {name: weight.clone() for name, weight in now}
        # Of a process that died while it was idle ``play`` asks again, and there a
        # death is an accident, after which an episode may be begun again.
        with suppress(EnvError):
            self._ask(list(zip(tasks, seeds, strict=True)))

    def play(self, task: str, seeds: list[int], on_decision: OnDecision) -> Played:
        """The episode of a task with one seed; if none such was begun, it is now.

        Raises:
            EnvError: if the environment fails, or the process.
            NotFiniteError: at a number that is not finite.
        """
        (seed,) = seeds
        if self._asked[:1] != [(task, seed)]:
            self._ask([(task, seed)])
        answer = self._answer()
        if isinstance(answer, Exception):
            self._asked = []
            raise answer
        self._asked.pop(0)
        self.stream.set_state(torch.from_numpy(answer.noise))
        return answer.played

    def finish(self) -> None:
        """The iteration is over: the next one begins with newer weights."""
        self.weights = None

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._worker is not None:
            self._worker.kill()

    def _ask(self, episodes: list[tuple[str, int]]) -> None:
        """Have these episodes played, and nothing else any more."""
        assert self.weights is not None, "begun before"
        if self._asked and not self._ready:
            self.close()  # it is busy with what nobody wants
        arrays = {name: weight.cpu().numpy() for name, weight in self.weights.items()}
        noise = self.stream.get_state().numpy()
        request = Request(arrays, noise, self._collected, episodes)
        self._asked, self._ready = list(episodes), []
        try:
            self._open_worker().ask(request)
        except Gone as end:
            self._asked = []
            raise _died(end) from None

    def _open_worker(self) -> Worker:
        """The process, which is started if there is none."""
        if self._worker is None or self._worker.closed:
            arguments = (serve, self.config, self.spaces)
            self._worker = Worker(*arguments, daemon=not self.config.env.isolate)
        return self._worker

    def _answer(self) -> Answer | Exception:
        """The next episode, or what became of it."""
        worker = self._open_worker()
        if not self._ready:
            while not worker.answered(POLL_SECONDS):
                self.check()
            try:
                self._ready = worker.answer()
            except Gone as end:
                return _died(end)
        return self._ready.pop(0)


def collector(
    config: Config,
    spaces: Spaces,
    model: WorldModel,
    envs: Mapping[str, SyncVectorEnv],
    stream: torch.Generator,
    check: Callable[[], None],
) -> Collector:
    """The collector that a config asks for."""
    if config.train.parallel:
        return Ahead(config, spaces, model, stream, check)
    return InTurn(config, spaces, model, envs, stream)


def _died(end: Gone) -> EnvError:
    """What to say of a process that is gone."""
    return EnvError(
        f"the process that collects episodes died ({end}); see above what it printed. "
        "The run goes on without it by --train.parallel False --override train.parallel"
    )


def serve(pipe: Connection, config: Config, spaces: Spaces) -> None:
    """The other process: play what is asked."""
    build.prepare_torch(config, "collect")
    model = build_model.world_model(config, spaces).requires_grad_(False)
    compile_parts(model, config.train.compile)
    stream = torch.Generator(config.train.device)
    agent_after = partial(build.collector, config, spaces, model, stream)
    with ExitStack() as stack:
        envs = {
            task: stack.enter_context(
                closing(build_envs.environments(config, task, 1, spaces))
            )
            for task in config.tasks
        }
        while (request := pipe.recv()) is not None:
            weights = request.weights.items()
            model.load_state_dict({k: torch.from_numpy(v) for k, v in weights})
            stream.set_state(torch.from_numpy(request.noise))
            agent = agent_after(request.collected)
            pipe.send(_answers(request, envs, agent, stream))


def _answers(
    request: Request,
    envs: Mapping[str, SyncVectorEnv],
    agent: Agent,
    stream: torch.Generator,
) -> list[Answer | Exception]:
    """The episodes of a request, up to the first that fails."""
    answers: list[Answer | Exception] = []
    for task, seed in request.episodes:
        try:
            played = play(envs, agent, task, [seed])
        except (EnvError, FloatingPointError) as error:
            return [*answers, error]
        answers.append(Answer(played, stream.get_state().numpy()))
    return answers
