"""The parts that a config names are built, with the paper's constants by default."""

import platform
import warnings
from dataclasses import fields, replace
from typing import get_args, get_type_hints

import pytest
import torch

from planet_torch import build, build_envs, build_model
from planet_torch.agent import PlanetAgent, RandomAgent
from planet_torch.chunk import Chunk
from planet_torch.config import (
    Config,
    Method,
    ModelConfig,
    ObjectiveConfig,
    PlannerConfig,
    TrainConfig,
)
from planet_torch.critic import Critic
from planet_torch.objectives import Divergence
from planet_torch.overshooting import LatentOvershooting
from planet_torch.planners import CEM, ICEM, MPPI, RandomShooting
from planet_torch.presets import PRESETS
from planet_torch.value import GreedyValue
from toy_models import objective, small_chunk, stream

PIXELS = build_envs.Spaces((64, 64, 3), 1)
SMALL = build_envs.Spaces((16, 16, 3), 2)
NAMES = get_args(get_type_hints(ModelConfig)["dynamics"])
METHODS = get_args(Method)


def counted(module):
    return sum(parameter.numel() for parameter in module.parameters())


def debug(**groups):
    return replace(PRESETS["debug"], **groups)


@pytest.mark.parametrize(("actions", "total"), [(1, 5_292_220), (6, 5_293_220)])
def test_the_paper_preset_has_the_parameters_of_the_released_code(actions, total):
    model = build_model.world_model(Config(), replace(PIXELS, action_size=actions))
    assert counted(model.encoder) == 690_144
    assert counted(model.decoder) == 3_795_555
    assert counted(model.reward) == 250_201
    assert counted(model.dynamics) == 556_120 + 200 * actions
    assert counted(model) == total


def test_the_paper_preset_has_the_terms_of_the_released_code():
    observation, reward, divergence = build_model.objective_terms(Config())
    assert (observation.weight, observation.decoded) == (1, 1)
    assert reward.weight == 10
    assert divergence == Divergence(weight=1.0, free_nats=3.0, balance=None)


@pytest.mark.parametrize(("starts", "own"), [("shared", False), ("own", True)])
def test_candidates_start_where_the_config_says(starts, own):
    base = PRESETS["debug"]
    config = debug(model=replace(base.model, candidate_starts=starts))
    assert build_model.world_model(config, SMALL).own_starts is own


@pytest.mark.parametrize(("acts_on", "means"), [("samples", False), ("means", True)])
def test_the_agent_acts_on_what_the_config_says(acts_on, means):
    config = debug(planner=replace(PRESETS["debug"].planner, acts_on=acts_on))
    assert build_model.world_model(config, SMALL).acts_on_means is means


@pytest.mark.parametrize(
    ("group", "option", "value"),
    [
        *(("model", "dynamics", name) for name in ("drnn", "rnn", "rnn-released")),
        ("planner", "acts_on", "means"),
    ],
)
def test_starts_of_their_own_are_refused_where_they_have_no_meaning(
    group, option, value
):
    model = replace(PRESETS["debug"].model, candidate_starts="own")
    config = debug(model=model)
    changed = replace(getattr(config, group), **{option: value})
    with pytest.raises(ValueError, match=rf"meaning for {group}\.{option} '{value}'"):
        build_model.world_model(replace(config, **{group: changed}), SMALL)


@pytest.mark.parametrize(
    ("parallel", "does", "asked"),
    [
        *((False, "all", (0, 0)), (False, "fit", (0, 0))),
        *((True, "all", (0, 0)), (True, "fit", (0, 1)), (True, "collect", (1, 0))),
    ],
)
def test_a_core_is_left_to_a_process_that_collects_where_there_is_one(
    monkeypatch, parallel, does, asked
):
    """An agent of such a run that is evaluated has all of them."""
    seen = []
    monkeypatch.setattr(build, "use_threads", lambda n, spare: seen.append((n, spare)))
    train = replace(PRESETS["debug"].train, threads=0, parallel=parallel)
    build.prepare_torch(debug(train=train), does)
    assert seen == [asked]


