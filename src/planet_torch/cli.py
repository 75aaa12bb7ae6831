"""The command ``planet``: parse, build, call, print; no logic.

What is slow to import, such as torch, is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from planet_torch import __version__
from planet_torch.config import (
    Config,
    Count,
    EnvConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimiserConfig,
    Options,
    PlannerConfig,
    Seed,
    TrainConfig,
    option_names,
    unknown,
)
from planet_torch.presets import PRESETS, Preset

Directory = Annotated[Path, arg(metavar="DIR")]
OptionalDirectory = Annotated[Path | None, arg(metavar="DIR")]
Device = Annotated[str | None, arg(metavar="DEVICE")]


@dataclass(frozen=True)
class Train:
    """Learn a task, or go on with a run.

    Ctrl-C ends the run where it can be saved, and says how to go on.
    """

    task: Annotated[Positional[str | None], arg(metavar="TASK")] = None
    """Such as dmc/cartpole-swingup, gym/Pendulum-v1 or package.module:factory."""
    preset: Preset = "cpu"
    """Gives each option its default."""
    run: OptionalDirectory = None
    """Where the new run goes; runs/TASK-PRESET-SEED if left out."""
    seed: Seed = 0
    """The one seed, from which every random stream is spawned."""
    resume: OptionalDirectory = None
    """Go on with this run, by the options that it began with."""
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where the metrics go besides metrics.jsonl."""
    env: EnvConfig = field(default_factory=EnvConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def from_preset(cls, name: Preset) -> Train:
        """The command with the values of a preset."""
        values = PRESETS[name]
        groups = {g: getattr(values, g) for g in vars(values) if g != "task"}
        return cls(preset=name, **groups)

    @property
    def config(self) -> Config:
        """The part that the run depends on."""
        if not self.task:
            raise ValueError("which TASK? `planet list` names those of the suite")
        return Config(**{name: getattr(self, name) for name in vars(Config())})

    @property
    def directory(self) -> Path:
        """Where a new run goes."""
        task = re.sub(r"[^\w.-]", "-", (self.task or "").rpartition("/")[2])
        return self.run or Path("runs") / f"{task}-{self.preset}-{self.seed}"

    def __call__(self) -> int:
        """Train."""
        from planet_torch.progress import terminal_progress
        from planet_torch.report import print_result
        from planet_torch.run import Run
        from planet_torch.signals import Stopped
        from planet_torch.trainer import train

        if self.resume is None:
            run = Run.create(self.directory, self.config)
        elif replace(self, resume=None, log=()) != Train.from_preset(self.preset):
            raise ValueError(
                "--resume goes on with the options of the run; it takes only --log"
            )
        else:
            run = Run.open(self.resume)
            run.note_start()
        progress = terminal_progress(run.config.task, run.config.train.episodes)
        try:
            train(run, self.log, progress)
        except Stopped as stop:
            print(f"{stop}: saved. Go on with: planet train --resume {run.directory}")
            return 128 + stop.number
        print_result(run)
        return 0


@dataclass(frozen=True)
class Evaluate(Options):
    """Score a trained agent in new episodes, without exploration noise."""

    directory: Positional[Directory]
    """Of the run."""
    episodes: Count = 10
    """How many."""
    seed: Seed = 0
    """Of the episodes and of the agent; the same one gives the same scores."""
    video: bool = False
    """Write each episode as a video, too."""
    json: bool = False
    """Print JSON."""
    device: Device = None
    """Where to compute, if not where it was trained: cpu, cuda, mps."""

    def __call__(self) -> int:
        """Evaluate."""
        from planet_torch.report import in_words, progress_of
        from planet_torch.run import Run
        from planet_torch.video import save_episode

        run = Run.open(self.directory, self.device)
        with progress_of("evaluate") as on_decision:
            episodes = run.evaluate(self.episodes, self.seed, on_decision)
        returns = [episode.score for episode in episodes]
        score = sum(returns) / len(returns)
        if self.json:
            print(json.dumps({"score": score, "returns": returns, "seed": self.seed}))
        else:
            print(f"score {score:.1f}, {in_words(returns)}")
        for number, episode in enumerate(episodes if self.video else []):
            path = run.videos / f"evaluate-seed-{self.seed}-{number:02d}"
            print(f"video {save_episode(episode, path)}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Predict(Options):
    """Show what the model foresees, beside what came and how far it is off.

    The model watches the first frames of a new episode of its own agent. From there on
    it is given the actions only, and what it imagines stands beside what came.
    """

    directory: Positional[Directory]
    """Of the run."""
    context: Count = 5
    """Frames that the model sees."""
    length: Count = 50
    """Frames that it then has to foresee."""
    seed: Seed = 0
    """Of the episode, and of what the model imagines."""
    out: Annotated[Path | None, arg(metavar="PATH")] = None
    """What to write, without a suffix; videos/prediction of the run if left out."""
    device: Device = None
    """Where to compute, if not where it was trained: cpu, cuda, mps."""

    def __call__(self) -> int:
        """Predict."""
        from planet_torch import video
        from planet_torch.report import print_errors, progress_of
        from planet_torch.run import Run

        run = Run.open(self.directory, self.device)
        with progress_of("predict") as on_decision:
            seen = run.predict(self.context, self.length, self.seed, on_decision)
        out = str(self.out or run.videos / "prediction")
        rows = video.prediction_rows(seen)
        every = max(1, (self.context + self.length) // 11)
        print(video.save_prediction(seen, f"{out}{video.video_suffix()}"))
        print(video.save_strip(rows, f"{out}.png", self.context, every))
        print_errors(seen)
        return 0


@dataclass(frozen=True)
class List:
    """Name the tasks of the suite and the presets."""

    def __call__(self) -> int:
        """List."""
        from planet_torch.listing import print_presets, print_tasks

        print_tasks()
        print_presets()
        return 0


Command = Train | Evaluate | Predict | List

COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "evaluate": Evaluate,
    "predict": Predict,
    "list": List,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit status.

    It is 0 if all went well, 2 if the command cannot be done as it was given, 1 if
    something failed on the way, 130 or 143 after SIGINT or SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where package.module:factory is looked for
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            status = _dispatch([word for word in given if word != "--debug"])
        sys.stdout.flush()  # so that a closed pipe shows here, and not while exiting
        return status
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, ImportError, OSError, FloatingPointError) as error:
        if "--debug" in given:
            raise
        usage = (ValueError, ImportError, FileNotFoundError, FileExistsError)
        return _fail(error, 2 if isinstance(error, usage) else 1)


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
    commands = "\n".join(f"  {name:<10}{first}" for name, first in firsts.items())
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
                # Options of a config have a value each; switches are for the others.
                config=(tyro.conf.FlagConversionOff,) if kind is Train else (),
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
    assert isinstance(command, Command)
    return command


def _default(kind: type[Command], words: Sequence[str]) -> object:
    """The values of the options that are not given: those of the preset, to train."""
    if kind is not Train:
        return tyro.MISSING_NONPROP
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", nargs="?")
    given = finder.parse_known_args(words)[0].preset
    return Train.from_preset(given if given in PRESETS else "cpu")


def _unboxed(text: str) -> str:
    """What tyro says is wrong: the first lines in a box, down to the next rule."""
    lines = [line.strip("│ ") for line in text.splitlines()[1:]]
    ends = [i for i, line in enumerate(lines) if line[:1] in ("─", "╰") or not line]
    said = " ".join(lines[: ends[0]] if ends else lines)
    # Our own errors name the option already.
    return re.sub(r"^Error parsing (--)?(\w+): (?=\2\.)", "", said)


def _fail(error: object, status: int) -> int:
    """Say in one line what is wrong."""
    print(f"planet: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"planet: warning: {message}", file=sys.stderr)
