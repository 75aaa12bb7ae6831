"""Groups of options inside one another: made from plain values, and their names."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_values(kind: type[T], values: object, name: str = "") -> T:
    """A dataclass of options from nested mappings, each known and of its type.

    An option that is missing was not yet there when the run began; the default of a new
    option is what was done before it.

    Args:
        kind: the dataclass.
        values: by the names of its fields.
        name: the group that it is, with a dot, such as "planner.".

    Raises:
        ValueError: if an option is unknown, of another type, or out of range.
    """
    if not isinstance(values, Mapping):
        raise ValueError(
            f"option group {name[:-1]!r} must be a mapping, got {values!r}"
        )
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise ValueError(
                unknown(f"{name}{key}", [f"{name}{hint}" for hint in hints])
            )
    parts = {key: _value(hints[key], values[key], f"{name}{key}") for key in values}
    return kind(**parts)


def _value(hint: Any, value: object, name: str) -> object:
    """One option's value, if it is of the type that ``hint`` says."""
    if dataclasses.is_dataclass(hint):
        return from_values(hint, value, f"{name}.")  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        raise ValueError(f"option {name!r} is one of {get_args(hint)}, got {value!r}")
    options = (
        get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    )
    if type(value) in options or (value is None and types.NoneType in options):
        return value
    if float in options and type(value) is int:
        return float(value)
    kinds = " or ".join("None" if o is types.NoneType else o.__name__ for o in options)
    raise ValueError(f"option {name!r} must be {kinds}, got {value!r}")


def option_names(kind: type) -> list[str]:
    """The dotted names of a dataclass's options, those of its groups included."""
    names = []
    for name, hint in get_type_hints(kind).items():
        is_group = dataclasses.is_dataclass(hint)
        inside = option_names(hint) if is_group else []
        names += [f"{name}.{part}" for part in inside] or [name]
    return names


def unknown(name: str, known: Iterable[str], what: str = "option") -> str:
    """The message for a name that does not exist, with the nearest that does."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"no {what} {name!r}; {hint}"
