"""``planet benchmark``: how fast this machine does the work of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from planet_torch.ranges import Count, Options, Whole


@dataclass(frozen=True)
class Benchmark(Options):
    """Time environment, replay, updates and decisions, configs in turns."""

    task: Annotated[Positional[str], arg(metavar="TASK")] = "dmc/cartpole-swingup"
    """Whose environment, pictures and actions."""
    configs: Annotated[tuple[str, ...], arg(metavar="CONFIG")] = ("cpu",)
    """A preset, a run or an agent each, with options if wanted: cpu "paper
    planner.horizon=15" zoo/cheetah-run. TASK and --threads are those of all."""
    reference: bool = False
    """Time plain PyTorch loops of the same networks, too, against the first config."""
    source: Annotated[Path | None, arg(metavar="DIR")] = None
    """Time the first config in another version, too: the folder src of a checkout."""
    only: Annotated[tuple[str, ...], arg(metavar="JOB")] = ()
    """Jobs that begin like this: environment, replay, update, decision."""
    rounds: Count = 10
    """Measurements of each job, after two to warm up."""
    threads: Whole = 0
    """Threads for a tensor operation; 0 is one for each core."""
    json: bool = False
    """Print JSON."""

    def __call__(self) -> int:
        """Time them."""
        from planet_torch.benchmark.contest import Contender, config_of, contest, table
        from planet_torch.provenance import provenance

        if not self.configs:
            raise ValueError("--configs needs at least one, such as cpu")
        if self.source and not (self.source / "planet_torch").is_dir():
            raise ValueError(
                f"--source (={self.source}) holds no planet_torch; name the folder "
                "src of a checkout"
            )
        configs = [config_of(c, self.task, self.threads) for c in self.configs]
        contenders: list[Contender] = []
        try:
            for words, config in zip(self.configs, configs, strict=True):
                contenders.append(Contender(words, config))
            first = configs[0]
            if self.source is not None:
                contenders.append(
                    Contender(f"in {self.source}", first, source=self.source)
                )
            if self.reference:
                contenders.append(Contender("reference loops", first, plain=True))
            results = contest(contenders, self.only, self.rounds)
            about = provenance()
            for what in ("threads", "dtype"):
                about[what] = {c.name: c.about[what] for c in contenders}
        finally:
            for contender in contenders:
                contender.close()
        if self.json:
            summaries = [result.summary() for result in results]
            print(json.dumps({"about": about, "results": summaries}, indent=2))
        else:
            print(table(results))
            print("\n" + ", ".join(f"{name} {what}" for name, what in about.items()))
        return 0
