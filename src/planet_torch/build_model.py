"""From a config to what learns: world model, terms of its loss, optimiser."""

from __future__ import annotations

import functools
import platform
import warnings
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from planet_torch.build_envs import Spaces
from planet_torch.chunk import mixed_lengths
from planet_torch.config import Config, ModelConfig, ObjectiveConfig, TrainConfig
from planet_torch.critic import Critic
from planet_torch.drnn import DRNN
from planet_torch.dynamics import Sizes
from planet_torch.networks import MLP, ConvDecoder, ConvEncoder, Style
from planet_torch.objectives import (
    Divergence,
    GlobalPrior,
    Observation,
    Reward,
    RewardOvershooting,
    Term,
)
from planet_torch.optimiser import Adam
from planet_torch.overshooting import LatentOvershooting, ObservationOvershooting
from planet_torch.recurrent import RNN, RSSM, ReleasedRNN
from planet_torch.ssm import SSM
from planet_torch.value import GreedyValue, ImaginedValue, Value
from planet_torch.world_model import WorldModel

DYNAMICS: dict[str, type[RSSM | SSM | RNN | ReleasedRNN | DRNN]] = {
    "rssm": RSSM,
    "ssm": SSM,
    "rnn": RNN,
    "rnn-released": ReleasedRNN,
    "drnn": DRNN,
}


def world_model(config: Config, spaces: Spaces) -> WorldModel:
    """The world model for the spaces of the tasks.

    Raises:
        ValueError: if two options do not go together.
    """
    check(config)
    model = config.model
    encoder, embedding_size = _encoder(model, spaces.observation)
    dynamics = DYNAMICS[model.dynamics](
        Sizes(
            spaces.action_size,
            embedding_size,
            stochastic_size=model.stochastic_size,
            belief_size=model.belief_size,
            units=model.units,
            min_stddev=model.min_stddev,
            **_style(model),
        )
    )
    features = dynamics.feature_size
    decoder = _decoder(model, features, spaces.observation)
    discount = config.objective.value_discount
    built = WorldModel(
        encoder,
        dynamics,
        decoder,
        scalar_head(model, features),
        _value_head(config, features, spaces.action_size),
        discount=discount or 1.0,
        own_starts=model.candidate_starts == "own",
        acts_on_means=config.planner.acts_on == "means",
        plans_to_value=config.planner.value,
        image_bits=model.image_bits,
        dtype=dtype(config),
    )
    return built.to(config.train.device)


def check(config: Config) -> None:
    """Raise ValueError if two options of a model do not go together."""
    _check_value(config)
    starts, dynamics = config.model.candidate_starts, config.model.dynamics
    chosen = (("model.dynamics", dynamics), ("planner.acts_on", config.planner.acts_on))
    alike = {  # why candidates would start alike
        "drnn": "whose belief has read the sample already",
        "rnn": "which has no samples",
        "rnn-released": "which has no samples",
        "means": "where all candidates start from the mean",
    }
    for option, value in chosen:
        if starts == "own" and value in alike:
            raise ValueError(
                f"model.candidate_starts 'own' has no meaning for {option} {value!r}, "
                f"{alike[value]}; leave it at 'shared'"
            )


def _check_value(config: Config) -> None:
    """Raise ValueError at what only a value has a use for, if there is none."""
    plans, adam, objective = config.planner, config.optimiser, config.objective
    for option, value, default in (
        ("planner.value", plans.value, True),
        ("optimiser.halves_value", adam.halves_value, True),
        ("objective.value_of", objective.value_of, "behaviour"),
    ):
        if value != default and not objective.value_discount:
            raise ValueError(
                f"{option} (={value!r}) has no effect where no value is learned "
                f"(objective.value_discount 0); leave it at {default!r}"
            )
    if not adam.halves_value and adam.half_life is None:
        raise ValueError(
            "optimiser.halves_value (=False) has no effect where no rate halves "
            "(optimiser.half_life None); leave it at True"
        )
    for option, wanted, use in (
        ("planner.proposals", plans.proposals, "are by"),
        ("objective.value_imagined", objective.value_imagined, "is of"),
    ):
        if wanted and objective.value_of != "greedy":
            raise ValueError(
                f"{option} (={wanted}) {use} a greedy value, and none is learned "
                "(objective.value_of 'behaviour'); leave it at 0"
            )


