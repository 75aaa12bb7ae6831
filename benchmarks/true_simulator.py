"""Plan with the true simulator on the paper's tasks: the table of docs/planning.md.

    python benchmarks/true_simulator.py docs/results/true-simulator.csv [TASK ...]

Runs `planet plan` with each of the settings below, and adds a row to the file when one
has ended. Rows that are there are not run again, so it can be stopped.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

from planet_torch.cli import main as planet
from planet_torch.envs import make

EPISODES = 3
FEW = "--planner.candidates 32 --planner.iterations 3"
MORE = "--planner.candidates 128 --planner.iterations 6"
MANY = "--planner.candidates 256 --planner.iterations 6 --planner.elites 20"
WIDE = "--planner.candidates 200 --planner.iterations 5 --planner.sigma 3"
SETTINGS = [
    "dmc/reacher-easy --planner.horizon 12",
    "dmc/cartpole-swingup --planner.horizon 20",
    "dmc/cheetah-run --planner.horizon 12",
    f"dmc/cartpole-balance --planner.horizon 12 --planner.sigma 0.2 {MORE}",
    "dmc/ball_in_cup-catch --planner.horizon 12",
    f"dmc/walker-walk --planner.horizon 15 {FEW}",
    f"dmc/finger-spin --planner.horizon 12 {MANY}",
    f"dmc/finger-spin --planner.horizon 12 --planner.sigma 3 {MANY}",
    "dmc/cartpole-swingup --planner.horizon 12",
    f"dmc/finger-spin --planner.horizon 10 {WIDE} --planner.elites 20",
    f"dmc/finger-spin --planner.horizon 10 {WIDE} --planner.elites 10",
]
COLUMNS = [
    *("command", "task", "score", "published", "returns", "decisions"),
    *("seconds_per_decision", "cpu_seconds_per_decision"),
]


def main(path: str, *tasks: str) -> None:
    """Run what is not in the file yet, of these tasks or of all."""
    table = Path(path)
    done = set()
    if table.exists():
        with table.open(newline="") as lines:
            done = {row["command"] for row in csv.DictReader(lines)}
    else:
        table.write_text(",".join(COLUMNS) + "\n")
    make("dmc/cartpole-balance").close()  # what is imported now is not timed later
    for setting in SETTINGS:
        task = setting.split()[0]
        command = f"planet plan {setting} --episodes {EPISODES} --threads 1"
        if command not in done and task in (tasks or [task]):
            row = {"command": command, **measured(command.split()[1:])}
            with table.open("a", newline="") as lines:
                writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
                writer.writerow(row)


def measured(words: list[str]) -> dict[str, object]:
    """What the command tells as JSON, its numbers shortened."""
    said, start = io.StringIO(), time.process_time()
    with redirect_stdout(said):
        status = planet([*words, "--json"])
    if status:
        sys.exit(status)
    result = json.loads(said.getvalue())
    seconds = time.process_time() - start
    return {
        "task": result["task"],
        "score": f"{result['score']:.1f}",
        "published": result["published"],
        "returns": " ".join(f"{value:.1f}" for value in result["returns"]),
        "decisions": " ".join(map(str, result["decisions"])),
        "seconds_per_decision": f"{result['seconds_per_decision']:.3f}",
        "cpu_seconds_per_decision": f"{seconds / sum(result['decisions']):.3f}",
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
