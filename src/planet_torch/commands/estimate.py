"""``planet estimate``: what a run will take."""

from __future__ import annotations

from dataclasses import dataclass

from planet_torch.commands.options import RunOptions
from planet_torch.ranges import Options, Positive


@dataclass(frozen=True)
class Estimate(RunOptions, Options):
    """Say what a run will take, from a short measurement: time, memory and disk.

    Takes the options of `planet train`, begins no run, and leaves nothing behind. The
    exit status is 1 if there is not enough room on the disk.
    """

    seconds: Positive = 5.0
    """For each of the five measurements."""

    def __call__(self) -> int:
        """Estimate."""
        from planet_torch.estimate import decisions_of, disk, hours, measure
        from planet_torch.files import in_bytes, nearest
        from planet_torch.report import disk_in_words

        config = self.config
        nearest(self.directory)  # before the measurement, which takes a while
        costs, decisions = measure(config, self.seconds), decisions_of(config)
        parts = hours(config, costs, decisions)
        tasks = f", each of {len(decisions)} tasks" * (len(decisions) > 1)
        shares = ", ".join(f"{value:.2g} {part}" for part, value in parts.items())
        print(
            f"run         {config.train.episodes:,} episodes of at most "
            f"{max(decisions):,} decisions{tasks}"
        )
        print(
            f"measured    {1e3 * costs.update:.3g} ms an update, "
            f"{1e3 * costs.decision:.3g} ms a planned decision, "
            f"{1e3 * costs.random:.3g} ms a random one"
        )
        print(f"hours       {sum(parts.values()):.2g}: {shares}")
        gpu = f", and {in_bytes(costs.gpu_memory)} on the GPU" * bool(costs.gpu_memory)
        print(f"memory      {in_bytes(costs.memory)}{gpu}")
        words, fits = disk_in_words(disk(config), self.directory)
        print(words)
        return 0 if fits else 1
