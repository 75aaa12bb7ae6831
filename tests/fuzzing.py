"""Strangers' files for the readers of a run directory, and what the readers may do.

    PYTHONPATH=src python tests/fuzzing.py --inputs 5000
    PYTHONPATH=src python tests/fuzzing.py --atheris 60 --reader checkpoint

gives each reader so many inputs of Hypothesis, or one of them inputs of atheris for so
many seconds, if that is installed. A reader gives a ValueError or a correct result.
"""

import argparse
import inspect
import json
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planet_torch import build_model, checkpoint, config, metrics, replay, sealed
from planet_torch.agent import PlanetAgent
from planet_torch.build_envs import Spaces
from planet_torch.checkpoint import AGENT
from planet_torch.chunk import Episode
from planet_torch.metrics import Counters, Reporter, read_metrics
from planet_torch.presets import PRESETS
from planet_torch.replay import Replay
from planet_torch.run import Run
from planet_torch.sealed import seal
from small import small

NAMES = {
    "config": "config.json",
    "starts": "run.json",
    "metrics": "metrics.jsonl",
    "episode": "episode-000000-00004.safetensors",
    "checkpoint": "checkpoint-000000003.safetensors",
    "agent": AGENT,
}
CONTENT = {
    "world_model": {"weight": torch.arange(3.0)},
    "optimiser": {"state": {0: {"step": torch.tensor(1.0)}}, "betas": (0.9, 0.999)},
    "streams": {"model": torch.arange(9, dtype=torch.uint8)},
    "counters": {"updates": 3, "episodes": 1},
    "metrics": (4, "abc"),
    "episodes": {0: "abc"},
}
EXPORTED = {
    "average": build_model.world_model(small(), Spaces((3,), 1)).state_dict(),
    "spaces": {"observation": [3], "action_size": 1},
}


def originals():
    """A whole file for each reader."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = np.arange(4, dtype=np.float32)
        Replay(folder).add(Episode(rows[:, None], rows[:, None] / 4, rows))
        config.save(PRESETS["debug"], folder / "config.json")
        (folder / "run.json").write_text(json.dumps([{"overridden": {"seed": [1, 2]}}]))
        with Reporter(folder / "metrics.jsonl") as reporter:
            reporter.log("fit", {"loss": 1.5, "returns": [1.0, 2.0]}, Counters())
        checkpoint.save(folder, 3, CONTENT)
        checkpoint.write(folder / AGENT, EXPORTED)
        return {name: (folder / file).read_bytes() for name, file in NAMES.items()}


ORIGINALS = originals()


def read(reader, path):
    """What a reader makes of a file."""
    match reader:
        case "config":
            return config.load(path)
        case "starts":
            return Run(path.parent, PRESETS["debug"]).starts()
        case "metrics":
            return read_metrics(path)
        case "episode":
            replay = Replay(path.parent)
            return [replay.read(i) for i in range(len(replay))]
        case "agent":
            return Run(path.parent, small()).agent()
        case _:
            content = checkpoint.load(path)
            checkpoint.check(content)
            return content


def try_one(reader, content):
    """Give a reader a file; whether it was loaded, and not refused."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place) / NAMES[reader]
        path.write_bytes(content)
        try:
            found = read(reader, path)
        except ValueError:
            return False
        check(reader, content, found)
        # What is not used is still there.
        assert sum(p.read_bytes() == content for p in Path(place).iterdir()) == 1
    return bool(found)


def check(reader, content, found):
    """Raise AssertionError if what was loaded is not what may be loaded."""
    match reader:
        case "config":
            assert config.parse(json.loads(content)) == found
        case "metrics":
            assert len(found) == content.count(b"\n")
        case "episode":
            for episode in found:
                assert len(episode) == 4
                assert np.isfinite(episode.reward).all()
        case "agent":
            assert isinstance(found, PlanetAgent)
        case "checkpoint":
            assert type(found["counters"]["updates"]) is int


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
ARRAYS = st.dictionaries(
    st.sampled_from(["observation", "action", "reward", "world_model.weight", "x"]),
    st.builds(
        lambda shape, kind, fill: np.full(shape, fill).astype(kind),
        st.lists(st.integers(0, 5), max_size=4),
        st.sampled_from([np.float32, np.uint8, np.float64, np.int64]),
        st.integers(0, 200),
    ),
    max_size=4,
)


@st.composite
def spoilt(draw, original):
    """A file with bits flipped, parts cut out, doubled or put in."""
    content = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 40))
        match draw(st.sampled_from(["flip", "cut", "tear", "double", "put"])):
            case "flip" if place < len(content):
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del content[place : place + length]
            case "tear":
                del content[place:]
            case "double":
                content[place:place] = content[place : place + length]
            case "put":
                content[place:place] = draw(st.binary(max_size=20))
    return bytes(content)


@st.composite
def forged(draw, kind):
    """A sealed file with a right checksum, by someone who knows how to make one."""
    header = draw(st.dictionaries(st.text(max_size=8), JSON, max_size=3))
    if kind == "episode":
        header["terminated"] = draw(st.booleans() | JSON)
    else:
        names = EXPORTED if kind == "agent" else CONTENT
        parts = {name: JSON | st.just({"#tensor": "x"}) for name in names}
        header["content"] = draw(st.fixed_dictionaries({}, optional=parts) | JSON)
    kind = "checkpoint" if kind == "agent" else kind
    return seal(kind, draw(ARRAYS), header)[0]


def files(reader):
    """Files for a reader: spoilt, forged, or nothing at all like it."""
    kinds = [spoilt(ORIGINALS[reader]), st.binary(max_size=200)]
    if reader in ("episode", "checkpoint", "agent"):
        kinds.append(forged(reader))
    elif reader in ("config", "starts", "metrics"):
        kinds.append(JSON.map(lambda value: json.dumps(value).encode() + b"\n"))
        groups = st.sampled_from([*json.loads(ORIGINALS["config"]), "kind", "time"])
        kinds.append(
            st.dictionaries(groups, JSON).map(lambda v: json.dumps(v).encode() + b"\n")
        )
    return st.one_of(kinds)


def fuzz(reader, inputs):
    """Try so many inputs; how many were refused and how many loaded."""
    counts = Counter()

    @settings(
        max_examples=inputs,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(files(reader))
    def attempt(content):
        counts["loaded" if try_one(reader, content) else "refused"] += 1

    attempt()
    return counts


def guided(reader, seconds):
    """The same with inputs that atheris finds by the coverage of the reader."""
    import atheris

    counts, end = Counter(), time.monotonic() + seconds

    def attempt(content):
        counts["loaded" if try_one(reader, content) else "refused"] += 1
        if time.monotonic() > end:
            print(f"{reader}: {dict(counts)} by atheris")
            sys.stdout.flush()
            os._exit(0)  # atheris takes any other end for a crash

    with tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "whole").write_bytes(ORIGINALS[reader])
        for module in (checkpoint, config, metrics, replay, sealed):
            for function in filter(inspect.isfunction, vars(module).values()):
                atheris.instrument_func(function)
        atheris.Setup([sys.argv[0], corpus, "-max_len=8192"], attempt)
        atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--reader", choices=NAMES)
    parser.add_argument("--atheris", type=float, metavar="SECONDS")
    given = parser.parse_args()
    for reader in [given.reader] if given.reader else NAMES:
        if given.atheris:
            guided(reader, given.atheris)
        begun = time.monotonic()
        counts = fuzz(reader, given.inputs)
        print(f"{reader}: {dict(counts)} in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
