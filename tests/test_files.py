"""A file is written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from planet_torch.files import write_atomically


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_bytes_and_writers_give_the_same_file(tmp_path):
    write_atomically(tmp_path / "a.bin", b"planet")
    write_atomically(tmp_path / "b.bin", lambda path: path.write_bytes(b"planet"))
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()
    assert names(tmp_path) == ["a.bin", "b.bin"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    def half(path):
        path.write_bytes(b"ha")
        raise error

    target = write_atomically(tmp_path / "a.bin", b"old")
    with pytest.raises(type(error)):
        write_atomically(target, half)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_content_is_on_the_disk_before_the_name_and_the_name_before_return(
    tmp_path, monkeypatch
):
    calls = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor):
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("directory" if directory else "content")
        fsync(descriptor)

    def noted_replace(source, target):
        calls.append("name")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(tmp_path / "a.bin", b"planet")
    assert calls == ["content", "name", "directory"]


def test_what_two_processes_write_at_once_is_whole(tmp_path):
    """Two commands may write one picture: each to a file of its own, as here."""

    def slowly(partial):
        partial.write_bytes(b"first")
        fork = os.fork()
        if not fork:
            write_atomically(tmp_path / "a.gif", b"second", alone=False)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
        assert (tmp_path / "a.gif").read_bytes() == b"second"

    write_atomically(tmp_path / "a.gif", slowly, alone=False)
    assert (tmp_path / "a.gif").read_bytes() == b"first"
    assert names(tmp_path) == ["a.gif"]


def test_the_remains_of_a_crash_are_overwritten(tmp_path):
    (tmp_path / ".partial-a.bin").write_bytes(b"torn and longer")
    write_atomically(tmp_path / "a.bin", b"new")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"new"