def learned(
    config: Config, spaces: Spaces, weights: Mapping[str, Tensor]
) -> WorldModel:
    """The world model with weights that were learned, to act and foresee with.

    Raises:
        ValueError: if they are those of another model. Nothing is allocated for this
            one before that is known, however large the config says that it is.
    """
    check_weights(config, spaces, weights)
    model = world_model(config, spaces)
    model.load_state_dict(weights)
    return model.eval()


def check_weights(
    config: Config, spaces: Spaces, weights: Mapping[str, Tensor]
) -> None:
    """Raise ValueError if the weights are those of another world model."""
    nowhere = replace(config, train=replace(config.train, device="meta"))
    with torch.device("meta"):
        wanted = _shapes(world_model(nowhere, spaces).state_dict())
    given = _shapes(weights)
    for name in sorted(wanted.keys() | given.keys()):
        shape, right = given.get(name, "missing"), wanted.get(name, "none")
        if shape != right:
            raise ValueError(f"the weight {name} is {shape}, but should be {right}")


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """The shapes of weights, by their names, such as "3 x 4"."""
    return {k: " x ".join(map(str, v.shape)) or "one" for k, v in weights.items()}


def scalar_head(model: ModelConfig, features: int) -> MLP:
    """What gives a reward or a value."""
    layers, units = model.reward_layers, model.reward_units
    return MLP(features, 1, layers=layers, units=units, **_style(model))


def _value_head(config: Config, features: int, action_size: int) -> nn.Module | None:
    """What gives the value that is learned, if one is."""
    model, objective = config.model, config.objective
    if not objective.value_discount:
        return None
    if objective.value_of == "behaviour":
        return scalar_head(model, features)
    layers, units = model.reward_layers, model.reward_units
    return Critic(features, action_size, layers=layers, units=units, **_style(model))


def dtype(config: Config) -> torch.dtype:
    """The numbers that products are computed in.

    Warns:
        UserWarning: if they are to be bfloat16 and the processor has no such products.
    """
    wanted = config.train.precision
    if wanted == "fp32":
        return torch.float32
    native = _has_bf16(torch.device(config.train.device).type)
    if wanted == "bf16" and native is False:
        warn_of_emulation()
    return torch.bfloat16 if wanted == "bf16" or native else torch.float32


@functools.cache  # a run builds several models
def warn_of_emulation() -> None:
    """Say once that bfloat16 is not what makes it faster here."""
    warnings.warn(
        "train.precision (='bf16') is emulated by this processor, which takes several "
        "times as long as 'fp32'; 'auto' is bf16 only where it is native",
        stacklevel=3,
    )


