"""Options: the paper's values, what is refused, and a file that says them all."""

import dataclasses
import json
import math
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_torch import config
from planet_torch.config import Config
from planet_torch.presets import PRESETS, Preset
from planet_torch.ranges import Range


def flat(value):
    """Nested options by their dotted names."""
    found = {}
    for name, part in dataclasses.asdict(value).items():
        inside = part.items() if isinstance(part, dict) else [("", part)]
        found |= {f"{name}.{option}".rstrip("."): v for option, v in inside}
    return found


def test_the_preset_paper_is_the_paper():
    """Each constant of the released code and of the camera-ready paper, one by one."""
    assert flat(PRESETS["paper"]) == {
        "task": "",
        "seed": 0,
        # Pictures of 64 x 64 from camera 0, action repeats by task.
        "env.image_size": 64,
        "env.renderer": "raycast",  # Differs: needs no OpenGL
        "env.camera": 0,
        "env.action_repeat": None,
        "env.time_limit": None,
        "env.observation": "pixels",
        "env.isolate": False,
        "env.step_seconds": 60,
        "model.dynamics": "rssm",
        "model.stochastic_size": 30,
        "model.belief_size": 200,
        "model.units": 200,
        "model.min_stddev": 0.1,
        "model.width": 32,
        "model.reward_layers": 3,
        "model.reward_units": 300,
        "model.activation": "relu",
        "model.norm": "none",
        "model.candidate_starts": "shared",  # the paper's box says otherwise
        "planner.acts_on": "samples",
        "planner.value": True,
        "model.image_bits": 5,
        "objective.observation_weight": 1,
        "objective.decoded": 1,
        "objective.reward_weight": 10,
        "objective.reward_overshooting": 0,
        "objective.reward_overshooting_weight": 100,
        "objective.reward_overshooting_starts": 4,
        "objective.kl_weight": 1,
        "objective.free_nats": 3,
        "objective.kl_balance": None,
        # Optional in the paper, off by default since its last version.
        "objective.overshooting": 0,
        "objective.overshooting_weight": 1,
        "objective.observation_overshooting": 0,
        "objective.observation_overshooting_weight": 1,
        "objective.observation_overshooting_decoded": 0.1,
        "objective.global_prior_weight": 0,
        "objective.value_discount": 0,
        "objective.value_of": "behaviour",
        "objective.value_imagined": 0,
        "objective.value_imagined_starts": 4,
        "optimiser.learning_rate": 1e-3,
        "optimiser.half_life": None,
        "optimiser.halves_value": True,
        "optimiser.epsilon": 1e-4,
        "optimiser.gradient_clip": 1000,
        "optimiser.average": 0,
        "planner.method": "cem",
        "planner.horizon": 12,
        "planner.candidates": 1000,
        "planner.elites": 100,
        "planner.iterations": 10,
        "planner.warm_start": False,
        "planner.spread": "population",  # the paper's box prints another
        "planner.decision_budget_ms": None,
        # Of planners that the paper does not have.
        "planner.sigma": 0.5,
        "planner.temperature": 0.5,
        "planner.beta": 2,
        "planner.decay": 1.25,
        "planner.kept_fraction": 0.3,
        "planner.momentum": 0.1,
        "planner.proposals": 0,
        "train.episodes": 1000,
        "train.seed_episodes": 5,
        "train.updates": 100,
        "train.batch": 50,
        "train.chunk": 50,
        "train.pretrained": None,
        "train.random_actions": "uniform",
        "train.parallel": False,
        "train.collection": "planned",
        "train.exploration": 0.3,
        "train.exploration_half_life": None,
        "train.evaluate_every": 10,
        "train.evaluation_episodes": 10,
        "train.checkpoint_every": 1,
        # Not in the paper: how a run is kept.
        "train.keep_checkpoints": 2,
        "train.replay_frames": None,
        "train.on_nan": "stop",
        "train.threads": 0,
        "train.precision": "fp32",
        "train.compile": "auto",
        "train.shortest_chunk": None,
        "train.carry_states": False,
        "train.device": "cpu",
    }


