"""A process that answers what it is asked, and may die or hang alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

PROCESSES = multiprocessing.get_context("spawn")  # a fork would share locks and OpenGL
CLOSE_SECONDS = 5.0  # to end what it does, and to tidy up
LONGEST = 1e6  # seconds, 12 days; the system counts them in milliseconds of 32 bits
HEARD = (signal.SIGINT, signal.SIGTERM)


class Gone(Exception):  # noqa: N818 - how it ended, which is for others to judge
    """The process is no more; the message says how it ended."""


class Worker:
    """Starts a process, and talks with it.

    Args:
        work: is called in the process with its end of a pipe, and ``arguments``; what
            it receives there is what is asked, and None says that nothing more will be.
        arguments: can be sent to a process.
        daemon: it ends with this process, even if nobody closes it, and may start none
            itself.
    """

    def __init__(
        self, work: Callable[..., None], *arguments: Any, daemon: bool = True
    ) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(
            target=_run, args=(theirs, work, *arguments), daemon=daemon
        )
        with _signals_held():
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    @property
    def closed(self) -> bool:
        """Whether the process was ended, or found dead."""
        return self._pipe.closed

    def ask(self, request: Any) -> None:
        """Send a request; does not wait for the answer.

        Raises:
            Gone: if the process died.
        """
        try:
            self._pipe.send(request)
        except OSError:
            raise Gone(self._death()) from None

    def answered(self, seconds: float) -> bool:
        """Whether there is an answer, or the end, within so many seconds."""
        return self.closed or self._pipe.poll(min(seconds, LONGEST))

    def answer(self) -> Any:
        """The next answer; waits for it.

        Raises:
            Gone: if the process died.
        """
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            raise Gone(self._death()) from None

    def close(self) -> None:
        """Let the process end what it does, for a while, and then end it."""
        if self.closed:
            return
        try:
            self._pipe.send(None)
            self._process.join(CLOSE_SECONDS)
        except OSError:
            pass  # it is gone already
        self.kill()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._process.join(CLOSE_SECONDS)
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _death(self) -> str:
        """How a process ended that is gone."""
        self._process.join(CLOSE_SECONDS)
        code = self._process.exitcode
        self.kill()
        if code is not None and code < 0:
            return f"by {signal.Signals(-code).name}"
        return f"exit status {code}"


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let a process that is started now hear no signals until it says otherwise.

    A Ctrl-C at a terminal goes to all processes, and would end one that still imports.
    """
    resource_tracker.ensure_running()  # else it would be started below, and unblock
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(pipe: Connection, work: Callable[..., None], *arguments: Any) -> None:
    """In the process: work until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer hears it, and decides
    signal.signal(signal.SIGTERM, _exit)  # else what the system holds for it would stay
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):  # nobody listens any more
        work(pipe, *arguments)


def _exit(number: int, frame: FrameType | None) -> None:
    """Leave, by way of all that is to be tidied up."""
    sys.exit(128 + number)


def _end_with_parent() -> None:
    """Leave no process behind when the one that started it is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
