"""A lock on a run directory, which a process holds for as long as it lives."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class RunInUseError(ValueError):
    """Another process is at work in the run directory."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let no other process enter this with the same directory.

    The system holds the lock, on the open file ``run.lock``; so it ends with the
    process, however that dies. The file says who took it last.

    Raises:
        RunInUseError: if another process has it; it says which.
    """
    with (directory / "run.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                file.seek(0)
                raise RunInUseError(
                    f"{directory} is in use by {_holder(file.read(1000))}; wait for "
                    "its end or stop it, as two runs in one directory would spoil each "
                    "other"
                ) from error
            warnings.warn(
                f"{directory} is on a disk without locks: see to it that no other "
                "process works there",
                stacklevel=3,
            )
        file.truncate(0)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        json.dump({"pid": os.getpid(), "host": platform.node(), "since": since}, file)
        file.flush()
        yield


def _holder(text: str) -> str:
    """Who holds the lock, in words."""
    try:
        who = json.loads(text)
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (ValueError, KeyError, TypeError):  # it has not said so yet
        return "another process"