def test_plans_end_in_the_value_that_is_learned_unless_told_otherwise():
    learned = ObjectiveConfig(value_discount=0.9)
    unused = replace(PRESETS["debug"].planner, value=False)
    for config, ends in (
        (debug(objective=learned), True),
        (debug(objective=learned, planner=unused), False),
    ):
        assert build_model.world_model(config, SMALL).plans_to_value is ends
    with pytest.raises(ValueError, match=r"planner\.value \(=False\) has no effect"):
        build_model.world_model(debug(planner=unused), SMALL)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"objective.value_of": "greedy"}, r"value_of \(='greedy'\) has no effect"),
        ({"planner.proposals": 3}, r"proposals \(=3\) are by a greedy value"),
        (
            {"planner.proposals": 3, "objective.value_discount": 0.9},
            r"none is learned \(objective.value_of 'behaviour'\)",
        ),
        ({"objective.value_imagined": 9}, r"imagined \(=9\) is of a greedy value"),
        ({"optimiser.halves_value": False}, r"halves_value .* no value is learned"),
        (
            {"optimiser.halves_value": False, "objective.value_discount": 0.9},
            r"halves_value .* no rate halves",
        ),
    ],
)
def test_what_needs_a_value_is_refused_without(options, complaint):
    config = debug()
    for name, value in options.items():
        group, option = name.split(".")
        part = replace(getattr(config, group), **{option: value})
        config = replace(config, **{group: part})
    with pytest.raises(ValueError, match=complaint):
        build_model.world_model(config, SMALL)


@pytest.mark.parametrize(("imagined", "distance"), [(0, 3), (2, 0)])
def test_what_was_done_is_imagined_for_a_greedy_value_if_its_own_is_not(
    imagined, distance
):
    weights = ObjectiveConfig(
        value_discount=0.9,
        value_of="greedy",
        reward_overshooting=3,
        value_imagined=imagined,
    )
    config = debug(objective=weights)
    assert isinstance(build_model.world_model(config, SMALL).value, Critic)
    (term,) = [
        term
        for term in build_model.objective_terms(config)
        if isinstance(term, GreedyValue)
    ]
    assert term.distance == distance


def test_paper_overshooting_has_the_weights_of_the_first_release():
    """Beside a squared error, not its half: 1, 49 times 1/49, and 0.1 (section 2.4)."""
    terms = build_model.objective_terms(PRESETS["paper-overshooting"])
    assert [term.name for term in terms[2:]] == ["latent_overshooting", "global_prior"]
    overshooting, prior = terms[2:]
    assert isinstance(overshooting, LatentOvershooting)
    shares = [beta / 50 for beta in overshooting.betas]
    assert shares == pytest.approx([0.5 * 1] + [0.5 / 49] * 49)
    assert overshooting.free_nats == 2
    assert overshooting.weight == 1
    assert prior.weight == pytest.approx(0.5 * 0.1)


def test_every_model_that_can_be_named_can_be_built():
    assert set(NAMES) == set(build_model.DYNAMICS)
    assert len(NAMES) == 5


@pytest.mark.parametrize("dynamics", NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"overshooting": 3},
        {"observation_overshooting": 2},
        {"reward_overshooting": 2},
        {"global_prior_weight": 0.1},
    ],
    ids=lambda options: next(iter(options), "bound"),
)
def test_every_objective_trains_every_model(dynamics, options):
    """Each option adds its term, and the loss has a finite gradient."""
    config = debug(
        model=replace(PRESETS["debug"].model, dynamics=dynamics),
        objective=ObjectiveConfig(**options),
    )
    torch.manual_seed(0)
    model, terms = (
        build_model.world_model(config, SMALL),
        build_model.objective_terms(config),
    )
    loss, shown = objective(model, terms, small_chunk(), stream())
    loss.backward()
    assert all(
        p.grad.isfinite().all() for p in model.parameters() if p.grad is not None
    )
    names = {"observation", "reward", "divergence"}
    added = {name.removesuffix("_weight") for name in options}
    if "overshooting" in options:
        names, added = names - {"divergence"}, {"latent_overshooting"}
    assert set(shown) == names | added


def reached(model, loss):
    """The names of the parameters that a number has a gradient for."""
    model.zero_grad()
    loss.backward()
    parameters = model.named_parameters()
    return {n for n, p in parameters if p.grad is not None and p.grad.any()}


