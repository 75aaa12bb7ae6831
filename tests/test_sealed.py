"""A sealed file gives back what was put in, or says that it is not whole."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_torch import sealed
from planet_torch.sealed import seal, unseal

ARRAYS = {
    "reward": np.array([0, 1, 2], np.float32),
    "image": np.arange(24, dtype=np.uint8).reshape(3, 2, 4),
    "step": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}
HEADER = {"terminated": True, "name": "Größe", "values": [1, 0.1, None]}
CONTENT, CHECKSUM = seal("thing", ARRAYS, HEADER)


def unsealed(content, kind="thing"):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(content)
        return unseal(path, kind)


def test_what_was_sealed_comes_back():
    arrays, header, checksum = unsealed(CONTENT)
    assert header == HEADER
    assert checksum == CHECKSUM
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_a_flipped_bit_is_found_or_means_the_same():
    """Three of some thousands do: hexadecimal digits in upper case."""
    same = 0
    for place in range(8 * len(CONTENT)):
        spoilt = bytearray(CONTENT)
        spoilt[place // 8] ^= 1 << place % 8
        try:
            assert unsealed(spoilt).checksum == CHECKSUM
        except ValueError:
            continue
        same += 1
    assert same == 3


@given(st.integers(0, len(CONTENT) - 1), st.binary(max_size=20))
def test_no_part_of_a_file_is_the_file(length, more):
    with pytest.raises(ValueError, match=r"."):
        unsealed(CONTENT[:length] + more)


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="its format is None"):
        unsealed(CONTENT, "other")


@pytest.mark.parametrize("change", [{"step": np.array(8)}, {"step": np.array(7.0)}])
def test_other_values_have_another_checksum(change):
    assert seal("thing", {**ARRAYS, **change}, HEADER)[1] != CHECKSUM


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        unseal(tmp_path / "pipe", "thing")


def test_a_file_too_large_is_neither_written_nor_opened(tmp_path, monkeypatch):
    with (tmp_path / "bomb").open("wb") as file:
        file.truncate(sealed.LIMIT + 1)  # takes no space on the disk
    with pytest.raises(ValueError, match="more than"):
        unseal(tmp_path / "bomb", "thing")
    monkeypatch.setattr(sealed, "LIMIT", 10)
    with pytest.raises(ValueError, match="more than a file may have"):
        seal("thing", ARRAYS, HEADER)


def test_a_header_that_promises_more_than_there_is_is_refused():
    promise = b'{"x":{"dtype":"F32","shape":[10000000],"data_offsets":[0,40000000]}}'
    content = len(promise).to_bytes(8, "little") + promise + bytes(100)
    with pytest.raises(ValueError, match=r"."):
        unsealed(content)
