"""Updates and decisions a minute while versions of the package train, in turns.

    python benchmarks/versions.py src ../other-checkout/src
    python benchmarks/versions.py src "src train.parallel=True" --task dmc/finger-spin

A contender is a folder that holds planet_torch, and options of its own; those that this
command does not know go to every `planet train`, of that version's preset cpu. Seeds,
and the first fit and episode, which warm up, are not counted.
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


def rate(contender: str, task: str, options: list[str]) -> float:
    """Updates and decisions a minute of one short run."""
    source, *own = contender.split()
    for option in own:
        name, _, value = option.partition("=")
        options = [*options, f"--{name}", value]
    with tempfile.TemporaryDirectory() as folder:
        words = f"train {task} --preset cpu --run {folder}/run".split()
        words += ["--train.episodes", str(EPISODES), "--train.seed_episodes", "5"]
        words += ["--train.evaluate_every", "1000", "--train.evaluation_episodes", "1"]
        done = subprocess.run(
            [sys.executable, "-m", "planet_torch", *words, *options],
            env={**os.environ, "PYTHONPATH": str(Path(source).resolve())},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{contender}: {done.stderr}")
        # As plain JSON: those of another version may be of an older form.
        lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    trained = [r for r in rows if r["kind"] == "collect" and r["updates"]]
    first, last = trained[0], trained[-1]
    done_between = sum(last[name] - first[name] for name in ("updates", "decisions"))
    return float(60 * done_between / (last["time"] - first["time"]))


def main() -> None:
    """A row for each contender."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contenders", nargs="+")
    parser.add_argument("--task", default="dmc/cartpole-balance")
    parser.add_argument("--rounds", type=int, default=3)
    given, options = parser.parse_known_args()
    rates: dict[str, list[float]] = {each: [] for each in given.contenders}
    for _ in range(given.rounds):
        for each in given.contenders:
            rates[each].append(rate(each, given.task, options))
            print(f"{each}: {rates[each][-1]:.0f}", file=sys.stderr, flush=True)
    medians = [statistics.median(found) for found in rates.values()]
    print("| version | a minute | times the last |\n| --- | --- | --- |")
    for each, median in zip(rates, medians, strict=True):
        print(f"| {each} | {median:.0f} | {median / medians[-1]:.2f} |")


if __name__ == "__main__":
    main()
