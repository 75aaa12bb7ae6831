"""Kinds of options that several commands have."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol, get_args, runtime_checkable

from tyro.conf import FlagConversionOff, arg

from planet_torch.config import Compile, Method, PlannerConfig

Directory = Annotated[Path, arg(metavar="DIR")]
OptionalDirectory = Annotated[Path | None, arg(metavar="DIR")]
Task = Annotated[str | None, arg(metavar="TASK")]
Device = Annotated[str | None, arg(metavar="DEVICE")]
OptionalCompile = Compile | None
Planner = FlagConversionOff[PlannerConfig]


@runtime_checkable
class FromWords(Protocol):
    """A command in which some words decide what the other options are by default."""

    @classmethod
    def from_words(cls, words: Sequence[str]) -> FromWords | None:
        """The command with these defaults; None if the words do not decide them."""


def given(option: str, words: Sequence[str]) -> str | None:
    """The value that the words give an option."""
    finder = ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument(option, nargs="?", dest="value")
    value: str | None = finder.parse_known_args(words)[0].value
    return value


def searching(options: PlannerConfig, words: Sequence[str]) -> PlannerConfig:
    """The options of a planner, with the method that the words ask for."""
    methods: tuple[Method, ...] = get_args(Method)
    word = given("--planner.method", words)
    method = next((name for name in methods if name == word), options.method)
    if method == options.method:
        return options
    from planet_torch.build import with_method

    return with_method(options, method)
