"""The commands of ``planet``: a file and a dataclass each, whose call does it.

The fields are the options. What is slow to import, such as torch, is imported by the
call of the command that needs it.
"""

from typing import Protocol, runtime_checkable

from planet_torch.commands.benchmark import Benchmark
from planet_torch.commands.doctor import Doctor
from planet_torch.commands.estimate import Estimate
from planet_torch.commands.evaluate import Evaluate
from planet_torch.commands.experiment import Experiment
from planet_torch.commands.export import Export
from planet_torch.commands.list import List
from planet_torch.commands.plan import Plan
from planet_torch.commands.predict import Predict
from planet_torch.commands.train import Train


@runtime_checkable
class Command(Protocol):
    """Options that were parsed, and what to do with them."""

    def __call__(self) -> int:
        """Do it; the exit status."""


COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "evaluate": Evaluate,
    "predict": Predict,
    "export": Export,
    "plan": Plan,
    "experiment": Experiment,
    "list": List,
    "benchmark": Benchmark,
    "doctor": Doctor,
    "estimate": Estimate,
}
