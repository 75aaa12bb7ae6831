"""Kinds of options that several commands have."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

Directory = Annotated[Path, arg(metavar="DIR")]
OptionalDirectory = Annotated[Path | None, arg(metavar="DIR")]
Task = Annotated[str | None, arg(metavar="TASK")]
Device = Annotated[str | None, arg(metavar="DEVICE")]
