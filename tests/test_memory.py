import subprocess
import sys

import pytest

from planet_torch.memory import keep_freed_memory, peak_memory

START = """
import ctypes, resource, sys, torch
from planet_torch.memory import keep_freed_memory

ctypes.CDLL(None).mallopt(-3, 2**17)  # what malloc starts with; it then adapts
if sys.argv[1] == "kept":
    assert keep_freed_memory()
"""
FAULTS = """
def work():
    for _ in range(10):
        torch.ones(2**20).add_(1)  # 4 MiB: 1,024 pages

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GIVEN_BACK = """
def resident():
    return int(open("/proc/self/statm").read().split()[1])

def work(size, touched):
    tensors = [torch.empty(size) for _ in range(6)]
    for tensor in tensors:
        tensor[:touched].fill_(1)
    before = resident()
    del tensor, tensors
    return before - resident()

for _ in range(2):
    work(2**12, 2**12)  # what small things need lies below the large ones then
small = [torch.empty(2**14) for _ in range(64)]
del small
print(work(2**27 + 2**20, 2**21))  # 3 GiB, more than the numbers of malloc reach
"""


def pages(code, how):
    """The number of pages that the code prints."""
    command = [sys.executable, "-c", START + code, how]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="not the GNU C library")
@pytest.mark.parametrize("code", [FAULTS, GIVEN_BACK], ids=["faults", "given back"])
def test_freed_memory_is_used_again(code):
    assert pages(code, "as it is") > 10_000
    assert pages(code, "kept") < 1_000


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
