"""Ranges of numbers, and options that are checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints


@dataclass(frozen=True)
class Range:
    """The numbers that an option may be; never NaN or an infinity.

    Attributes:
        low: the smallest.
        high: the largest.
        above: whether ``low`` itself is excluded.
    """

    low: int | float
    high: int | float = math.inf
    above: bool = False

    def __contains__(self, value: int | float) -> bool:
        """Whether the value is allowed."""
        if not math.isfinite(value) or (self.above and value == self.low):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """What is allowed, in words."""
        low = f"{'above' if self.above else 'at least'} {self.low:g}"
        return low + (f" and at most {self.high:g}" if self.high < math.inf else "")


Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Weight = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1, above=True)]
Decay = Annotated[float, Range(0, 0.9999)]
Seed = Annotated[int, Range(0, 2**63 - 1)]


class Options:
    """A group of options that are checked when it is made."""

    def __post_init__(self) -> None:
        """Raise ValueError if a number is out of its range."""
        group = type(self).__name__.removesuffix("Config").lower()
        for name, allowed in _limits(type(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            if value is not None and value not in allowed:
                option = f"{group}.{name}".lstrip(".")
                raise ValueError(f"{option} (={value!r}) must be {allowed}")


@cache  # a sweep makes thousands of configs
def _limits(kind: type) -> list[tuple[str, Range]]:
    """The ranges of a group's options, by their names."""
    hints = get_type_hints(kind, include_extras=True).items()
    return [(name, allowed) for name, hint in hints for allowed in _ranges(hint)]


def _ranges(hint: Any) -> Iterator[Range]:
    """The ranges in an annotation, wherever in it."""
    yield from (
        part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Range)
    )
    for part in get_args(hint):
        yield from _ranges(part)
