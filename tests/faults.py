"""Kill runs at chosen and at random moments, and compare them with one left alone.

    PYTHONPATH=src python tests/faults.py --cuts 200 --seed 0

kills a small run at random moments, resumes it until it ends, and begins another, until
so many cuts were made. It prints how many were tried and survived.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

import toys
from planet_torch import checkpoint

# Started once with everything imported; each command is then a fork of it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        # The first optimiser of a process imports torch._dynamo, which takes seconds.
        "torch._dynamo",
        # To parse a command, and to draw the curve, takes longer than to learn.
        *("planet_torch.cli", "planet_torch.report"),
        *("planet_torch.recover", "planet_torch.resume", "planet_torch.training"),
        "toys",
    ]
)

TRAIN = [
    *("train", "toys:integrator", "--preset", "debug"),
    *("--train.episodes", "5", "--train.chunk", "6", "--train.evaluate_every", "2"),
]
DECISION = "planet_torch.rollout:_Recorder.record"
UPDATE = "planet_torch.trainer:Trainer.update"


def start(*arguments, **death):
    """Begin the command."""
    words = [str(word) for word in arguments]
    process = PROCESSES.Process(target=toys.planet, args=(words,), kwargs=death)
    process.start()
    return process


def planet(*arguments, **death):
    """Run the command, and return its exit status."""
    process = start(*arguments, **death)
    process.join(100)
    return process.exitcode


def bits(value):
    """Nested values with the bytes of their tensors."""
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return {key: bits(part) for key, part in value.items()}
    return [bits(part) for part in value] if isinstance(value, list) else value


def digest(run):
    """All that a run consists of, but for the time it took."""
    newest = max((run / "checkpoints").glob("*.safetensors"))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    files = [*(run / "episodes").glob("*.safetensors"), *(run / "videos").iterdir()]
    return {
        "checkpoint": bits(checkpoint.load(newest)),
        "metrics": [{**json.loads(line), "time": None} for line in lines],
        "files": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
    }


class Report(NamedTuple):
    """What came of random cuts."""

    tried: int
    survived: int  # in runs that ended like the one that was left alone
    runs: int
    seconds: float


def cut_at_random(directory, cuts, seed, uncut):
    """Kill runs at random moments until there were so many cuts."""
    draw, begun = random.Random(seed), time.monotonic()
    tried = survived = runs = 0
    longest = 2.0  # seconds to the next cut; as long as it takes, in the end
    while tried < cuts:
        run, here = directory / f"run-{runs}", 0
        while True:
            resumable = (run / "config.json").exists()
            words = ["train", "--resume", run] if resumable else [*TRAIN, "--run", run]
            process = start(*words)
            process.join(draw.uniform(0, longest))
            if process.exitcode is None:
                process.kill()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode < 0, "it failed, and was not killed"
            here += 1
            longest *= 1.1
        longest = max(longest / 2, 0.5)
        tried, runs = tried + here, runs + 1
        survived += here if digest(run) == uncut else 0
        report = Report(tried, survived, runs, round(time.monotonic() - begun, 1))
        print(report, flush=True)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with tempfile.TemporaryDirectory() as place:
        alone = Path(place) / "alone"
        assert planet(*TRAIN, "--run", alone) == 0
        cut_at_random(Path(place), given.cuts, given.seed, digest(alone))


if __name__ == "__main__":
    main()
