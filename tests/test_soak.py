"""A short soak: memory, open files and threads of a run do not grow."""

import gc
import importlib.util
import sys
from pathlib import Path

import pytest

from planet_torch import video

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def soak(monkeypatch):
    """The script, as a module that names its own environment."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")
    spec = importlib.util.spec_from_file_location("soak", BENCHMARKS / "soak.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "soak", module)
    spec.loader.exec_module(module)
    gc.collect()  # what the tests before in this process left open is closed now
    return module


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("unchecked")
def test_a_run_does_not_grow(soak, tmp_path, capsys):
    table, picture = tmp_path / "soak.csv", tmp_path / "soak.png"
    words = ["--episodes", "40", "--csv", str(table), "--plot", str(picture)]
    assert soak.main([str(tmp_path / "run"), *words]) == 0
    assert "memory" in capsys.readouterr().out
    assert len(table.read_text().splitlines()) == 41
    assert picture.exists()


@pytest.mark.parametrize(
    ("last", "fine"),
    [
        ((60, 9, 104.9, 7, 2), True),
        ((60, 9, 105.1, 7, 2), False),
        ((60, 9, 100.0, 8, 2), False),
        ((60, 9, 100.0, 7, 3), False),
        ((60, 9, 50.0, 7, 2), True),
    ],
)
def test_growth_is_found(soak, last, fine):
    rows = [(n, n / 10, 100.0, 7, 2) for n in range(1, 60)]
    assert soak.verdict([*rows, last])[1] == fine
