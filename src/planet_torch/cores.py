"""How many threads a process has: as many as there are cores for it."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch

CGROUPS = Path("/sys/fs/cgroup")


def use_threads(wanted: int, spare: int = 0) -> int:
    """Have tensor operations use so many threads; 0 is one for each core there is.

    Or for each but ``spare``, which another process uses; always one at least.

    Returns:
        How many they are.
    """
    torch.set_num_threads(wanted or max(available() - spare, 1))
    return torch.get_num_threads()


def available() -> int:
    """The cores that there are for this process.

    PyTorch knows of `taskset` and of OMP_NUM_THREADS (which Ray sets to 1), but not of
    a container's share of the processor time: it starts as many threads as the host has
    cores, and they wait for each other. Here the share counts, too.
    """
    return math.ceil(min(started(), share()))


@functools.cache  # what is set here must not be taken for what there is
def started() -> int:
    """As many threads as PyTorch had when it was first asked."""
    return torch.get_num_threads()


def share(root: Path = CGROUPS) -> float:
    """Cores' worth of processor time that Linux grants this container; or infinity."""
    shares = [math.inf]
    for path, periods in (
        (root / "cpu.max", None),
        (root / "cpu/cpu.cfs_quota_us", root / "cpu/cpu.cfs_period_us"),
    ):
        try:
            numbers = path.read_text().split()
            numbers += periods.read_text().split() if periods else []
            quota, period = map(float, numbers)  # "max" is no number
        except (OSError, ValueError):
            continue
        if quota > 0 and period > 0:
            shares.append(quota / period)
    return min(shares)
