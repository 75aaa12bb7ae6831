"""Files that are whole or absent, whatever happens while they are written; names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path


def file_name(text: str) -> str:
    """The text with "-" for all that a file's name had better not have."""
    return re.sub(r"[^\w.+-]", "-", text)


def write_atomically(
    path: str | os.PathLike[str], content: bytes | Callable[[Path], object]
) -> Path:
    """Write a file so that a crash leaves the old one, the new one, but no half.

    The content goes to a hidden temporary file beside the target (same file system,
    same suffix), reaches the disk, and only then takes the target's name; the directory
    is synced last, so that the new name survives a power cut too. One writer at a time:
    the temporary name is fixed, so what a crash leaves behind is overwritten, not
    collected.

    Args:
        path: the target; its directory must exist.
        content: the bytes, or a function that writes them to the path it is given.

    Returns:
        The target.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
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
    if os.name == "posix":  # Windows can neither open nor sync a directory
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
        raise NotADirectoryError(f"{place} is a file; choose another directory")
    return place


def in_bytes(count: int | float) -> str:
    """A number of bytes to read: 1.5 GB is 1,500,000,000 of them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.0f} TB"


def _sync(path: Path) -> None:
    """Wait until the file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
