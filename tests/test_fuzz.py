"""Whatever a stranger puts into a run directory is refused, or read as what it is."""

import subprocess
import sys

import pytest

import fuzzing
from fuzzing import CONTENT, NAMES, ORIGINALS, fuzz, try_one
from planet_torch import checkpoint


@pytest.mark.parametrize("inputs", [300, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("reader", NAMES)
@pytest.mark.timeout(3600)
def test_no_file_surprises_a_reader(reader, inputs):
    counts = fuzz(reader, inputs)
    print(reader, dict(counts))
    assert counts.total() >= inputs * 0.9
    assert counts["refused"] > inputs / 10


@pytest.mark.slow
@pytest.mark.parametrize("reader", NAMES)
def test_what_atheris_finds_does_not_surprise_a_reader(reader):
    """In a process of its own, since atheris ends the one that it is in."""
    pytest.importorskip("atheris", reason="pip install atheris, for this test alone")
    words = [fuzzing.__file__, "--atheris", "60", "--reader", reader]
    done = subprocess.run(
        [sys.executable, *words], check=False, capture_output=True, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "by atheris" in done.stdout


@pytest.mark.parametrize("reader", NAMES)
def test_a_whole_file_is_read(reader):
    assert try_one(reader, ORIGINALS[reader])


def test_a_checkpoint_that_lacks_a_part_is_refused():
    for name in CONTENT:
        part = {key: value for key, value in CONTENT.items() if key != name}
        with pytest.raises(ValueError, match=name):
            checkpoint.check(part)
