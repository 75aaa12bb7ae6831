"""``planet list``: what there is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class List:
    """Name the tasks of the suite and the presets."""

    def __call__(self) -> int:
        """List."""
        from planet_torch.listing import print_presets, print_tasks

        print_tasks()
        print_presets()
        return 0