def _has_bf16(kind: str) -> bool | None:
    """Has this kind of device products of bfloat16? None is: it does not tell."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu" and platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_avx512_bf16_supported()  # no public name in torch 2.6
    return None


def _encoder(model: ModelConfig, shape: tuple[int, ...]) -> tuple[nn.Module, int]:
    """The encoder of pictures or vectors, and the width of its embeddings."""
    style = _style(model)
    if len(shape) == 3:
        encoder = ConvEncoder(_channels_first(shape), width=model.width, **style)
        return encoder, encoder.embedding_size
    mlp = MLP(shape[0], model.units, layers=2, units=model.units, **style)
    return mlp, model.units


def _decoder(model: ModelConfig, features: int, shape: tuple[int, ...]) -> nn.Module:
    """The decoder to pictures or vectors."""
    style = _style(model)
    if len(shape) == 3:
        return ConvDecoder(features, _channels_first(shape), width=model.width, **style)
    return MLP(features, shape[0], layers=2, units=model.units, **style)


def _style(model: ModelConfig) -> Style:
    return {"activation": model.activation, "norm": model.norm}


def _channels_first(shape: tuple[int, ...]) -> tuple[int, int, int]:
    height, width, channels = shape
    return channels, height, width


def objective_terms(config: Config) -> list[Term]:
    """The terms of the loss.

    Raises:
        ValueError: if a distance to predict ahead does not fit in a chunk.
    """
    weights = config.objective
    _check_distances(weights, config.train)
    terms: list[Term] = [
        Observation(weights.observation_weight, weights.decoded),
        Reward(weights.reward_weight),
        _divergence(weights),
    ]
    if weights.reward_overshooting:
        terms.append(
            RewardOvershooting(
                weights.reward_overshooting_weight,
                weights.reward_overshooting,
                weights.reward_overshooting_starts,
            )
        )
    if weights.observation_overshooting:
        terms.append(
            ObservationOvershooting(
                weights.observation_overshooting,
                weights.observation_overshooting_decoded,
                weights.observation_overshooting_weight,
            )
        )
    if weights.global_prior_weight:
        terms.append(GlobalPrior(weights.global_prior_weight))
    if weights.value_discount:
        terms.append(_value(weights))
    if weights.value_imagined:
        distance, starts = weights.value_imagined, weights.value_imagined_starts
        terms.append(ImaginedValue(distance=distance, starts=starts))
    return terms


def _value(weights: ObjectiveConfig) -> Term:
    """What the value learns from."""
    if weights.value_of == "behaviour":
        return Value()
    # Imagined states are what the critic would do or, without that, what was done.
    distance = 0 if weights.value_imagined else weights.reward_overshooting
    return GreedyValue(distance=distance, starts=weights.reward_overshooting_starts)


def _check_distances(weights: ObjectiveConfig, train: TrainConfig) -> None:
    """Refuse to look further ahead than chunks are long, before anything is run."""
    option, rows = "chunk", train.chunk
    if train.shortest_chunk is not None:
        option = "shortest_chunk"
        rows = mixed_lengths(train.batch, rows, train.shortest_chunk)[-1][1]
    # What is foreseen of a row is compared with it, and by a greedy value, which is of
    # what was done there, with the next one, too.
    greedy = weights.value_of == "greedy" and not weights.value_imagined
    beyond = 2 if greedy else 1
    needed = {
        "overshooting": weights.overshooting,
        "observation_overshooting": weights.observation_overshooting,
        "value_discount": 2 if weights.value_discount else 0,
        "reward_overshooting": weights.reward_overshooting + beyond,
    }
    for name, least in needed.items():
        if least > rows:
            raise ValueError(
                f"objective.{name} (={getattr(weights, name)}) needs chunks of {least} "
                f"rows, but train.{option} (={getattr(train, option)}) makes chunks of "
                f"{rows}; lower the one or raise the other"
            )


def _divergence(weights: ObjectiveConfig) -> Term:
    """The divergence from the priors, one step ahead or up to D."""
    if not weights.overshooting:
        return Divergence(weights.kl_weight, weights.free_nats, weights.kl_balance)
    further = [weights.overshooting_weight] * (weights.overshooting - 1)
    betas = [weights.kl_weight, *further]
    return LatentOvershooting(betas, weights.free_nats, weights.kl_balance)


def optimiser(config: Config, model: WorldModel) -> Adam:
    """One optimiser over the whole world model."""
    adam = config.optimiser
    value = () if model.value is None else model.value.parameters()
    return Adam(
        model.parameters(),
        lr=adam.learning_rate,
        eps=adam.epsilon,
        half_life=adam.half_life,
        steady=[] if adam.halves_value else [*value],
    )
