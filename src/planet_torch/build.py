"""From a config to the parts of a run.

``build_envs`` has its environments, ``build_model`` the model and its loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from planet_torch import build_envs, checkpoint
from planet_torch.agent import (
    Agent,
    BangBangAgent,
    PlanetAgent,
    RandomAgent,
    RhythmicAgent,
)
from planet_torch.batches import Apart, Batches, Successive
from planet_torch.build_envs import Spaces
from planet_torch.build_model import check_weights, objective_terms, world_model
from planet_torch.chunk import mixed_lengths
from planet_torch.config import Config, Method, PlannerConfig, parse
from planet_torch.cores import use_threads
from planet_torch.memory import keep_freed_memory
from planet_torch.planners import CEM, ICEM, MPPI, Planner, RandomShooting
from planet_torch.replay import Replay
from planet_torch.world_model import WorldModel

PLANNERS: dict[str, type[Planner]] = {
    "cem": CEM,
    "random-shooting": RandomShooting,
    "mppi": MPPI,
    "icem": ICEM,
}
RANDOM_AGENTS = {
    "uniform": RandomAgent,
    "bang-bang": BangBangAgent,
    "rhythmic": RhythmicAgent,
}
PRIOR_TERMS = (  # with a gradient for the prior
    *("kl_weight", "overshooting", "observation_overshooting"),
    "reward_overshooting",
)
OF_THE_MODEL = ("acts_on", "value", "proposals")  # what is searched, not how


def prepare_torch(
    config: Config, does: Literal["all", "fit", "collect"] = "all"
) -> None:
    """Use as many threads as the config says, and see that its device is there.

    Memory that tensors give back is kept for the next ones.

    Args:
        config: of the run.
        does: what this process does of it. One that only collects has one thread, and
            one that fits beside it leaves it a core.

    Raises:
        ValueError: if the device is not there.
    """
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32, on a GPU, too
    beside = does == "fit" and config.train.parallel
    use_threads(config.train.threads or int(does == "collect"), spare=int(beside))
    try:
        torch.zeros((), device=config.train.device)
    # What torch raises for a device that is unknown, not compiled in or not plugged in.
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"train.device (={config.train.device!r}) cannot be used: {reason}"
        ) from error


def check(config: Config, begun: bool = False) -> None:
    """Raise what building the parts of a run raises, before there is a run.

    Args:
        config: of the run.
        begun: whether there is one, which has its first weights already.

    Raises:
        ValueError: if an option, or two together, cannot be.
        ImportError: if what an environment needs is not installed.
        EnvError: if one cannot begin an episode.
    """
    parse(asdict(config))  # what Python lets through, a command would not
    prepare_torch(config)
    of = build_envs.spaces(config, begin=not begun)
    _check_lengths(config)
    planner(config)
    world_model(config, of)
    if not begun:
        pretrained(config, of)
        _check_pictures(config)
    objective_terms(config)
    _check_recipe(config)


def _check_recipe(config: Config) -> None:
    """Raise ValueError if a term would train the prior of the released RNN."""
    training = [
        f"objective.{name} (={getattr(config.objective, name):g})"
        for name in PRIOR_TERMS
        if getattr(config.objective, name)
    ]
    if config.model.dynamics == "rnn-released" and training:
        raise ValueError(
            "model.dynamics 'rnn-released' is a recipe whose prior is not trained: it "
            f"wants 0 for {' and '.join(training)}; 'rnn' trains its prior"
        )


def _check_pictures(config: Config) -> None:
    """Raise ValueError if it says how dm_control draws, and that draws nothing."""
    drawn = any(task.startswith("dmc/") for task in config.tasks)
    if drawn and config.env.observation == "pixels":
        return
    why = "has an effect on pictures of dmc/ tasks alone"
    _refuse("env", asdict(config.env), ("renderer", "camera"), why)


def _check_lengths(config: Config) -> None:
    """Raise ValueError if a part is longer than the whole that it is cut from."""
    train = config.train
    if train.episodes <= train.seed_episodes:
        raise ValueError(
            f"train.episodes (={train.episodes}) includes the seed episodes, so it "
            f"must be more than train.seed_episodes (={train.seed_episodes})"
        )
    if (train.shortest_chunk or 0) > train.chunk:
        raise ValueError(
            f"train.shortest_chunk (={train.shortest_chunk}) must be at most "
            f"train.chunk (={train.chunk})"
        )
    if train.carry_states and train.shortest_chunk is not None:
        raise ValueError(
            "train.carry_states lets chunks of one length follow one another, so it "
            f"goes without train.shortest_chunk (={train.shortest_chunk})"
        )


def planner(config: Config) -> Planner:
    """The planner that takes every decision.

    Raises:
        ValueError: for an option that cannot be, or that the method has no use for.
    """
    return _planner(**asdict(config.planner))


def simulator_planner(config: Config) -> Planner:
    """The planner of an agent that has the true simulator, and learns nothing.

    Raises:
        ValueError: for an option that cannot be, or that has no effect then.
    """
    why = "has no effect on planning with the true simulator"
    _refuse("planner", asdict(config.planner), OF_THE_MODEL, why)
    return planner(config)


def _refuse(
    group: str,
    options: Mapping[str, Any],
    unused: Iterable[str],
    why: str,
    instead: str = "",
) -> None:
    """Raise ValueError if an unused option of a group is not as by default."""
    defaults = asdict(getattr(Config(), group))
    for name in unused:
        if options[name] != defaults[name]:
            raise ValueError(
                f"{group}.{name} (={options[name]!r}) {why}; leave it at "
                f"{defaults[name]!r}{instead}"
            )


def _planner(method: str, **options: Any) -> Planner:
    """The planner of a method, with the options that it has."""
    other = ", or choose another planner.method"
    why = f"has no effect on {method}"
    _refuse("planner", options, _ignored_by(method), why, other)
    return PLANNERS[method](**_searching(method, options))


def used(options: PlannerConfig) -> dict[str, Any]:
    """The options of a search that its method has a use for, and the method."""
    return _searching(options.method, asdict(options))


def _searching(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the planner of a method has."""
    unused = {*OF_THE_MODEL, *_ignored_by(method)}
    return {name: value for name, value in options.items() if name not in unused}


