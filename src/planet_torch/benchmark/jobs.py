"""What is timed, by a process that is told through its standard input.

    python -m planet_torch.benchmark.jobs config.json [plain]

prints the names of the jobs as JSON, and then one measurement for each name it reads.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import SyncVectorEnv
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from planet_torch import build, build_envs, build_model, config
from planet_torch.agent import PlanetAgent
from planet_torch.benchmark.plain import Plain
from planet_torch.build_envs import Spaces
from planet_torch.chunk import Chunk, Episode
from planet_torch.config import Config
from planet_torch.cores import use_threads
from planet_torch.envs.checked import EnvError
from planet_torch.estimate import scratch_trainer
from planet_torch.memory import peak_memory
from planet_torch.replay import Replay
from planet_torch.trainer import Trainer

EPISODES = 20  # in the replay that is sampled
FRAMES = 20  # in a measurement of an environment


@dataclass(frozen=True)
class Job:
    """Something to time: ``count`` times ``unit`` in a call."""

    unit: str
    count: int
    run: Callable[[], object]


class Stopwatch:
    """The seconds spent in named parts since it was last read."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = {}

    def read(self) -> dict[str, float]:
        """The seconds of each part; it starts from zero again."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def wait(self) -> None:
        """Wait for what a GPU still has to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens inside as this part."""
        start = time.perf_counter()
        yield
        self.wait()
        spent = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def watch(self, owner: object, method: str, name: str) -> None:
        """Count the calls of a method of this object as a part.

        Not those from inside a compiled part, which a clock would break in two.
        """
        function = getattr(owner, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return function(*args, **kwargs)
            with self.part(name):
                return function(*args, **kwargs)

        setattr(owner, method, watched)


@contextmanager
def jobs(config_: Config, watch: Stopwatch) -> Iterator[dict[str, Job]]:
    """The jobs of this package with a config: what its trainer does."""
    with scratch_trainer(config_) as trainer:
        found = dict(environment_jobs(config_))
        train, spaces = config_.train, trainer.spaces
        rows = episode_rows(trainer.envs[trainer.tasks[0]], train.chunk)
        fill(trainer.replay, spaces, rows)
        generator = torch.Generator().manual_seed(0)
        sample = partial(trainer.replay.sample, train.batch, train.chunk, generator)
        found["replay"] = Job("batches", 1, sample)
        found["update"] = Job("updates", 1, updater(trainer, sample(), watch))
        stream = torch.Generator(train.device).manual_seed(0)
        for count in (1, 10):
            agent = build.agent(config_, spaces, trainer.world_model, stream)
            found[f"decision, {count} at once"] = decider(agent, sample(), count)
        yield found


def environment_jobs(config_: Config) -> Iterator[tuple[str, Job]]:
    """Decisions in one environment, pictures included, by each renderer there is."""
    variants = {"": config_.env}
    if config_.task.startswith("dmc/"):
        variants = {
            "raycast": replace(config_.env, renderer="raycast"),
            "gl": replace(config_.env, renderer="gl"),
        }
    for name, env in variants.items():
        try:
            envs = build_envs.environments(
                replace(config_, env=env), config_.tasks[0], 1
            )
            envs.reset(seed=0)
        except (ImportError, RuntimeError, AttributeError, OSError):
            if name != "gl":
                raise
            continue  # a machine without OpenGL
        action = np.zeros_like(envs.action_space.sample())

        def run(envs: Any = envs, action: np.ndarray = action) -> None:
            for _ in range(FRAMES):
                envs.step(action)

        yield f"environment {name}".strip(), Job("frames", FRAMES, run)


def episode_rows(envs: SyncVectorEnv, chunk: int) -> int:
    """The rows of an episode, or of a chunk if that is longer."""
    return max(build_envs.decisions(envs) + 1, chunk)


def fill(replay: Replay, spaces: Spaces, rows: int) -> None:
    """Add random episodes of so many rows to a replay."""
    random = np.random.default_rng(0)
    shape = (rows, *spaces.observation)
    for _ in range(EPISODES):
        pictures = random.integers(0, 256, shape, dtype=np.uint8)
        seen = pictures if len(shape) == 4 else pictures.astype(np.float32) / 256
        action = random.uniform(-1, 1, (rows, spaces.action_size)).astype(np.float32)
        reward = random.uniform(0, 1, rows).astype(np.float32)
        action[0], reward[0] = 0, 0
        replay.add(Episode(seen, action, reward))


def updater(trainer: Trainer, chunk: Chunk, watch: Stopwatch) -> Callable[[], None]:
    """An update from this chunk by the trainer itself, in parts.

    Those that belong to no object of its own are watched in the whole process.
    """
    model = trainer.world_model
    watch.watch(model, "prepare", "prepare")
    watch.watch(model.encoder, "forward", "encode")
    watch.watch(model.dynamics, "observe", "dynamics")
    watch.watch(model.decoder, "forward", "decode")
    watch.watch(model.reward, "forward", "reward")
    watch.watch(model, "follow_critic", "follow critic")
    watch.watch(torch.Tensor, "backward", "backward")
    watch.watch(nn.utils, "clip_grad_norm_", "clip")
    watch.watch(trainer.optimiser, "step", "optimiser")
    return partial(trainer.learn, chunk.to(trainer.config.train.device), None)


def decider(agent: PlanetAgent, chunk: Chunk, count: int) -> Job:
    """Decisions for several environments at once."""
    rows = chunk.observation.flatten(0, 1)
    seen = rows[torch.arange(count) % len(rows)].numpy()
    agent.reset(count)
    return Job("decisions", count, lambda: agent.act(seen))


@contextmanager
def plain_jobs(config_: Config, watch: Stopwatch) -> Iterator[dict[str, Job]]:
    """The jobs of the reference loops."""
    use_threads(config_.train.threads)
    train, adam = config_.train, config_.optimiser
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(build_envs.environments(config_, config_.tasks[0], 1)) as envs,
    ):
        spaces, replay = build_envs.spaces(config_), Replay(Path(scratch))
        fill(replay, spaces, episode_rows(envs, train.chunk))
        chunk = replay.sample(train.batch, train.chunk, torch.Generator())
    chunk = chunk.to(train.device)
    torch.manual_seed(0)
    plain = Plain(config_, spaces).to(train.device)
    optimiser = torch.optim.Adam(
        plain.parameters(), lr=adam.learning_rate, eps=adam.epsilon
    )
    rule = get_ema_multi_avg_fn(adam.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(plain, multi_avg_fn=rule)

    def update() -> None:
        loss = plain.loss(chunk.observation, chunk.action, chunk.reward)
        optimiser.zero_grad()
        with watch.part("backward"):
            loss.backward()  # type: ignore[no-untyped-call]
        with watch.part("clip"):
            nn.utils.clip_grad_norm_(plain.parameters(), adam.gradient_clip)
        with watch.part("optimiser"):
            optimiser.step()
        average.update_parameters(plain)

    found = {"update": Job("updates", 1, update)}
    images = chunk.observation.flatten(0, 1)
    for count in (1, 10):
        seen = images[torch.arange(count) % len(images)]
        act = lambda seen=seen: plain.act(seen)  # noqa: E731
        found[f"decision, {count} at once"] = Job("decisions", count, act)
    yield found


def measure(job: Job, watch: Stopwatch) -> dict[str, Any]:
    """Seconds by the clock and of the processor, parts, and memory so far."""
    watch.read()
    start, cpu = time.perf_counter(), time.process_time()
    job.run()
    watch.wait()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpu": cpu,
        "parts": watch.read(),
        "peak_mib": peak_memory() / 2**20,
    }


def main(path: str, kind: str = "") -> None:
    """Answer what the standard input asks, or why that cannot be done."""
    try:
        answer(path, kind)
    except Exception as error:
        print(json.dumps({"failed": str(error) or repr(error)}), flush=True)
        if not isinstance(error, ValueError | ImportError | OSError | EnvError):
            raise  # where it comes from is of use, too
        sys.exit(1)


def answer(path: str, kind: str) -> None:
    """Tell the jobs, and measure each that is asked for."""
    config_ = config.load(Path(path))
    watch = Stopwatch(config_.train.device)
    make_jobs = plain_jobs if kind else jobs
    with make_jobs(config_, watch) as found:
        names = {name: [job.unit, job.count] for name, job in found.items()}
        about = {
            "jobs": names,
            "threads": torch.get_num_threads(),
            "dtype": str(torch.float32 if kind else build_model.dtype(config_)),
        }
        print(json.dumps(about), flush=True)
        for line in sys.stdin:
            print(json.dumps(measure(found[line.strip()], watch)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