@pytest.mark.parametrize("value_discount", [0.0, 0.9])
@pytest.mark.parametrize("dynamics", [n for n in NAMES if n != "rnn-released"])
def test_all_that_a_decision_uses_is_trained_and_beside_it_the_decoder_alone(
    dynamics, value_discount
):
    """A decision filters an observation, and plans by the returns that follow it."""
    base = PRESETS["debug"]
    weights = ObjectiveConfig(free_nats=0.0, value_discount=value_discount)
    config = debug(model=replace(base.model, dynamics=dynamics), objective=weights)
    torch.manual_seed(0)
    model = build_model.world_model(config, SMALL)
    chunk, terms = small_chunk(), build_model.objective_terms(config)
    state, action = model.dynamics.initial(2), chunk.action[:, :1]
    for row in range(2):  # the second reads a state that is not zero
        seen = model.prepare(chunk.observation[:, row], stream())
        state = model.filter(state, seen, action[:, 0], stream(row))
    returns = model.returns_from(state, stream())(chunk.action[:, None])
    used = reached(model, returns.sum())
    trained = reached(model, objective(model, terms, chunk, stream())[0])
    assert used <= trained == {name for name, _ in model.named_parameters()}
    assert {name.partition(".")[0] for name in trained - used} == {"decoder"}


