"""How far the models of an experiment see ahead, all of them in the same episodes.

Each agent leads to frames of its own, and errors in these could not be compared. So
every model foresees ten episodes by each of the agents that are compared, its own and
the others', from the same first states.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from planet_torch.chunk import Chunk, Episode
from planet_torch.experiments.base import Entry, Series
from planet_torch.experiments.summary import final
from planet_torch.files import write_atomically
from planet_torch.prediction import Prediction, predict
from planet_torch.report import progress_of
from planet_torch.run import Run

CONTEXT, LENGTH = 5, 50  # frames seen, and the most that are foreseen
STANDSTILL = "standstill"  # the name of the error of expecting the last frame seen

Errors = dict[str, list[list[float]]]


def errors(series: Series, task: str) -> Errors:
    """Errors by distance, in grey levels, of each variant for each seed.

    A seed counts once all variants have finished with it. What was found is kept beside
    the runs, until one of them has another score.
    """
    found: Errors = {}
    for seed in range(series.seeds):
        entries = {
            variant.name: entry
            for variant in series.variants
            for entry in series.finished(variant, task)
            if entry.seed == seed
        }
        if len(entries) == len(series.variants):
            place = next(iter(entries.values())).directory.parent
            path = place / f"{series.experiment.name}-errors-{seed}.json"
            for name, by_distance in kept(path, entries, task).items():
                found.setdefault(name, []).append(by_distance)
    return found


def kept(path: Path, entries: Mapping[str, Entry], task: str) -> dict[str, list[float]]:
    """The errors in a file, or new ones if it is not of these runs."""
    scores = {name: final([entry], task).item() for name, entry in entries.items()}
    content = json.loads(path.read_text()) if path.exists() else {}
    if content.get("scores") != scores:
        content = {"scores": scores, "errors": measured(entries, task)}
        write_atomically(path, json.dumps(content).encode(), alone=False)
    return dict(content["errors"])


def measured(entries: Mapping[str, Entry], task: str) -> dict[str, list[float]]:
    """The errors of each model in the episodes of all the agents."""
    runs = {name: Run.open(entry.directory) for name, entry in entries.items()}
    with progress_of("foresee") as on_decision:
        episodes = [
            episode
            for run in runs.values()
            for episode in run.evaluate(10, 0, on_decision, task)
        ]
    seen = {name: foreseen(run, episodes) for name, run in runs.items()}
    by_distance = {name: s.error_per_distance.tolist() for name, s in seen.items()}
    still = next(iter(seen.values())).standstill_per_distance.tolist()
    return {**by_distance, STANDSTILL: still}


def foreseen(run: Run, episodes: Sequence[Episode]) -> Prediction:
    """What the model of a run makes of the beginnings of episodes."""
    agent = run.agent()
    length = min(CONTEXT + LENGTH, *map(len, episodes))
    chunk = Chunk.of(episodes, length).to(run.config.train.device)
    return predict(agent.world_model, chunk, CONTEXT, agent.generator)
