"""The trained agents in zoo/: whole, small, and as good as their cards say."""

import csv
import re
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

import planet_torch as pt
from planet_torch.checkpoint import AGENT
from planet_torch.run import Run

ZOO = Path(__file__).parents[1] / "zoo"
AGENTS = [path.parent.name for path in sorted(ZOO.glob("*/config.json"))]
LIMIT = 4_000_000  # bytes

if not ZOO.exists():
    pytest.skip("the zoo is in the repository alone", allow_module_level=True)


def rows(name):
    """What a card says."""
    text = (ZOO / name / "README.md").read_text()
    return dict(re.findall(r"^\| (.+?) \| (.+) \|$", text, re.M))


def score(name):
    return float(rows(name)["score"].partition(",")[0])


def row_of(page, name):
    """The cells of a task in the first table of a page that has figures of it."""
    text = (ZOO.parent / page).read_text()
    return re.search(rf"^\| {name} \| (\d.+) \|$", text, re.M)[1].split(" | ")


def test_there_are_agents():
    assert {"cartpole-balance", "cartpole-swingup"} <= set(AGENTS)


def test_nothing_else_is_there():
    names = {"config.json", AGENT, "README.md"}
    files = {str(p.relative_to(ZOO)) for p in ZOO.rglob("*") if p.is_file()}
    assert files == {f"{agent}/{name}" for agent in AGENTS for name in names}


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_is_small_has_a_card_and_is_where_its_card_says(name):
    assert sum(path.stat().st_size for path in (ZOO / name).iterdir()) <= LIMIT
    card, run = rows(name), Run.open(ZOO / name)
    assert run.config.task == f"dmc/{name}"
    assert run.config.train.device == "cpu"
    assert card["scored by"] == f"`planet evaluate zoo/{name} --episodes 10 --seed 0`"
    assert "the mean of 10 episodes" in card["score"]
    assert f"--seed {run.config.seed}" in card["trained by"]
    assert f"{run.latest()['counters']['updates']:,}" == card["updates"]
    assert {"trained on", "minutes", "episodes", "environment steps"} <= set(card)


@pytest.mark.parametrize("name", AGENTS)
def test_the_tables_of_the_pages_say_what_the_card_says(name):
    card = rows(name)
    minutes, published = (
        card[key].split()[0].rstrip(",") for key in ("minutes", "published")
    )
    episodes, random = re.match(r"(\d+) of .* first (\d+)", card["episodes"]).groups()
    spread = card["score"].split()[-1]
    readme = row_of("README.md", name)
    assert readme[:3] == [f"{score(name):.0f}", minutes, episodes]
    assert readme[-1] == published
    results = row_of("docs/results.md", name)
    assert results[:4] == [minutes, episodes, random, card["updates"]]
    assert results[4] == f"**{score(name)} ± {spread}**"
    assert results[-2] == published


@pytest.mark.parametrize("name", AGENTS)
def test_the_table_of_the_results_has_the_random_actions_of_the_run_itself(name):
    page = (ZOO.parent / "docs/results.md").read_text()
    data = re.search(r"Data:\s(.+?)\.\n", page, re.S)[1]
    of_tasks = re.findall(r"\[(\w+)\]\((results/.+?)\)", data)
    [path] = [path for short, path in of_tasks if short in name]
    with (ZOO.parent / "docs" / path).open() as lines:
        runs = list(csv.DictReader(lines))
    seeds = [float(run["return"]) for run in runs if run["kind"] == "seed"]
    assert row_of("docs/results.md", name)[5] == f"{fmean(seeds):.0f}"


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_acts(name):
    size = Run.open(ZOO / name).config.env.image_size
    env = pt.make(f"dmc/{name}", image_size=size)
    agent = pt.load(ZOO / name)
    observation, _ = env.reset(seed=0)
    agent.reset()
    for _ in range(3):
        action = agent.act(observation)
        assert np.abs(action).max() <= 1
        observation, *_ = env.step(action)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_scores_what_its_card_says(name):
    """Within one standard deviation of an episode, which is three of a mean of ten."""
    spread = float(rows(name)["score"].rpartition(" ")[2])
    returns = [episode.score for episode in pt.evaluate(ZOO / name)]
    assert np.mean(returns) == pytest.approx(score(name), abs=spread + 1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_foresees_ten_frames(name):
    """Better than a frame that stays as it is, or, if little moves, to 10 in 256."""
    seen = Run.open(ZOO / name).predict(length=10)
    bar = max(seen.standstill_per_distance.mean(), 10)
    assert seen.error_per_distance.mean() < bar
