"""What there is: the tables of tasks and presets. Quick, since torch is not needed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from planet_torch.envs import tasks
from planet_torch.presets import PRESETS
from planet_torch.published import PLANET


def print_tasks() -> None:
    """Print the table of the tasks that have names."""
    table = Table("task", title="Tasks", title_justify="left", box=None)
    for heading in ("actions", "action repeat", "PlaNet, published"):
        table.add_column(heading, justify="right")
    for task in tasks():
        published = PLANET.get(task.name)
        score = f"{published.score:.0f}" if published else ""
        table.add_row(task.name, str(task.action_size), str(task.action_repeat), score)
    Console().print(table)
    print("Also gym/ID for the tasks of Gymnasium, and package.module:factory.\n")


def print_presets() -> None:
    """Print what tells the presets from each other."""
    table = Table("preset", title="Presets", title_justify="left", box=None)
    for heading in ("picture", "batch", "candidates", "episodes", "updates in all"):
        table.add_column(heading, justify="right")
    for name, preset in PRESETS.items():
        train, planner, size = preset.train, preset.planner, preset.env.image_size
        updates = (train.episodes - train.seed_episodes) * train.updates
        table.add_row(
            name,
            f"{size} x {size}",
            f"{train.batch} x {train.chunk}",
            f"{planner.iterations} x {planner.candidates:,}",
            f"{train.episodes:,}",
            f"{updates:,}",
        )
    Console().print(table)
