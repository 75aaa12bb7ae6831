"""A kernel that was cut short is seen and swept away; a whole one stays."""

import os
import struct
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from planet_torch.compilation import missing
from planet_torch.kernels import LINKING, is_whole, sweep
from test_compilation import program

# A header that speaks of a table of two sections, each 64 bytes long, from byte 80 on.
HEADER = struct.pack("<4s36xQ10xHH2x", b"\x7fELF", 80, 64, 2)
WHOLE = HEADER + bytes(16) + bytes(2 * 64)

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems' libraries are not read"
)


def kernel(cache, name, content, age=2 * LINKING):
    """A file of the compiler's cache, written so many seconds ago."""
    path = cache / name / f"{name}.main.so"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


@linux
@pytest.mark.parametrize("length", [1, 63, 64, 80, 207])
def test_a_library_is_whole_with_its_last_byte(tmp_path, length):
    assert len(WHOLE) == 208
    assert not is_whole(kernel(tmp_path, "cut", WHOLE[:length]))
    assert is_whole(kernel(tmp_path, "whole", WHOLE))


@linux
def test_a_library_that_the_system_loads_is_whole():
    assert is_whole(Path(torch._C.__file__))


@linux
def test_a_file_of_the_right_length_without_its_head_is_not_whole(tmp_path):
    assert not is_whole(kernel(tmp_path, "hole", bytes(64) + WHOLE[64:]))


def test_only_what_was_cut_is_swept(tmp_path):
    empty, whole = kernel(tmp_path, "empty", b""), kernel(tmp_path, "whole", WHOLE)
    (tmp_path / "source.cpp").touch()
    assert sweep(tmp_path) == [empty]
    assert whole.exists()
    assert not empty.exists()
    assert (tmp_path / "source.cpp").exists()
    assert sweep(tmp_path) == []


def test_a_kernel_that_is_being_written_is_waited_for(tmp_path):
    slow = kernel(tmp_path, "slow", b"", age=0)
    writer = threading.Timer(0.3, slow.write_bytes, [WHOLE])
    writer.start()
    assert sweep(tmp_path) == []
    writer.join()
    assert slow.read_bytes() == WHOLE


def test_one_that_another_process_swept_lacks_nothing(tmp_path):
    assert is_whole(tmp_path / "gone.so")


def test_before_the_compiler_is_tried_its_cache_is_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch, "compile", lambda function: function)
    cut = kernel(tmp_path, "cut", b"")
    assert missing.__wrapped__(torch.device("cpu")) is None
    assert not cut.exists()


COMPILE = """
    import torch
    from planet_torch.compilation import missing
    print(missing(torch.device("cpu")))
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_after_a_kill_in_the_compiler_all_is_compiled_again(tmp_path):
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    first = program(COMPILE, **cache).stdout.strip()
    if first != "None":
        pytest.skip(f"no compiler: {first}")
    made = sorted(tmp_path.rglob("*.so"))
    assert made
    for path in made:
        os.truncate(path, 0)
    assert program(COMPILE, **cache).stdout.strip() == "None"
    assert sorted(tmp_path.rglob("*.so")) == made
    assert all(is_whole(path) for path in made)
