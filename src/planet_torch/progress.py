"""What a person sees of a run: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.progress_bar import ProgressBar
from rich.table import Table

from planet_torch.metrics import Counters, Progress, Record

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # of a bar, and of a line of bars


def terminal_progress(
    title: str, episodes: int, console: Console | None = None
) -> Progress:
    """A live panel if the console is a terminal, and plain lines if it is not.

    Args:
        title: what runs, for example the task.
        episodes: how many are to be collected in all; the time left is estimated by it.
        console: where to write; standard output by default.
    """
    console = console or Console()
    kind = Panel if console.is_terminal else Lines
    return kind(title, episodes, console)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """The last values as a line of bars, from the lowest to the highest of them.

    What is not finite is a space.
    """
    values = values[-width:]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return " " * len(values)
    low, high = min(finite), max(finite)
    scale = (len(BARS) - 1) / ((high - low) or 1.0)
    return "".join(
        BARS[round((v - low) * scale)] if math.isfinite(v) else " " for v in values
    )


def duration(seconds: float) -> str:
    """Seconds as 0:07:03, hours:minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


class Phase:
    """A part of the run that is counted in one unit, and its speed.

    Args:
        name: for example "fit".
        total: how many units it takes.
        unit: for example "updates".
        clock: gives the time in seconds.
    """

    def __init__(
        self, name: str, total: int, unit: str, clock: Callable[[], float]
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self._clock = clock
        self._start = self._last = clock()

    def advance(self, count: int) -> None:
        """Count so many units as done."""
        self.done += count
        self._last = self._clock()

    @property
    def count(self) -> str:
        """How much is done, with its unit."""
        return f"{self.done:,}/{self.total:,} {self.unit}"

    @property
    def speed(self) -> float | None:
        """Units a second until the last one was done; None before the first."""
        seconds = self._last - self._start
        return self.done / seconds if self.done and seconds > 0 else None


class Lines:
    """A line for each record, and one a minute inside a long phase.

    Args:
        title: printed first.
        episodes: of the run.
        console: where to write.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        title: str,
        episodes: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._print = functools.partial(
            console.print, markup=False, highlight=False, soft_wrap=True
        )
        self._clock = clock
        self._printed = clock()
        self._phase: Phase | None = None
        self._print(f"{title}, {episodes} episodes")

    def recall(self, records: Sequence[Record], counters: Counters) -> None:
        """Say where the run goes on."""
        if counters.episodes:
            self._print(f"goes on after {_counters(counters)}")

    def phase(self, name: str, total: int, unit: str) -> None:
        """Begin to watch a phase."""
        self._phase = Phase(name, total, unit, self._clock)
        self._printed = self._clock()

    def advance(self, count: int) -> None:
        """Print a line if a minute has passed without one."""
        if self._phase is None:
            return
        self._phase.advance(count)
        if self._clock() - self._printed >= 60:
            self._printed = self._clock()
            self._print(f"{self._phase.name}: {self._phase.count}")

    def write(self, record: Record) -> None:
        """Print the record."""
        self._printed = self._clock()
        values = _values(record.scalars)
        counters = _counters(record.counters)
        self._print(f"{duration(record.time)} {record.name}: {values} | {counters}")

    def close(self) -> None:
        """Nothing is left to print."""


class Panel:
    """A panel that stays in its place and is drawn four times a second.

    Args:
        title: stands above it.
        episodes: how many are to be collected in all.
        console: a terminal.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        title: str,
        episodes: int,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._episodes, self._clock = title, episodes, clock
        # Another thread draws, so what is here is replaced and never changed in place.
        self._phase: Phase | None = None
        self._speeds: dict[str, Phase] = {}  # the last phase counted in each unit
        self._records: dict[str, tuple[Record, ...]] = {}  # the last ones of each name
        self._newest = Record("", Counters(), {}, 0.0)
        self._since = clock()  # when the newest record came
        self._live = Live(self, console=console, refresh_per_second=4)

    def recall(self, records: Sequence[Record], counters: Counters) -> None:
        """Show the records of the run so far, and where it goes on."""
        for record in records:
            self.write(record)
        self._newest = replace(self._newest, counters=counters)

    def phase(self, name: str, total: int, unit: str) -> None:
        """Show the bar of another phase."""
        self._phase = Phase(name, total, unit, self._clock)
        self._speeds = {**self._speeds, unit: self._phase}
        self._live.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._phase is not None:
            self._phase.advance(count)

    def write(self, record: Record) -> None:
        """Show the record."""
        last = (*self._records.get(record.name, ()), record)[-WIDTH:]
        self._records = {**self._records, record.name: last}
        self._newest, self._since = record, self._clock()

    def close(self) -> None:
        """Leave the panel as it is and give the terminal back."""
        self._live.stop()

    def __rich__(self) -> RenderableType:
        """The panel as it is now."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for label, content in self._rows():
            table.add_row(label, content)
        return Frame(table, title=self._title, title_align="left", expand=False)

    def _rows(self) -> Iterator[tuple[str, RenderableType]]:
        """The labels and contents of the lines of the panel."""
        if self._phase is not None:
            yield self._phase.name, _bar(self._phase)
        yield "so far", _counters(self._newest.counters)
        for kind, value in ("collect", "return"), ("evaluate", "score"):
            for records in self._records.values():
                values = [r.scalars[value] for r in records if value in r.scalars]
                if values and records[-1].kind == kind:
                    best = f"last {_number(values[-1])}, best {_number(max(values))}"
                    label = f"{value} {records[-1].task}".rstrip()
                    yield label, f"{sparkline(values)}  {best}"
        if "fit" in self._records:
            yield "fit", _values(self._records["fit"][-1].scalars)
        speeds = [
            f"{p.speed:,.1f} {p.unit}/s" for p in self._speeds.values() if p.speed
        ]
        yield "speed", ", ".join(speeds) or "-"
        yield "time", f"{duration(self._seconds)}, left {self._left()}"

    @property
    def _seconds(self) -> float:
        return self._newest.time + self._clock() - self._since

    def _left(self) -> str:
        """How long the rest takes, at the pace of the episodes since the first fit."""
        fits = self._records.get("fit", ())
        if len(fits) < 2:  # seed episodes are much faster and would mislead
            return "-"
        pace = (fits[-1].time - fits[0].time) / max(
            fits[-1].counters.episodes - fits[0].counters.episodes, 1
        )
        left = pace * (self._episodes - self._newest.counters.episodes)
        return duration(max(left - (self._seconds - fits[-1].time), 0))


def _bar(phase: Phase) -> RenderableType:
    """The bar of a phase with its numbers."""
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=phase.total, completed=phase.done, width=WIDTH)
    table.add_row(bar, phase.count)
    return table


def _counters(counters: Counters) -> str:
    """All four, with their names."""
    named = asdict(counters).items()
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in named)


def _values(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    """At least three digits that count."""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"
