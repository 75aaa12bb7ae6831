"""Configuration: frozen dataclasses, checked when they are made.

The defaults are the preset ``paper``: the constants of the released code's last version
with the numbers of the camera-ready paper.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from planet_torch.nested import from_values
from planet_torch.ranges import (
    Count,
    Decay,
    Options,
    Positive,
    Range,
    Seed,
    Share,
    Weight,
    Whole,
)

LIMIT = 2**20  # bytes of a file of options
Method = Literal["cem", "random-shooting", "mppi", "icem"]
Compile = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class EnvConfig(Options):
    """The environment, beyond its name."""

    image_size: Count = 64
    """Height and width of the pictures."""
    renderer: Literal["raycast", "gl"] = "raycast"
    """raycast needs no OpenGL; gl gives dm_control's own pixels, as in the paper."""
    camera: Whole = 0
    """The number of the camera."""
    action_repeat: Count | None = None
    """Environment steps a decision; None is the task's own, as in the paper."""
    time_limit: Count | None = None
    """Environment steps an episode; None is the environment's own limit, or 1000."""
    observation: Literal["pixels", "state"] = "pixels"
    """state gives the task's own vector in place of pictures."""
    isolate: bool = False
    """A process of its own for each environment, restarted if it dies or hangs."""
    step_seconds: Positive = 60.0
    """Seconds for a decision, after which an isolated environment counts as hung."""


@dataclass(frozen=True)
class ModelConfig(Options):
    """The world model."""

    dynamics: Literal["rssm", "ssm", "rnn", "rnn-released", "drnn"] = "rssm"
    """The latent dynamics: both parts, stochastic only, deterministic only (as trained
    here, or by the released recipe, which also wants kl_weight 0); two GRUs."""
    stochastic_size: Count = 30
    """Width of the stochastic state."""
    belief_size: Count = 200
    """Width of the deterministic belief."""
    units: Count = 200
    """Width of the hidden layers of the dynamics."""
    min_stddev: Positive = 0.1
    """Added to every standard deviation of the state."""
    width: Count = 32
    """Channels of the first convolution; each further one has twice as many."""
    reward_layers: Whole = 3
    """Hidden layers of the reward head; the paper's text says 2."""
    reward_units: Count = 300
    """Their width; the paper's text says 200."""
    activation: Literal["relu", "elu", "silu"] = "relu"
    """What follows each hidden layer."""
    norm: Literal["none", "layer"] = "none"
    """layer puts layer normalisation before each activation."""
    candidate_starts: Literal["shared", "own"] = "shared"
    """The sample of the state from which the candidates of a plan start: one for all,
    or one for each, as in the paper's Algorithm 2."""
    image_bits: Annotated[int, Range(1, 8)] = 5
    """Bits a colour channel that the model sees."""


@dataclass(frozen=True)
class ObjectiveConfig(Options):
    """The terms of the bound, in nats."""

    observation_weight: Weight = 1.0
    """Weight of the observation term; smaller pictures want more."""
    decoded: Share = 1.0
    """Share of the rows that is decoded, drawn at random for each update."""
    reward_weight: Weight = 10.0
    """Weight of the reward term; 10 is in the released code, not in the paper."""
    reward_overshooting: Whole = 0
    """D, how many steps ahead rewards are predicted open loop; 0 is off."""
    reward_overshooting_weight: Weight = 100.0
    """Weight of these predictions."""
    reward_overshooting_starts: Count = 4
    """Rows of each chunk from which they start."""
    kl_weight: Weight = 1.0
    """Weight of the divergence of the posterior from the prior."""
    free_nats: Weight = 3.0
    """Nats of divergence that a row has for nothing."""
    kl_balance: Share | None = None
    """Share of the divergence's gradient that moves the prior; None is plain."""
    overshooting: Whole = 0
    """D, the distances of latent overshooting; 0 is the one-step bound. The divergences
    of all distances, each with its weight, are summed and divided by D (Eq. 7)."""
    overshooting_weight: Weight = 1.0
    """beta, the weight of each distance above 1; kl_weight is that of distance 1."""
    observation_overshooting: Whole = 0
    """D, how many steps ahead observations are predicted open loop; 0 is off."""
    observation_overshooting_weight: Weight = 1.0
    """Weight of these predictions."""
    observation_overshooting_decoded: Share = 0.1
    """Share of them that is decoded, drawn at random for each update."""
    global_prior_weight: Weight = 0.0
    """Weight of the divergence of the posterior from a standard normal; 0 is off."""
    value_discount: Decay = 0.0
    """Discount a decision of the value that is learned from the replay's rewards and
    added to the end of every imagined return, which is discounted too; 0 is off, plain
    sums of rewards, as in the paper."""
    value_of: Literal["behaviour", "greedy"] = "behaviour"
    """What that value foresees: that the agent goes on as it did in the replay, or with
    the best actions (Q-learning), as if it had always known what it knows now; then of
    imagined states, too, with reward_overshooting."""
    value_imagined: Whole = 0
    """H, steps of its own best actions, in imagination, that a greedy value is learned
    of, beside what was done in the replay; 0 is off."""
    value_imagined_starts: Count = 4
    """Rows of each chunk from which they start."""


