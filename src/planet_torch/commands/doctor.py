"""``planet doctor``: say what works on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from planet_torch.doctor import Part, examine
from planet_torch.ranges import Options, Positive


@dataclass(frozen=True)
class Doctor(Options):
    """Say what works on this machine, what does not, and what mends it.

    Each part is tried in a process of its own. The exit status is 0 if all that is
    needed works, and 1 if not.
    """

    need: tuple[Part, ...] = ("torch", "disk", "raycast")
    """The parts that are needed."""
    run: Annotated[Path, arg(metavar="DIR")] = Path("runs")
    """Where runs go, whose disk is tried."""
    seconds: Positive = 120.0
    """After which a part that gives no answer counts as broken."""
    json: bool = False
    """Print JSON."""

    def __call__(self) -> int:
        """Examine."""
        findings = examine(self.run, self.seconds)
        broken = [f.part for f in findings if not f.works and f.part in self.need]
        if self.json:
            parts = [asdict(finding) for finding in findings]
            print(json.dumps({"parts": parts, "needed but broken": broken}, indent=2))
            return bool(broken)
        for finding in findings:
            state = "works" if finding.works else "BROKEN"
            if not finding.works and finding.part not in self.need:
                state = "absent"
            print(f"{state:<8}{finding.part:<13}{finding.what}")
            if finding.mend:
                print(f"{'':<21}{finding.mend}")
        named = ", ".join(broken)
        print(f"needed but broken: {named}" if broken else "all that is needed works")
        return bool(broken)