def test_the_defaults_are_the_preset_paper():
    assert Config() == PRESETS["paper"]


def test_every_preset_has_its_name():
    assert set(get_args(Preset)) == set(PRESETS)


def values_of(kind):
    """A strategy for one option's value, from its annotation."""
    if kind is type(None):
        return st.none()
    if dataclasses.is_dataclass(kind):
        return configs(kind)
    metadata = getattr(kind, "__metadata__", ())
    if metadata:
        low, high = metadata[0].low, min(metadata[0].high, 10**6)
        if kind.__origin__ is int:
            return st.integers(int(low), int(high))
        return st.floats(low, high, exclude_min=metadata[0].above)
    if kind in (bool, int, str):
        return {bool: st.booleans(), int: st.integers(), str: st.text()}[kind]
    if all(isinstance(part, str) for part in get_args(kind)):
        return st.sampled_from(get_args(kind))
    return st.one_of([values_of(part) for part in get_args(kind)])


def configs(kind=Config):
    hints = get_type_hints(kind, include_extras=True)
    parts = {name: values_of(hint) for name, hint in hints.items()}
    return st.builds(kind, **parts)


@given(configs())
def test_a_config_loads_back_to_an_equal_one(tmp_path_factory, one):
    path = tmp_path_factory.mktemp("config") / "config.json"
    config.save(one, path)
    assert config.load(path) == one


@pytest.mark.parametrize("preset", PRESETS)
def test_a_file_holds_every_option(tmp_path, preset):
    config.save(PRESETS[preset], tmp_path / "config.json")
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == dataclasses.asdict(PRESETS[preset])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"trian": {}}, "no option 'trian'; did you mean 'train'"),
        (
            {"planner": {"horizn": 3}},
            "'planner.horizn'; did you mean 'planner.horizon'",
        ),
        ({"planner": {"horizon": 2.5}}, "'planner.horizon' must be .*int.*got 2.5"),
        ({"planner": {"horizon": True}}, "'planner.horizon' must be .*int.*got True"),
        ({"planner": {"horizon": "3"}}, "'planner.horizon' must be .*int.*got '3'"),
        ({"planner": {"horizon": 0}}, r"planner.horizon \(=0\) must be at least 1"),
        ({"planner": 3}, "option group 'planner' must be a mapping, got 3"),
        ({"env": {"renderer": "egl"}}, "'env.renderer' is one of .*'raycast', 'gl'"),
        ({"objective": {"decoded": 0}}, r"objective.decoded .* must be above 0"),
        ({"objective": {"kl_balance": 2}}, r"kl_balance \(=2.0\) must be .* at most 1"),
        ({"seed": None}, "'seed' must be"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, change, error):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(change))
    with pytest.raises(ValueError, match=error) as raised:
        config.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "another version" in str(raised.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\xff"])
def test_what_is_no_config_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"is not a config|must be a mapping"):
        config.load(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("task", "names"), [("a/b", ("a/b",)), ("a/b, c:d,e/f", ("a/b", "c:d", "e/f"))]
)
def test_the_tasks_stand_between_commas(task, names):
    assert Config(task=task).tasks == names


def test_an_option_younger_than_the_file_has_its_default(tmp_path):
    (tmp_path / "config.json").write_text('{"task": "dmc/walker-walk", "train": {}}')
    assert config.load(tmp_path / "config.json") == Config(task="dmc/walker-walk")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_infinite(value):
    assert value not in Range(-math.inf)


def test_ranges_know_their_ends():
    assert 0 in Range(0)
    assert 0 not in Range(0, above=True)
    assert 1 in Range(0, 1)
    assert 1.001 not in Range(0, 1)
    assert str(Range(0, 1, above=True)) == "above 0 and at most 1"
