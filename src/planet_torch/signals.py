"""Signals that ask a run to stop, heard at the points where it can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Terminated(BaseException):
    """SIGTERM came, as KeyboardInterrupt says of SIGINT."""


@contextmanager
def terminable() -> Iterator[None]:
    """While this is entered, SIGTERM raises ``Terminated``, so that all is tidied up.

    Outside of the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


class Stopped(Exception):  # noqa: N818 - not an error
    """The run was asked to stop; it is saved, and goes on when resumed.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignals:
    """While this is entered, SIGINT and SIGTERM wait for the next ``check``.

    A second one acts at once, as if nobody listened. To be entered in the main thread.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    def check(self) -> None:
        """Raise ``Stopped`` if a signal came."""
        if self._number is not None:
            raise Stopped(self._number)

    def __enter__(self) -> StopSignals:
        """Listen."""
        self._before = {
            number: signal.signal(number, self._listen)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no longer."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _listen(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        signal.signal(number, self._before[signal.Signals(number)])