@pytest.mark.parametrize(
    "change",
    [
        {"overshooting_weight": 2.0},
        {"kl_weight": 2.0},
        {"free_nats": 0.5},
        {"overshooting": 2},
        {"observation_overshooting_weight": 2.0},
        {"observation_overshooting_decoded": 0.5},
        {"observation_overshooting": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_option_of_overshooting_changes_the_loss(change):
    base = ObjectiveConfig(overshooting=3, observation_overshooting=2, free_nats=0.0)
    losses = []
    for objective_config in (base, replace(base, **change)):
        config = debug(objective=objective_config)
        torch.manual_seed(0)
        model, terms = (
            build_model.world_model(config, SMALL),
            build_model.objective_terms(config),
        )
        losses.append(objective(model, terms, small_chunk(), stream())[0].item())
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("name", "fits"),
    [("overshooting", 8), ("observation_overshooting", 8), ("reward_overshooting", 7)],
)
def test_distances_that_do_not_fit_in_a_chunk_are_refused_at_once(name, fits):
    def terms(distance):
        return build_model.objective_terms(
            debug(objective=ObjectiveConfig(**{name: distance}))
        )

    assert terms(fits)  # chunks have 8 rows here
    with pytest.raises(ValueError, match=rf"objective\.{name} .* needs .* 9 rows"):
        terms(fits + 1)


@pytest.mark.parametrize(("imagined", "furthest"), [(0, 6), (2, 7)])
def test_a_greedy_value_is_learned_of_rows_that_a_chunk_has(imagined, furthest):
    """Six ahead of the first row is the seventh; the eighth has what was done there."""

    def terms(distance):
        weights = ObjectiveConfig(
            value_discount=0.9,
            value_of="greedy",
            value_imagined=imagined,
            reward_overshooting=distance,
        )
        config = debug(objective=weights)
        model = build_model.world_model(config, SMALL)
        chunk = small_chunk(length=config.train.chunk)
        loss, _ = objective(model, build_model.objective_terms(config), chunk, stream())
        return loss

    assert terms(furthest).isfinite()
    with pytest.raises(ValueError, match=r"reward_overshooting .* needs .* 9 rows"):
        terms(furthest + 1)


def test_vectors_have_networks_of_their_own():
    model = build_model.world_model(debug(), replace(SMALL, observation=(5,)))
    vectors = torch.randn(2, 4, 5)
    assert model.decoder(torch.randn(2, model.dynamics.feature_size)).shape == (2, 5)
    assert model.encoder(vectors).shape[:2] == (2, 4)


@pytest.mark.parametrize(
    ("task", "options", "error"),
    [
        ("toys:integrator", {"renderer": "gl"}, r"renderer \(='gl'\) .*at 'raycast'"),
        ("toys:integrator", {"camera": 1}, r"camera \(=1\) .* leave it at 0"),
        (
            "dmc/reacher-easy",
            {"renderer": "gl", "observation": "state"},
            r"renderer \(='gl'\) has an effect on pictures of dmc/ tasks alone",
        ),
    ],
)
def test_how_pictures_are_drawn_is_refused_where_none_are(task, options, error):
    config = debug(task=task, env=replace(PRESETS["debug"].env, **options))
    with pytest.raises(ValueError, match=error):
        build.check(config)
    build.check(config, begun=True)  # a run from when it was let through goes on


def test_how_pictures_are_drawn_is_for_those_tasks_that_are():
    env = replace(PRESETS["debug"].env, image_size=16, camera=1)
    build.check(debug(task="toys:plane,dmc/reacher-easy", env=env))


def test_an_agent_that_collects_plans_or_acts_at_random():
    model, config = build_model.world_model(debug(), SMALL), debug()
    planner = build.collector(config, SMALL, model, stream())
    assert isinstance(planner, PlanetAgent)
    assert planner.exploration == 0.3
    config = replace(config, train=replace(config.train, collection="random"))
    assert isinstance(build.collector(config, SMALL, model, stream()), RandomAgent)


def test_the_paper_s_optimiser_has_the_constants_of_the_reference():
    model = build_model.world_model(PRESETS["debug"], build_envs.Spaces((16, 16, 3), 1))
    adam = build_model.optimiser(PRESETS["paper"], model)
    (group,) = adam.param_groups
    assert (group["lr"], group["betas"], adam.epsilon_hat) == (1e-3, (0.9, 0.999), 1e-4)
    assert group["weight_decay"] == 0
    assert sum(p.numel() for p in group["params"]) == counted(model)


def gradient_of(precision, preset):
    """The loss of one batch, and its gradient as one vector."""
    base = PRESETS[preset]
    train = replace(base.train, precision=precision, batch=4, chunk=6)
    config = replace(base, train=train)
    torch.manual_seed(0)
    model = build_model.world_model(config, build_envs.Spaces((32, 32, 3), 2))
    stream = torch.Generator().manual_seed(0)
    image = torch.randint(
        0, 256, (4, 6, 32, 32, 3), dtype=torch.uint8, generator=stream
    )
    action = torch.rand(4, 6, 2, generator=stream) * 2 - 1
    chunk = Chunk(image, action, torch.rand(4, 6, generator=stream))
    loss, _ = objective(model, build_model.objective_terms(config), chunk, stream)
    loss.backward()
    parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(parts), model


@pytest.mark.parametrize("preset", ["paper", "cpu"])
def test_bf16_is_near_fp32(preset):
    """The loss to 0.5 %, the gradient to an angle whose cosine is 0.999."""
    loss, gradient, _ = gradient_of("fp32", preset)
    rounded, near, model = gradient_of("bf16", preset)
    assert rounded == pytest.approx(loss, rel=5e-3)
    assert rounded != loss
    assert torch.cosine_similarity(near, gradient, dim=0) > 0.999
    assert near.norm().item() == pytest.approx(gradient.norm().item(), rel=0.02)
    kinds = {tensor.dtype for tensor in model.state_dict().values()}
    assert kinds == {torch.float32}


@pytest.mark.parametrize("dynamics", list(build_model.DYNAMICS))
def test_returns_in_bf16_are_near_those_in_fp32(dynamics):
    returns = []
    for precision in ("fp32", "bf16"):
        base = PRESETS["cpu"]
        config = replace(
            base,
            model=replace(base.model, dynamics=dynamics),
            train=replace(base.train, precision=precision),
        )
        torch.manual_seed(0)
        model = build_model.world_model(config, build_envs.Spaces((32, 32, 3), 2))
        stream = torch.Generator().manual_seed(0)
        actions = torch.rand(2, 50, 12, 2, generator=stream) * 2 - 1
        state = model.dynamics.initial(2)
        with torch.no_grad():
            returns.append(model.returns_from(state, stream)(actions))
    assert returns[1].dtype == torch.float32
    spread = returns[0].std()
    assert 0 < (returns[1] - returns[0]).abs().mean() < 0.1 * spread


@pytest.mark.parametrize("has", [True, False])
def test_auto_precision_is_what_the_processor_has(has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    config = Config(train=TrainConfig(precision="auto"))
    model = build_model.world_model(config, build_envs.Spaces((32, 32, 3), 2))
    assert model.dtype == (torch.bfloat16 if has else torch.float32)


@pytest.mark.parametrize(
    ("machine", "has", "told"),
    [("x86_64", False, True), ("x86_64", True, False), ("aarch64", False, False)],
)
def test_bf16_that_the_processor_emulates_is_told_once(machine, has, told, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    config = Config(train=TrainConfig(precision="bf16"))
    build_model.warn_of_emulation.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert build_model.dtype(config) == torch.bfloat16
    assert ["emulated" in str(each.message) for each in caught] == [True] * told


@pytest.mark.parametrize(
    "option",
    [
        {"kl_weight": 0.5},
        {"overshooting": 2},
        {"observation_overshooting": 2},
        {"reward_overshooting": 2},
    ],
    ids=str,
)
def test_the_released_recipe_of_the_rnn_trains_no_prior(option):
    config = debug(
        task="toys:integrator",
        model=replace(PRESETS["debug"].model, dynamics="rnn-released"),
        objective=ObjectiveConfig(kl_weight=0.0),
        train=replace(PRESETS["debug"].train, chunk=6),
    )
    build.check(config)
    further = replace(config.objective, **option)
    [name] = option
    with pytest.raises(ValueError, match=rf"wants 0 for objective.{name} \(="):
        build.check(replace(config, objective=further))


def planner_of(**options):
    return build.planner(Config(planner=PlannerConfig(**options)))


def test_every_planner_that_can_be_named_can_be_built():
    assert set(METHODS) == set(build.PLANNERS)
    kinds = [type(planner_of(method=method)) for method in METHODS]
    assert kinds == [CEM, RandomShooting, MPPI, ICEM]


@pytest.mark.parametrize("method", METHODS)
def test_each_option_of_a_planner_reaches_it_or_is_refused(method):
    """None is dropped in silence, none has another default than the planner itself."""
    other = {
        "horizon": 5,
        "candidates": 500,
        "elites": 20,
        "iterations": 3,
        "warm_start": True,
        "spread": "mean-absolute",
        "sigma": 0.25,
        "temperature": 2.0,
        "beta": 0.5,
        "decay": 1.5,
        "kept_fraction": 0.5,
        "momentum": 0.25,
        "decision_budget_ms": 7.0,
    }
    names = {field.name for field in fields(PlannerConfig)}
    assert {"method", *build.OF_THE_MODEL, *other} == names
    for name, value in other.items():
        if hasattr(build.PLANNERS[method](), name):
            assert getattr(planner_of(method=method, **{name: value}), name) == value
        else:
            refusal = rf"planner\.{name} .* has no effect on {method}; leave it at"
            with pytest.raises(ValueError, match=refusal):
                planner_of(method=method, **{name: value})


@pytest.mark.parametrize("method", METHODS)
def test_the_defaults_are_those_of_the_planner_itself(method):
    """But for the elites, which are a tenth of the candidates for CEM alone."""
    shared = {"elites": 100} if method in ("cem", "icem") else {}
    own = build.PLANNERS[method](**shared)
    assert vars(planner_of(method=method)) == vars(own)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_search_by_every_method(preset, method):
    options = build.with_method(PRESETS[preset].planner, method)
    planner = build.planner(Config(planner=options))
    assert isinstance(planner, build.PLANNERS[method])
    assert planner.candidates == PRESETS[preset].planner.candidates


def test_a_budget_for_decisions_bounds_what_is_evaluated():
    """Time is up at once, so an eighth of the first iteration is done."""
    planner = planner_of(candidates=80, elites=8, decision_budget_ms=1e-6)
    asked = []

    def returns_of(actions):
        asked.append(actions.shape[1])
        return actions.sum((2, 3))

    planner.plan(returns_of, 1, 1, stream())
    assert asked == [10]


@pytest.mark.parametrize("halves", [True, False])
def test_the_value_and_nothing_else_may_keep_its_rate(halves):
    base = PRESETS["debug"]
    config = debug(
        objective=replace(base.objective, value_discount=0.9),
        optimiser=replace(base.optimiser, half_life=1, halves_value=halves),
    )
    model = build_model.world_model(config, SMALL)
    groups = build_model.optimiser(config, model).param_groups
    steady = {id(p) for group in groups if group["steady"] for p in group["params"]}
    assert steady == (set() if halves else {id(p) for p in model.value.parameters()})


def test_each_number_of_what_is_imagined_reaches_its_term():
    terms = build_model.objective_terms(
        debug(
            objective=ObjectiveConfig(
                value_discount=0.9,
                value_of="greedy",
                value_imagined=3,
                value_imagined_starts=5,
                reward_overshooting=2,
                reward_overshooting_starts=7,
                reward_overshooting_weight=9.0,
                observation_overshooting=4,
                observation_overshooting_decoded=0.25,
                observation_overshooting_weight=0.5,
            )
        )
    )
    of = {term.name: term for term in terms}
    imagined, rewards = of["imagined_value"], of["reward_overshooting"]
    assert (imagined.distance, imagined.starts) == (3, 5)
    assert (rewards.distance, rewards.starts, rewards.weight) == (2, 7, 9.0)
    seen = of["observation_overshooting"]
    assert (seen.distance, seen.decoded, seen.weight) == (4, 0.25, 0.5)