@dataclass(frozen=True)
class OptimiserConfig(Options):
    """Adam, as TensorFlow's."""

    learning_rate: Positive = 1e-3
    """Adam's step size."""
    half_life: Count | None = None
    """Updates in which the learning rate halves, again and again; none keeps it, as in
    the paper."""
    halves_value: bool = True
    """Whether that of the value does so, too, or stays."""
    epsilon: Positive = 1e-4
    """Added to the root of the uncorrected second moment ("epsilon hat")."""
    gradient_clip: Positive = 1000.0
    """Largest norm of the whole gradient."""
    average: Decay = 0.0
    """Decay of the running average of the weights, with which the agent acts and
    foresees; 0 is the newest weights, as in the paper."""


@dataclass(frozen=True)
class PlannerConfig(Options):
    """The planner that takes every decision.

    An option that its method has no use for must be as by default.
    """

    method: Method = "cem"
    """How it searches; mppi and icem always begin at the previous plan."""
    horizon: Count = 12
    """H, decisions planned ahead."""
    candidates: Count = 1000
    """J, action sequences in each iteration (icem: in the first)."""
    elites: Count = 100
    """K, candidates that the next iteration is fitted to (cem, icem)."""
    iterations: Count = 10
    """I, refits of the search distribution (cem, mppi, icem)."""
    warm_start: bool = False
    """Begin at the previous plan, one decision on (cem)."""
    spread: Literal["population", "mean-absolute"] = "population"
    """Of the elites: standard deviation, or as the paper's box prints it (cem)."""
    sigma: Positive = 0.5
    """Standard deviation of the first candidates (mppi: of all)."""
    temperature: Positive = 0.5
    """Loss of return that divides the weight of a candidate by e (mppi)."""
    beta: Weight = 2.0
    """The power of the noise falls with frequency^-beta (icem)."""
    decay: Annotated[float, Range(1)] = 1.25
    """Each iteration has this factor fewer candidates (icem)."""
    kept_fraction: Annotated[float, Range(0, 1)] = 0.3
    """Part of the elites that stays among the candidates (icem)."""
    momentum: Annotated[float, Range(0, 1)] = 0.1
    """Part of the old mean and spread that a refit leaves, below 1 (icem)."""
    acts_on: Literal["samples", "means"] = "samples"
    """What the agent filters, and foresees when it plans: samples of the states, as in
    the paper, or their means, so that no noise blurs the returns of candidates."""
    value: bool = True
    """End imagined returns in the value, where one is learned; else they are sums of
    rewards, as in the paper, and the value is learned but not used."""
    proposals: Whole = 0
    """Plans by the greedy value, without a search, that compete with the candidates of
    every iteration."""
    decision_budget_ms: Positive | None = None
    """Milliseconds for a plan, which is then the best found; None is as long as it
    takes. Plans depend on the machine's speed, and runs do not repeat to the bit."""


