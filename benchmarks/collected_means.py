"""Tell how well the last collected episodes did as a run went on, as a table.

    python benchmarks/collected_means.py docs/results/finger-spin.csv --every 4000

An evaluation is rare and one episode says little, so runs are compared by the mean
return of the last 20 episodes that the agent collected. A row is a file that
`export_curve.py` wrote; a column is so many updates, minutes or episodes, and the
last one the end of the run. With `--below 400` there follows in brackets how many of
the 20 had less than that. The table is Markdown.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple


class Collected(NamedTuple):
    """One collected episode: where the run was before it, and its return."""

    at: float
    value: float


def collected(path: Path, by: str) -> list[Collected]:
    """The episodes that the agent of a run collected, in order."""
    with path.open(newline="") as file:
        return [
            Collected(float(row[by]), float(row["return"]))
            for row in csv.DictReader(file)
            if row["kind"] == "collect"
        ]


def told(episodes: list[Collected], below: float | None) -> str:
    """The mean return, and how many have less; nothing of no episodes."""
    if not episodes:
        return ""
    mean = sum(episode.value for episode in episodes) / len(episodes)
    few = 0 if below is None else sum(episode.value < below for episode in episodes)
    return f"{mean:.0f} ({few})" if few else f"{mean:.0f}"


def row(
    episodes: list[Collected], columns: list[int], count: int, below: float | None
) -> list[str]:
    """One cell a column, empty where the run had ended, and one for its end."""
    reached = [at for at in columns if at <= episodes[-1].at]
    until = [[one for one in episodes if one.at <= at] for at in reached]
    cells = [told(seen[-count:], below) for seen in until]
    ended = [""] * (len(columns) - len(reached))
    return [*cells, *ended, told(episodes[-count:], below)]


def main() -> None:
    """Print the table of the files that are named."""
    options = parsed()
    curves = [collected(path, options.by) for path in options.files]
    for path, episodes in zip(options.files, curves, strict=True):
        if not episodes:
            raise SystemExit(f"{path} has no collected episodes; name a longer run.")
    last = max(int(episodes[-1].at) for episodes in curves)
    columns = list(range(options.every, last + 1, options.every))
    heads = [options.by, *(f"{at:,}" for at in columns), "end"]
    print("| " + " | ".join(heads) + " |")
    print("| --- " * len(heads) + "|")
    for path, episodes in zip(options.files, curves, strict=True):
        cells = row(episodes, columns, options.episodes, options.below)
        print("| " + " | ".join([path.stem, *cells]) + " |")


def count(word: str) -> int:
    """A whole number of at least 1."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} must be a whole number from 1 on")
    return int(word)


def parsed() -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description="Means of collected episodes.")
    parser.add_argument("files", type=Path, nargs="+", help="CSV of export_curve.py")
    parser.add_argument("--by", choices=("updates", "minutes", "episodes"))
    parser.add_argument("--every", type=count, help="from one column to the next")
    parser.add_argument("--episodes", type=count, help="in one mean")
    parser.add_argument("--below", type=float, help="count those of a lower return")
    parser.set_defaults(by="updates", every=4000, episodes=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
