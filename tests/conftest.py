"""What every test shares: one thread, fixed seeds, no screen.

The package itself is never imported here at the top: jaxtyping's import hook, which
checks the annotated shapes, is installed only after this file is read.
"""

import ctypes.util
import os
import random
import sys
from pathlib import Path

# Before anything imports numpy, torch or matplotlib. Processes that tests start inherit
# it, too.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

# So that "toys:integrator" names a task, here and in these processes.
sys.path.insert(0, str(Path(__file__).parent))
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# The same examples each time, and no deadline: a busy machine is not a wrong program.
settings.register_profile(
    "planet", derandomize=True, deadline=None, max_examples=50, print_blob=True
)
settings.load_profile("planet")


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Seed the global streams, for what initialises itself from them."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture
def unchecked():
    """Leave annotated shapes unchecked, which takes most of the time of a small run.

    For tests that compare whole runs; others check the shapes of the same functions.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_runtest_setup(item):
    if item.get_closest_marker("gl") and ctypes.util.find_library("EGL") is None:
        pytest.skip("no OpenGL: apt-get install libegl1 libgl1-mesa-dri")
