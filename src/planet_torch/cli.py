"""The command ``planet``: parse, call, and say what is wrong; no logic."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence

import tyro

from planet_torch import __version__
from planet_torch.commands import COMMANDS, Command
from planet_torch.commands.options import RunOptions
from planet_torch.commands.types import FromWords
from planet_torch.envs import EnvError
from planet_torch.nested import option_names, unknown
from planet_torch.signals import Terminated, terminable

# What a path raises that cannot be meant.
PATHS = FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status.

    It is 0 if all went well, 2 if the command cannot be done as it was given, 1 if
    something failed on the way, 130 or 143 after SIGINT or SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # where package.module:factory is looked for
        with warnings.catch_warnings(), terminable():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            status = _dispatch([word for word in given if word != "--debug"])
        sys.stdout.flush()  # so that a closed pipe shows here, and not while exiting
        return status
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Terminated:
        return _fail("terminated", 143)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if "--debug" in given:
            raise
        usage = (ValueError, ImportError, *PATHS)
        return _fail(_told(error), 2 if isinstance(error, usage) else 1)


def _dispatch(words: Sequence[str]) -> int:
    """Run the command that the first word names."""
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(f"planet {__version__}")
    elif name in COMMANDS:
        return parse(name, words[1:])()
    else:
        raise ValueError(unknown(name, [*COMMANDS, "--help", "--version"], "command"))
    return 0


def _help() -> str:
    """What there is."""
    firsts = {name: (c.__doc__ or "").splitlines()[0] for name, c in COMMANDS.items()}
    commands = "\n".join(f"  {name:<12}{first}" for name, first in firsts.items())
    return (
        "usage: planet COMMAND ...\n\n"
        "PlaNet: learn latent dynamics from pixels, and plan in them.\n\n"
        f"{commands}\n\n"
        "planet COMMAND --help explains one; planet --version says which this is.\n"
        "--debug shows where in the code an error comes from."
    )


def parse(name: str, words: Sequence[str]) -> Command:
    """A command with the options that the words give it.

    Raises:
        ValueError: for an unknown option or a bad value.
        SystemExit: after printing the help that was asked for.
    """
    kind = COMMANDS[name]
    # Options of a config have a value each; switches are for the others.
    valued = (tyro.conf.FlagConversionOff,) if issubclass(kind, RunOptions) else ()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            command, rest = tyro.cli(
                kind,
                prog=f"planet {name}",
                args=words,
                default=_default(kind, words),
                return_unknown_args=True,
                use_underscores=True,
                config=valued,
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise ValueError(_unboxed(printed.getvalue())) from None
    if rest:
        option = rest[0].partition("=")[0]
        known = [f"--{known}" for known in option_names(kind)]
        if not option.startswith("-"):
            raise ValueError(f"{option!r} is one word too many")
        raise ValueError(unknown(option, known))
    assert isinstance(command, kind)
    return command


def _default(kind: type[Command], words: Sequence[str]) -> object:
    """The values of the options that are not given, where a word decides them."""
    if issubclass(kind, FromWords):
        return kind.from_words(words) or tyro.MISSING_NONPROP
    return tyro.MISSING_NONPROP


def _unboxed(text: str) -> str:
    """What tyro says is wrong: the first lines in a box, down to the next rule."""
    lines = [line.strip("│ ") for line in text.splitlines()[1:]]
    ends = [i for i, line in enumerate(lines) if line[:1] in ("─", "╰") or not line]
    said = " ".join(lines[: ends[0]] if ends else lines)
    # Our own errors name the option already.
    return re.sub(r"^Error parsing (--)?(\w+): (?=\2\.)", "", said)


def _told(error: Exception) -> str:
    """What an error says; with its name where it was not made to be read."""
    ours = ValueError, ImportError, OSError, FloatingPointError, EnvError
    if isinstance(error, ours):
        return str(error)
    return f"{type(error).__name__}: {error}; --debug shows where it comes from"


def _fail(error: object, status: int) -> int:
    """Say in one line what is wrong."""
    print(f"planet: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"planet: warning: {message}", file=sys.stderr)
