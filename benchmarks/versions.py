"""Updates and decisions a minute while versions of the package train, in turns.

    python benchmarks/versions.py src ../other-checkout/src [--rounds N] [options]

Each is a folder that holds planet_torch; further options go to every `planet train` of
cartpole balance with that version's preset cpu. Seeds, and the first fit and episode,
which warm up, are not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

EPISODES = 9  # five of them with random actions


def rate(source: str, options: list[str]) -> float:
    """Updates and decisions a minute of one short run."""
    with tempfile.TemporaryDirectory() as folder:
        words = f"train dmc/cartpole-balance --preset cpu --run {folder}/run".split()
        words += ["--train.episodes", str(EPISODES), "--train.seed_episodes", "5"]
        words += ["--train.evaluate_every", "1000", "--train.evaluation_episodes", "1"]
        subprocess.run(
            [sys.executable, "-m", "planet_torch", *words, *options],
            env={**os.environ, "PYTHONPATH": str(Path(source).resolve())},
            check=True,
            capture_output=True,
        )
        lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    trained = [r for r in rows if r["kind"] == "collect" and r["updates"]]
    first, last = trained[0], trained[-1]
    done = sum(last[count] - first[count] for count in ("updates", "decisions"))
    return float(60 * done / (last["time"] - first["time"]))


def main() -> None:
    """A row for each version."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    given, options = parser.parse_known_args()
    rates: dict[str, list[float]] = {source: [] for source in given.sources}
    for _ in range(given.rounds):
        for source in given.sources:
            rates[source].append(rate(source, options))
            print(f"{source}: {rates[source][-1]:.0f}", file=sys.stderr, flush=True)
    medians = [statistics.median(each) for each in rates.values()]
    print("| version | a minute | times the last |\n| --- | --- | --- |")
    for source, median in zip(rates, medians, strict=True):
        print(f"| {source} | {median:.0f} | {median / medians[-1]:.2f} |")


if __name__ == "__main__":
    main()
