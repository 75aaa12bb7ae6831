"""Threads are as many as the cores that a process, or its container, may use."""

import functools
import math

import pytest
import torch

from planet_torch import cores
from planet_torch.cores import share, use_threads


@pytest.fixture(autouse=True)
def _as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000"}, math.inf),
        ({"cpu.max": "250000 100000"}, 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "50000"}, math.inf),
        ({"cpu.max": "nonsense"}, math.inf),
    ],
)
def test_the_share_of_a_container(tmp_path, files, granted):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert share(tmp_path) == granted


@pytest.mark.parametrize(
    ("granted", "wanted", "spare", "used"),
    [
        *((math.inf, 0, 0, 3), (1.5, 0, 0, 2), (0.5, 0, 0, 1), (1, 2, 0, 2)),
        *((math.inf, 0, 1, 2), (1.5, 0, 1, 1), (1, 0, 1, 1), (1, 2, 1, 2)),
    ],
)
def test_threads_by_default_and_as_wanted(monkeypatch, granted, wanted, spare, used):
    """Of 3 that PyTorch would start, and with a core left to another process."""
    monkeypatch.setattr(cores, "started", functools.cache(torch.get_num_threads))
    torch.set_num_threads(3)
    monkeypatch.setattr(cores, "share", lambda: granted)
    for _ in range(3):  # as a run that is checked, noted and trained asks
        assert use_threads(wanted, spare) == used == torch.get_num_threads()
