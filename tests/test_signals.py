"""SIGINT and SIGTERM at any moment leave a run that goes on to the same bits."""

import signal
import subprocess
import sys
import threading
import time

import pytest

import test_resume
from planet_torch.signals import Terminated, terminable

planet, digest, TRAIN = test_resume.planet, test_resume.digest, test_resume.TRAIN


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    run = tmp_path_factory.mktemp("uncut") / "run"
    assert planet(*TRAIN, "--run", run) == 0
    return digest(run)


@pytest.mark.parametrize(
    ("place", "calls", "number"),
    [
        ("planet_torch.build:check", 1, signal.SIGTERM),  # there is no run yet
        ("planet_torch.run:Run.note_start", 1, signal.SIGINT),
        ("planet_torch.estimate:disk", 1, signal.SIGTERM),
        ("planet_torch.trainer:Trainer.__init__", 1, signal.SIGTERM),
        ("planet_torch.collector:run_episodes", 1, signal.SIGINT),
        ("planet_torch.replay:Replay.add", 4, signal.SIGTERM),
        ("planet_torch.metrics:Reporter.log", 4, signal.SIGINT),
        ("planet_torch.checkpoint:save", 2, signal.SIGTERM),
        ("planet_torch.trainer:keep_episode", 1, signal.SIGINT),
        ("planet_torch.trainer:Trainer.save", 4, signal.SIGTERM),  # the last one
        ("planet_torch.report:print_result", 1, signal.SIGTERM),
    ],
)
def test_a_signal_anywhere_loses_nothing(uncut, tmp_path, place, calls, number):
    run = tmp_path / "run"
    status = planet(*TRAIN, "--run", run, place=place, calls=calls, send=number)
    assert status == 128 + number
    begun = (run / "config.json").exists()
    again = ["train", "--resume", run] if begun else [*TRAIN, "--run", run]
    assert planet(*again) == 0
    assert digest(run) == uncut


def test_a_second_signal_does_not_wait(tmp_path, monkeypatch):
    """The first waits for the end of the decision, which never comes."""
    monkeypatch.setenv("HOSTILE_MEMORY", str(tmp_path / "hangs"))
    words = [sys.executable, "-m", "planet_torch", "train", "hostile:hangs"]
    options = ["--preset", "debug", "--train.chunk", "6", "--run", str(tmp_path / "r")]
    process = subprocess.Popen([*words, *options], stderr=subprocess.PIPE, text=True)
    with process:
        while not (tmp_path / "hangs").exists():
            assert process.poll() is None
            time.sleep(0.05)
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        said = process.stderr.read()
    assert process.returncode == 143
    assert said == "planet: error: terminated\n"


def test_sigterm_is_raised_only_while_somebody_listens():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_thread_cannot_listen_and_does_not_fail():
    heard = []

    def listen():
        with terminable():
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [signal.getsignal(signal.SIGTERM)]
