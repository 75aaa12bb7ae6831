"""What `benchmarks/export_curve.py` writes of a run."""

import csv

import pytest

from planet_torch.metrics import Counters, Reporter
from scripts import BENCHMARKS, script

export_curve = script(BENCHMARKS / "export_curve.py")


def test_episodes_and_evaluations_are_written_and_accidents_are_not(tmp_path):
    with Reporter(tmp_path / "metrics.jsonl") as reporter:
        reporter.log("seed", {"return": 3.0}, Counters(episodes=1), "dmc/a")
        reporter.log("fault", {"in a row": 1.0}, Counters(episodes=1), "dmc/a")
        reporter.log("fit", {"loss": 2.0}, Counters(episodes=1))
        values = {"score": 5.0, "returns": [4.0, 6.0]}
        reporter.log("evaluate", values, Counters(episodes=2), "dmc/a")
    export_curve.main(str(tmp_path), str(tmp_path / "curve.csv"))
    with (tmp_path / "curve.csv").open() as file:
        seed, evaluated = csv.DictReader(file)
    assert (seed["kind"], seed["return"], seed["spread"]) == ("seed", "3.0", "")
    assert (evaluated["episodes"], evaluated["return"]) == ("2", "5.0")
    assert float(evaluated["spread"]) == pytest.approx(2**0.5)