@dataclass(frozen=True)
class TrainConfig(Options):
    """Algorithm 1."""

    episodes: Count = 1000
    """Episodes of each task, those of the start included; the run ends there."""
    seed_episodes: Count = 5
    """The first episodes of each task, random unless pretrained; part of episodes."""
    pretrained: str | None = None
    """The directory of an exported agent, or of a run, that this run begins with: its
    weights, and seed episodes that it collects; None is drawn weights and random
    actions, as in the paper."""
    random_actions: Literal["uniform", "bang-bang", "rhythmic"] = "uniform"
    """Those of seeds and of random collection; bang-bang: at the bounds, and held;
    rhythmic: to and fro between them."""
    updates: Count = 100
    """Updates of the model before each collected episode; with several tasks, so many
    for each of them, and then an episode of each."""
    batch: Count = 50
    """B, chunks in an update."""
    chunk: Count = 50
    """L, rows of a chunk."""
    shortest_chunk: Count | None = None
    """Each update has chunks of L, L/2, L/4 ... rows, drawn at random down to this
    length, and as many rows in all; None is L only, as in the paper."""
    carry_states: bool = False
    """Let chunks follow one another through episodes, each from the state in which the
    one before it ended; False is chunks from anywhere and the zero state, as in the
    paper."""
    collection: Literal["planned", "random"] = "planned"
    """How episodes are collected: the agent plans, or acts at random; an evaluation
    plans in any case."""
    exploration: Weight = 0.3
    """Standard deviation of the noise on the actions of planned episodes."""
    exploration_half_life: Count | None = None
    """Collected episodes of each task in which it halves, again and again; None keeps
    it, as in the paper."""
    evaluate_every: Count = 10
    """Collected episodes of each task between evaluations."""
    evaluation_episodes: Count = 10
    """Episodes of each task in an evaluation, without noise; never trained on."""
    checkpoint_every: Count = 1
    """Collected episodes of each task between checkpoints."""
    keep_checkpoints: Count = 2
    """Checkpoints that are kept, from the newest."""
    replay_frames: Count | None = None
    """Most frames in the replay; older episodes are deleted. None keeps them all."""
    on_nan: Literal["stop", "skip"] = "stop"
    """What to do with an update or episode that is not finite; skip drops it."""
    parallel: bool = False
    """Collect each episode in a process of its own, beside the updates before it, so
    with the weights from before them; False is in turn, as in the paper."""
    threads: Whole = 0
    """Threads for a tensor operation; 0 is one for each core there is, but for the one
    that a process which collects has, if parallel."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """bf16 rounds the inputs of the products in encoder, decoder and plans, which is
    faster where the hardware has it; auto is bf16 there, and fp32 elsewhere."""
    compile: Compile = "auto"
    """Compile the time loops and networks, which takes minutes once; auto is on with
    a GPU. Without a working compiler the run goes on without."""
    device: str = "cpu"
    """Where the model lives: cpu, cuda, cuda:1, mps."""


@dataclass(frozen=True)
class Config(Options):
    """All that a run depends on."""

    task: str = ""
    """Such as dmc/cartpole-swingup, gym/Pendulum-v1 or package.module:factory; several
    with commas between them are learned by one agent."""
    seed: Seed = 0
    """The one seed, from which every random stream is spawned."""
    env: EnvConfig = field(default_factory=EnvConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names in ``task``."""
        return tuple(name.strip() for name in self.task.split(","))


def save(config: Config, path: Path) -> None:
    """Write every option of a config as JSON."""
    path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def load(path: Path) -> Config:
    """Read a config that ``save`` wrote; equal to the one saved.

    Raises:
        ValueError: if an option is unknown, of another type, or out of range.
    """
    try:
        if path.stat().st_size > LIMIT:
            raise ValueError(f"it has more than {LIMIT} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a config: {error}") from error
    return stored(values, path)


def stored(values: object, path: Path) -> Config:
    """A config from what a file holds, which the error names; raises as ``load``."""
    try:
        return parse(values)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}; was it written by another version of planet-torch?"
        ) from error


def parse(values: object) -> Config:
    """A config from the nested values that ``save`` writes; raises as ``load``."""
    return from_values(Config, values)
