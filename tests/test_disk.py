"""A disk that fails stops the run with one clear error, and it goes on afterwards."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planet_torch import cli, video
from planet_torch.files import DiskError, disk_errors_explained
from planet_torch.resume import resume
from planet_torch.run import Run
from planet_torch.training import train
from small import episodes, small, trained, weights

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.filterwarnings("ignore:there is no checkpoint"),  # what died early
]

ERRORS = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EROFS: "can only be read: mount it for writing",
    errno.EIO: "the disk fails",
}


@pytest.fixture(autouse=True)
def gif(monkeypatch):
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")  # faster than mp4


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "video_suffix", lambda: ".gif")
        return trained(tmp_path_factory.mktemp("whole") / "run")


def fail(monkeypatch, owner, name, calls, number):
    """Let the n-th call and all after it fail as a disk does."""
    original, seen = getattr(owner, name), 0

    def failing(*arguments, **options):
        nonlocal seen
        seen += 1
        if seen >= calls:
            raise OSError(number, os.strerror(number))
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [
        (os, "fsync", 5),  # an episode
        (os, "fsync", 10),  # metrics or a checkpoint
        (Path, "write_bytes", 3),
        (Path, "replace", 4),
    ],
)
def test_a_disk_that_fails_stops_the_run(
    whole, tmp_path, monkeypatch, owner, name, calls, number
):
    run = Run.create(tmp_path / "run", small())
    with monkeypatch.context() as patch:
        fail(patch, owner, name, calls, number)
        with pytest.raises(DiskError, match=f"{ERRORS[number]}.*planet train --resume"):
            train(run)
    train(resume(run.directory))
    assert weights(run) == weights(whole)
    assert episodes(run) == episodes(whole)


def test_a_directory_that_vanishes_is_told(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", small())
    moved = tmp_path / "moved"
    with monkeypatch.context() as patch:
        patch.setattr(
            "planet_torch.trainer.Trainer.save",
            lambda _: (
                run.directory.rename(moved) and (run.directory / "x").write_bytes(b"")
            ),
        )
        with pytest.raises(DiskError, match="the disk is gone: mount it again"):
            train(run)
    train(resume(moved))


def test_a_file_that_vanishes_is_no_disk_that_does(tmp_path):
    gone = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "one.bin"))
    told = pytest.raises(DiskError, match=r"one.bin is gone: put it back")
    with told, disk_errors_explained(tmp_path, "again"):
        raise gone


def test_the_error_of_something_else_passes(tmp_path):
    with pytest.raises(FileNotFoundError), disk_errors_explained(tmp_path, "again"):
        (tmp_path.parent / "elsewhere" / "x").read_bytes()
    with (
        pytest.raises(OSError, match="simulator"),
        disk_errors_explained(tmp_path, "again"),
    ):
        raise OSError("the simulator died")


@pytest.fixture
def little(tmp_path):
    """A disk of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() or subprocess.call(mount):
        pytest.skip("only root can mount a disk")
    yield disk
    subprocess.check_call(["umount", str(disk)])


def test_a_run_goes_on_when_there_is_room_again(whole, little, capsys):
    """On a disk that is full in truth."""
    run = Run.create(little / "run", small())
    ballast = little / "ballast"
    ballast.write_bytes(bytes(150_000))
    words = ["train", "--resume", str(run.directory)]
    assert cli.main(words) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "error" in x]
    assert "the disk is full: make room; then planet train --resume" in line
    ballast.unlink()
    subprocess.check_call(["mount", "-o", "remount,size=2m", str(little)])
    assert cli.main(words) == 0
    assert weights(run) == weights(whole)
    assert episodes(run) == episodes(whole)
