"""Compiled parts compute what plain ones do, and a missing compiler stops nothing."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from planet_torch import build_envs, build_model
from planet_torch.compilation import Compiled, compile_parts, missing
from planet_torch.presets import PRESETS

# In a process of its own, as the checks of shapes in the tests cannot be compiled.
COMPARE = """
    import json
    import sys
    from copy import deepcopy
    from dataclasses import replace
    from functools import partial
    import torch
    from planet_torch import build_model
    from planet_torch.build_envs import Spaces
    from planet_torch.chunk import Chunk
    from planet_torch.compilation import compile_parts
    from planet_torch.objectives import filtered, total
    from planet_torch.presets import PRESETS

    backend, critic = sys.argv[1], "critic" in sys.argv
    torch.compile = partial(torch.compile, backend=backend)
    config = PRESETS["debug"]
    if critic:
        greedy = replace(config.objective, value_discount=0.9, value_of="greedy")
        greedy = replace(greedy, value_imagined=2, reward_overshooting=1)
        config = replace(config, objective=greedy)
    torch.manual_seed(0)
    plain = build_model.world_model(config, Spaces((16, 16, 3), 2))
    fast = deepcopy(plain)
    assert compile_parts(fast, "on")
    stream = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (3, 3, 16, 16, 3), dtype=torch.uint8, generator=stream
    )
    action = torch.rand(3, 3, 2, generator=stream) * 2 - 1
    chunk = Chunk(images, action, torch.rand(3, 3, generator=stream))
    terms = build_model.objective_terms(config)
    found = []
    for model in (plain, fast):
        stream = torch.Generator().manual_seed(1)
        loss, _ = total(model, terms, filtered(model, chunk, stream), stream)
        loss.backward()
        learned = [p.grad for p in model.parameters() if p.grad is not None]
        gradient = torch.cat([part.flatten() for part in learned])
        with torch.inference_mode():
            returns_of = model.returns_from(model.dynamics.initial(2), stream)
            candidates = torch.rand(2, 5, 2, 2, generator=stream)
            returns = returns_of(candidates)
            ahead = [returns]
            if critic:
                start = model.dynamics.initial(2)
                ahead.append(model.greedy_plans(start, 3, 2, stream))
        found.append((loss.item(), gradient, *ahead))
    (loss, gradient, returns, *plans), other = found
    differences = {
        "loss": abs(other[0] / loss - 1),
        "gradient": ((other[1] - gradient).norm() / gradient.norm()).item(),
        "returns": (other[2] - returns).abs().max().item(),
        "size": returns.abs().max().item(),
    }
    if critic:
        differences["plans"] = (other[3] - plans[0]).abs().max().item()
    print(json.dumps(differences))
"""


# A compiler that only counts what it is given.
COUNT = """
    from functools import partial
    import numpy as np
    import torch
    from planet_torch import build, build_model
    from planet_torch.build_envs import Spaces
    from planet_torch.compilation import compile_parts
    from planet_torch.presets import PRESETS

    compiled = []

    def count(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch.compile = partial(torch.compile, backend=count)
    config, spaces = PRESETS["debug"], Spaces((16, 16, 3), 2)
    model = build_model.world_model(config, spaces)
    stream = torch.Generator().manual_seed(0)
    compile_parts(model, "on")
    compiled.clear()
    found = {"shapes": []}
    with torch.inference_mode():
        returns_of = model.returns_from(model.dynamics.initial(1), stream)
        for candidates in range(4, 16):
            returns_of(torch.zeros(1, candidates, 3, 2))
            found["shapes"].append(len(compiled))
    agent = build.agent(config, spaces, model, stream)
    agent.planner.candidates = 15
    agent.planner.horizon = 3
    picture = np.zeros((16, 16, 3), np.uint8)
    agent.act(picture)
    compiled.clear()
    agent.act(picture)
    found["again"] = len(compiled)
    import json
    print(json.dumps(found))
"""

TRAIN = """
    from small import small, trained
    print(trained("{0}", small(compile="on")).latest()["counters"]["updates"])
"""


def program(text, *words, **variables):
    """What a program writes, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )


def parts_told(done):
    """The parts that a process said that it compiled."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("compiled")]
    return [line.split()[1] for line in lines]


# The compiler takes two minutes for all parts, so those of a critic are among the slow
# ones. "aot_eager" runs what PyTorch makes of them all before its compiler.
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("backend", "critic"),
    [
        ("inductor", []),
        ("aot_eager", ["critic"]),
        pytest.param("inductor", ["critic"], marks=pytest.mark.slow),
    ],
)
def test_compiled_parts_are_equal_to_plain_ones_to_rounding(backend, critic):
    problem = missing(torch.device("cpu"))
    if problem and backend == "inductor":
        pytest.skip(f"no compiler: {problem}")
    done = program(COMPARE, backend, *critic)
    differences = json.loads(done.stdout)
    assert differences["size"] > 0.01
    assert differences["loss"] < 1e-5
    assert differences["gradient"] < 1e-4
    assert differences["returns"] < 1e-5
    if critic:
        assert differences["plans"] == 0
    learned = ["ConvEncoder.forward", "RSSM.observe", "ConvDecoder.forward"]
    ahead = ["WorldModel.imagine", "WorldModel.follow_critic"] if critic else []
    plans = ["WorldModel.follow_critic"] if critic else []
    assert parts_told(done) == [*learned, *ahead, "WorldModel.imagined_returns", *plans]


def test_however_many_shapes_there_are_all_are_compiled_and_each_once():
    """A search of iCEM has some twenty; PyTorch by itself stops at eight."""
    found = json.loads(program(COUNT).stdout)
    each = found["shapes"][0]
    assert each >= 1
    assert found["shapes"] == [each * count for count in range(1, 13)]
    assert found["again"] == 0


def test_a_missing_compiler_is_a_note_and_no_failure(tmp_path):
    nowhere = {"CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "none")}
    done = program(TRAIN.format(tmp_path / "run"), **nowhere)
    assert done.stdout.split() == ["6"]
    assert "train.compile (='on') has no working compiler" in done.stderr
    assert not parts_told(done)


@pytest.mark.parametrize("choice", ["auto", "off"])
def test_nothing_is_compiled_on_a_cpu_unless_asked_for(choice):
    model = build_model.world_model(PRESETS["debug"], build_envs.Spaces((16, 16, 3), 2))
    before = model.imagined_returns
    assert not compile_parts(model, choice)
    assert model.imagined_returns == before


def test_each_new_shape_is_told_once(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    told = []
    double = Compiled(lambda x: 2 * x, "double", told.append)
    for size in (2, 3, 2):
        assert torch.equal(double(torch.ones(size)), torch.full((size,), 2.0))
    assert len(told) == 2
    assert all(line.startswith("compiled double in ") for line in told)
