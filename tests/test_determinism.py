"""Same seed, same machine, same bits: train, evaluate, plan; each model and planner."""

import contextlib
import json
from typing import get_args, get_type_hints

import pytest

import faults
import test_resume
from planet_torch import video
from planet_torch.build_model import DYNAMICS
from planet_torch.cli import main
from planet_torch.config import PlannerConfig

pytestmark = pytest.mark.usefixtures("unchecked")

METHODS = get_args(get_type_hints(PlannerConfig).get("method"))
TRAIN = [
    *("train", "toys:integrator", "--preset", "debug", "--train.chunk", "6"),
    *("--train.episodes", "3", "--train.updates", "2", "--env.image_size", "8"),
]
VARIANTS = [["--model.dynamics", name] for name in DYNAMICS]
VARIANTS += [["--planner.method", name] for name in METHODS if name != "cem"]
VARIANTS += [["--env.isolate", "True"], ["--env.observation", "state"]]
VARIANTS += [["--train.parallel", "True"], ["--train.carry_states", "True"]]


# The toy may stay at the end of its line, of which a run warns.
@pytest.mark.filterwarnings("ignore:all observations of an episode")
@pytest.mark.parametrize("words", VARIANTS, ids=" ".join)
def test_the_same_seed_gives_the_same_bits(words, tmp_path, monkeypatch, capsys):
    """In this process and in another, to the last byte of each file."""
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")
    monkeypatch.setattr(
        "planet_torch.run.SIDE_BY_SIDE", 2
    )  # not a process for each of ten
    here, there = tmp_path / "here", tmp_path / "there"
    if words[-1] == "rnn-released":
        words = [*words, "--objective.kl_weight", "0"]
    assert main([*TRAIN, *words, "--run", str(here)]) == 0
    assert test_resume.planet(*TRAIN, *words, "--run", there) == 0
    assert test_resume.digest(here) == test_resume.digest(there)
    capsys.readouterr()
    scores = []
    for run, seed in ((here, "1"), (there, "1"), (here, "2")):
        said = main(["evaluate", str(run), "--episodes", "2", "--json", "--seed", seed])
        assert said == 0
        scores.append(capsys.readouterr().out)
    assert scores[0] == scores[1] != scores[2]


PLAN = ["plan", "dmc/cartpole-balance", "--episodes", "1", "--action_repeat", "100"]
PLAN += ["--planner.horizon", "2", "--planner.candidates", "12", "--json"]


def planned(path, words):
    """What `planet plan` says, but for the time it took, as text in a file."""
    with path.open("w") as file, contextlib.redirect_stdout(file):
        assert main(words) == 0
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "seconds_per_decision": None}))


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_with_the_true_simulator_repeats_itself(method, tmp_path):
    """In this process and in another, whatever the threads."""
    words = [*PLAN, "--planner.method", method]
    here, there, otherwise = (tmp_path / name for name in ("here", "there", "else"))
    more = [*words, "--threads", "2"]
    process = faults.PROCESSES.Process(target=planned, args=(there, more))
    process.start()
    planned(here, [*words, "--threads", "1"])
    planned(otherwise, [*words, "--seed", "1"])
    process.join(100)
    assert process.exitcode == 0
    assert here.read_text() == there.read_text() != otherwise.read_text()