def with_method(options: PlannerConfig, method: Method) -> PlannerConfig:
    """The same options for another method; what it has no use for is as by default."""
    return replace(options, method=method, **_ignored_by(method))


def _ignored_by(method: str) -> dict[str, Any]:
    """The options that a method has no use for, with their defaults."""
    own = (option.name for option in fields(PLANNERS[method]))
    known = {"method", *OF_THE_MODEL, *own}
    defaults = asdict(PlannerConfig())
    return {name: value for name, value in defaults.items() if name not in known}


def batches(config: Config, replay: Replay, model: WorldModel) -> Batches:
    """Where the chunks come from that a model learns of."""
    train = config.train
    shape = train.batch, train.chunk
    if train.carry_states:
        return Successive(replay, *shape, model.dynamics.initial)
    shortest = train.shortest_chunk
    return Apart(
        replay, [shape] if shortest is None else mixed_lengths(*shape, shortest)
    )


def pretrained(config: Config, spaces: Spaces) -> Mapping[str, Tensor] | None:
    """The weights that a run begins with; None if they are drawn.

    Raises:
        ValueError: if there are none, or those of another model.
    """
    if config.train.pretrained is None:
        return None
    option = f"train.pretrained (={config.train.pretrained!r})"
    content = checkpoint.newest(Path(config.train.pretrained), config.train.device)
    if content is None:
        raise ValueError(
            f"{option} holds no trained agent; give the directory of a run, or of an "
            "agent that planet export wrote"
        )
    with checkpoint.fitting(f"{option}, whose options are in its config.json,"):
        weights: Mapping[str, Tensor] = content["average"]
        check_weights(config, spaces, weights)
    return weights


def agent(
    config: Config,
    spaces: Spaces,
    model: WorldModel,
    generator: torch.Generator,
    exploration: float = 0.0,
) -> PlanetAgent:
    """The agent that plans in a world model."""
    return PlanetAgent(
        model,
        planner(config),
        spaces.observation,
        spaces.action_size,
        generator,
        exploration,
        config.planner.proposals,
    )


def collector(
    config: Config,
    spaces: Spaces,
    model: WorldModel,
    generator: torch.Generator,
    collected: int = 0,
) -> Agent:
    """The agent whose episodes are learned from, after the seed episodes.

    Its noise is that of an episode after so many ``collected`` ones of each task.
    """
    train = config.train
    if train.collection == "random":
        return random_agent(config, spaces, generator)
    half_life = train.exploration_half_life
    halvings = collected / half_life if half_life else 0.0
    return agent(config, spaces, model, generator, train.exploration * 0.5**halvings)


def beginner(
    config: Config,
    spaces: Spaces,
    model: WorldModel,
    streams: Mapping[str, torch.Generator],
) -> tuple[str, Agent]:
    """The agent of the seed episodes, and what they are recorded as.

    It acts at random, or as the agent that the run begins with.
    """
    if config.train.pretrained is None:
        return "seed", random_agent(config, spaces, streams["environment"])
    return "collect", collector(config, spaces, model, streams["exploration"])


def random_agent(
    config: Config, spaces: Spaces, generator: torch.Generator
) -> RandomAgent:
    """The agent that acts at random."""
    kind = RANDOM_AGENTS[config.train.random_actions]
    return kind(spaces.action_size, generator)
