"""Two processes never train in one directory, and a dead one holds nothing."""

import subprocess
import sys

import pytest

from planet_torch.cli import main
from planet_torch.lock import RunInUseError, locked

HOLD = (
    "import sys, pathlib, time\n"
    "from planet_torch.lock import locked\n"
    "with locked(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(100)\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_has_it_is_named(tmp_path, holder):
    who = rf"in use by process {holder.pid} on .* since 20\d\d-"
    with pytest.raises(RunInUseError, match=who), locked(tmp_path):
        pass


def test_a_dead_process_does_not_hold_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass


def test_it_ends_with_the_block_and_before_that_none_can_have_it(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunInUseError), locked(tmp_path):
            pass
        with pytest.raises(RunInUseError), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_the_command_says_so(tmp_path, capsys):
    words = ["train", "toys:integrator", "--preset", "debug", "--run", str(tmp_path)]
    with locked(tmp_path):
        assert main(words) == 2
    assert "is in use by process" in capsys.readouterr().err
    assert not (tmp_path / "config.json").exists()
