"""A run of a few seconds, for the tests of what may happen to one."""

import dataclasses
import hashlib

import torch

from planet_torch.metrics import Reporter
from planet_torch.presets import PRESETS
from planet_torch.run import Run
from planet_torch.trainer import Trainer

DEBUG = PRESETS["debug"]


def small(task="toys:integrator", seed=0, **train):
    """Its config: 2 seed and 2 planned episodes of 13 rows, 3 updates before each."""
    return dataclasses.replace(
        DEBUG,
        task=task,
        seed=seed,
        env=dataclasses.replace(DEBUG.env, observation="state"),
        train=dataclasses.replace(
            DEBUG.train, **{"chunk": 6, "evaluate_every": 100, **train}
        ),
    )


def trained(directory, config=None):
    """A finished run."""
    run = Run.create(directory, config or small())
    with Reporter(run.metrics) as reporter:
        Trainer(run, reporter).train()
    return run


def weights(run):
    """A digest of what the run learned."""
    parts = [p.flatten().float() for p in run.latest()["world_model"].values()]
    return hashlib.sha256(torch.cat(parts).numpy().tobytes()).hexdigest()


def episodes(run):
    """The bytes of its episodes."""
    return {p.name: p.read_bytes() for p in run.episodes.glob("*.safetensors")}
