"""PlaNet: learn latent dynamics from pixels, and plan in them.

A trained agent in an environment::

    import planet_torch as pt

    env = pt.make("dmc/cartpole-balance", image_size=32)
    agent = pt.load("runs/cartpole-balance-cpu-0")
    observation, _ = env.reset(seed=0)
    agent.reset()
    while True:
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        if terminated or truncated:
            break
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = ["PRESETS", "Config", "Run", "SimulatorAgent", "evaluate", "load", "make"]

_HOME = {
    "PRESETS": "presets",
    "Config": "config",
    "Run": "run",
    "SimulatorAgent": "simulated",
    "evaluate": "run",
    "load": "run",
    "make": "envs",
}

if TYPE_CHECKING:
    from planet_torch.config import Config
    from planet_torch.envs import make
    from planet_torch.presets import PRESETS
    from planet_torch.run import Run, evaluate, load
    from planet_torch.simulated import SimulatorAgent


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for: torch alone takes seconds."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
