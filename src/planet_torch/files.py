"""Files that are whole or absent, whatever happens while they are written; names."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_DISK = {  # what the system says, and what it means
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the quota of disk space is used up: make room",
    errno.EROFS: "the disk can only be read: mount it for writing",
    errno.EACCES: "it is not allowed to write there: see to its permissions",
    errno.EPERM: "it is not allowed to write there: see to its permissions",
    errno.ENOENT: "the directory is gone: mount its disk again",
    errno.ENODEV: "the disk is gone: mount it again",
    errno.ENXIO: "the disk is gone: mount it again",
    errno.ESTALE: "the disk is gone: mount it again",
    errno.EIO: "the disk fails: see to it",
}
_ROOM = 2**16  # bytes; a disk with fewer is full


class DiskError(OSError):
    """The disk does not do what it is there for."""


def file_name(text: str) -> str:
    """The text with "-" for all that a file's name had better not have."""
    return re.sub(r"[^\w.+-]", "-", text)


def write_atomically(
    path: str | os.PathLike[str],
    content: bytes | Callable[[Path], object],
    alone: bool = True,
) -> Path:
    """Write a file so that a crash leaves the old one, the new one, but no half.

    The content goes to a hidden temporary file beside the target (same file system,
    same suffix), reaches the disk, and only then takes the target's name; the directory
    is synced last, so that the new name survives a power cut too. The temporary name is
    fixed, so that what a crash leaves behind is overwritten, not collected.

    Args:
        path: the target; its directory must exist.
        content: the bytes, or a function that writes them to the path it is given.
        alone: whether no other process writes this file now. If one may, as commands
            write videos, the temporary name is the process's own, and the last wins.

    Returns:
        The target.
    """
    path = Path(path)
    own = "" if alone else f"{os.getpid()}-"
    partial = path.with_name(f".partial-{own}{path.name}")
    try:
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(content)
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    return path


def nearest(directory: Path) -> Path:
    """The directory, or what of its path is there already.

    Raises:
        NotADirectoryError: if that is a file.
    """
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(
            f"{directory} is a file or inside one; choose another directory"
        )
    return place


def in_bytes(count: int | float) -> str:
    """A number of bytes to read: 1.5 GB is 1,500,000,000 of them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.0f} TB"


def set_aside(path: Path, why: str) -> Path:
    """Rename a file that is not to be used; to delete data is for the user.

    Args:
        path: of the file.
        why: "damaged" or "superseded", which with a number ends the new name.

    Returns:
        The new path.
    """
    names = (f"{path.name}.{why}-{number}" for number in itertools.count(1))
    aside = next(p for p in map(path.with_name, names) if not os.path.lexists(p))
    return path.rename(aside)


@contextmanager
def disk_errors_explained(directory: Path, then: str) -> Iterator[None]:
    """Turn an OSError of the disk with a directory into one that says what to do.

    Any other OSError, such as one of an environment, passes.

    Args:
        directory: that is written to.
        then: what to do when that is done.

    Raises:
        DiskError: in its place.
    """
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        reason = _reason(error, directory)
        if reason is None:
            raise
        raise DiskError(f"{directory}: {reason}; then {then} ({error})") from error


def _reason(error: OSError, directory: Path) -> str | None:
    """What an error means for the directory; None if it has nothing to do with it."""
    if not directory.is_dir():
        return _DISK[errno.ENODEV]
    # An encoder of videos says no more than that its pipe broke.
    if shutil.disk_usage(directory).free < _ROOM:
        return _DISK[errno.ENOSPC]
    where = Path(os.path.abspath(error.filename)) if error.filename else None
    inside = where is None or where.is_relative_to(os.path.abspath(directory))
    if error.errno == errno.ENOENT and where and inside and where.parent.is_dir():
        return f"{where.name} is gone: put it back, or go on without it"
    return _DISK.get(error.errno or 0) if inside else None


def _sync(path: Path) -> None:
    """Wait until the file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
