"""Write the learning curve of a run as CSV, one line an episode or evaluation.

python benchmarks/export_curve.py runs/demo docs/results/demo.csv
"""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from planet_torch.metrics import Counters, read_metrics


def main(run: str, out: str) -> None:
    """Export the returns of a run."""
    records = read_metrics(Path(run) / "metrics.jsonl")
    with Path(out).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["kind", "task", *asdict(Counters()), "minutes", "return", "spread"]
        )
        for record in records:
            if record.kind not in ("seed", "collect", "evaluate"):
                continue
            returns = np.atleast_1d(
                record.values.get("returns", record.values.get("return"))
            )
            spread = returns.std(ddof=1) if len(returns) > 1 else ""
            counters = asdict(record.counters).values()
            minutes = round(record.time / 60, 2)
            names = record.kind, record.task
            writer.writerow([*names, *counters, minutes, returns.mean(), spread])


if __name__ == "__main__":
    main(*sys.argv[1:])
