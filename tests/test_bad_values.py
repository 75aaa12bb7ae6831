"""Every option of every command, set to values that it cannot have."""

import dataclasses
import re
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from planet_torch.cli import main
from planet_torch.commands import COMMANDS
from planet_torch.config import Range
from small import trained

TEXTS = {  # options that are words of the user's own
    "task": "nowhere:task",
    "directory": "nowhere",
    "experiment directory": "a_file/experiments",
    "resume": "nowhere",
    "run": "a_file/run",
    "out": "a_file/out",
    "device": "abacus",
    "configs": "paperr",
    "source": "nowhere",
    "only": "nothing",
    "name": "nothing",
    "tasks": "nowhere",
    "override": "banana",
    "train.device": "abacus",
    "train.pretrained": "nowhere",
    "like": "nowhere",
}
ELSEWHERE = {
    ("doctor", "run"),  # whose report it is: tests/test_doctor.py
    ("plan", "out"),  # which is written to only with --video
    ("predict", "out"),  # which needs a run of pictures
    ("evaluate", "out"),  # which needs one, too, and --video
}
POSITIONAL = {("experiment", "action"), ("experiment", "name")}
POSITIONAL |= {(command, "directory") for command in ("evaluate", "export", "predict")}
POSITIONAL |= {
    (command, "task") for command in ("train", "estimate", "benchmark", "plan")
}
FIRST = {"train": ["toys:integrator"], "estimate": ["toys:integrator"]}
FIRST |= {name: ["RUN"] for name in ("evaluate", "export", "predict")}
FIRST |= {"plan": ["dmc/cartpole-balance"]}
FIRST |= {"experiment": ["run", "models", "--scale", "debug"]}
DEFAULTS = "preset", "like", "resume"  # which give those of the others
TINY = ["--preset", "debug", "--train.chunk", "6"]


def leaves(kind, prefix=""):
    """The dotted names of the options of a command, with their annotations."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        group = next((k for k in kinds(hint) if dataclasses.is_dataclass(k)), None)
        if group:
            yield from leaves(group, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


def kinds(hint):
    """The plain types in an annotation, wherever in it."""
    if get_origin(hint) is Literal:
        return {Literal}
    if not get_args(hint):
        return {hint} if isinstance(hint, type) else {type(hint)}
    only = get_args(hint)[:1] if hasattr(hint, "__metadata__") else get_args(hint)
    return set().union(*map(kinds, only))


def ranges(hint):
    """The ranges in an annotation, wherever in it."""
    yield from (p for p in getattr(hint, "__metadata__", ()) if isinstance(p, Range))
    for part in get_args(hint):
        yield from ranges(part)


def bad_values():
    """Commands, options, and values that these cannot have."""
    for command, kind in COMMANDS.items():
        for name, hint in leaves(kind):
            types = kinds(hint)
            if command == "estimate" and "." in name:
                continue  # the options of train, and the same class
            if types & {str, Path}:
                if name in TEXTS and (command, name) not in ELSEWHERE:
                    yield command, name, TEXTS.get(f"{command} {name}", TEXTS[name])
                continue
            yield command, name, "banana"
            yield from ((command, name, "-1") for r in ranges(hint) if -1 not in r)
            if float in types:
                yield from ((command, name, "nan"), (command, name, "inf"))
            elif int in types:
                yield command, name, "2.5"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run to be looked at."""
    return trained(tmp_path_factory.mktemp("finished") / "run")


@pytest.mark.parametrize(("command", "option", "value"), list(bad_values()))
def test_a_bad_value_is_one_line(
    command, option, value, finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").touch()
    words = [*FIRST.get(command, []), f"--{option}", value]
    if (command, option) in POSITIONAL:
        words = [*FIRST.get(command, [])[: int(option == "name")], value]
    if command in ("train", "estimate") and option not in DEFAULTS:
        words += [word for word in TINY if option != "train.chunk"]
    words = [str(finished.directory) if word == "RUN" else word for word in words]
    assert main([command, *words]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("planet: error: ")
    assert option in line or value.partition(":")[0] in line
    assert not re.search("[│╭╰]|Traceback", line)
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


def test_words_of_the_users_own_are_tried_too():
    texts = {
        name
        for kind in COMMANDS.values()
        for name, hint in leaves(kind)
        if kinds(hint) & {str, Path}
    }
    assert texts <= set(TEXTS), "say in TEXTS what they cannot be"


def test_every_command_has_a_bad_value():
    tried = {command for command, *_ in bad_values()}
    assert set(COMMANDS) - tried <= {"list"}  # which has no options


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("odd"), MemoryError()])
def test_what_nobody_thought_of_is_one_line_too(error, monkeypatch, capsys):
    def fail(self):
        raise error

    monkeypatch.setattr(COMMANDS["list"], "__call__", fail)
    assert main(["list"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"planet: error: {type(error).__name__}: ")
    assert line.endswith("--debug shows where it comes from")
    with pytest.raises(type(error)):
        main(["list", "--debug"])
