import subprocess
import sys

import pytest

from planet_torch.memory import keep_freed_memory, peak_memory

FAULTS = """
import ctypes, resource, sys, torch
from planet_torch.memory import keep_freed_memory, peak_memory

ctypes.CDLL(None).mallopt(-3, 2**17)  # what malloc starts with; it then adapts
if sys.argv[1] == "kept":
    assert keep_freed_memory()

def work():
    for _ in range(10):
        torch.ones(2**20).add_(1)  # 4 MiB: 1,024 pages

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    """The pages that ten large tensors, one after another, are given anew."""
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="not the GNU C library")
def test_freed_memory_is_used_again():
    assert faults("as it is") > 10_000
    assert faults("kept") < 1_000


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_the_peak_of_memory_stays_when_the_memory_is_free_again():
    before = peak_memory()
    large = bytearray(before + 2**24)  # zeroed, so not in use yet
    large[::4096] = bytes([1]) * len(large[::4096])
    del large
    assert peak_memory() > before + 2**24
    assert peak_memory() < 16 * (before + 2**24)  # of bytes, not of their 1,024
