"""Experiments by name: what is run and what is not, and what is said of the scores."""

import csv
import functools
import json
import os
import re
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from planet_torch import build, build_model, rollout, video
from planet_torch.chunk import Episode
from planet_torch.cli import main
from planet_torch.config import PlannerConfig
from planet_torch.experiments import foresight, planner_sweep, runner, summary
from planet_torch.experiments.base import Experiment, Series, Variant
from planet_torch.experiments.catalogue import EXPERIMENTS, series_of
from planet_torch.experiments.figures import draw, learning_curves
from planet_torch.lock import locked
from planet_torch.metrics import Counters, Reporter, read_metrics
from planet_torch.presets import PRESETS
from planet_torch.published import Published
from planet_torch.resume import differences
from planet_torch.run import Run
from planet_torch.simulated import Planned

TASK = "toys:integrator"
NETWORKS = ("width", "belief_size", "units", "reward_units")


def tiny_variants(base):
    """Two agents that are quickly trained, since they need no pictures."""
    train = replace(base.train, chunk=6, episodes=3)
    base = replace(base, env=replace(base.env, observation="state"), train=train)
    far = replace(base, planner=replace(base.planner, horizon=4))
    published = {TASK: Published(9, 77, "A paper, Table 1")}
    return [
        Variant("near", "three ahead", base, published=published),
        Variant("far", "four ahead", far),
    ]


TINY = Experiment(
    name="tiny",
    about="Looking further",
    figure="none",
    variants=tiny_variants,
    panels=(learning_curves,),
    small_tasks=(TASK,),
    beside={"A planner": {TASK: Published(12, 0, "A book, p. 3")}},
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")  # faster than mp4
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)


def experiment(action, name, place, *words):
    """The command, and its exit status."""
    given = [action, name, "--scale", "debug", "--directory", place, *words]
    return main(["experiment", *map(str, given)])


def learned(folder):
    """Every record of the runs, but for how long it took."""
    return {
        path.parent.name: [(r.kind, r.counters, r.values) for r in read_metrics(path)]
        for path in sorted(folder.rglob("metrics.jsonl"))
    }


@pytest.fixture
def performed(monkeypatch):
    """The runs that were really performed."""
    names, perform = [], runner.perform

    def noted(series, entry):
        names.append(entry.directory.name)
        perform(series, entry)

    monkeypatch.setattr(runner, "perform", noted)
    return names


def made_up(place, tasks=(TASK,), of=TINY, **scores):
    """A series whose runs have these scores in their evaluations, by variant."""
    seeds = len(next(iter(scores.values())))
    series = Series(of, "debug", tasks, seeds, place)
    for entry in series.entries():
        runs = scores.get(entry.variant.name, [])
        if entry.seed < len(runs):
            entry.directory.mkdir(parents=True)
            with Reporter(entry.directory / "metrics.jsonl") as reporter:
                for number, score in enumerate(runs[entry.seed], 1):
                    counters = Counters(episodes=10 * number)
                    values = {"score": score, "returns": [score]}
                    for task in entry.tasks:
                        reporter.log("evaluate", values, counters, task)
            entry.mark.touch()
    return series


def test_an_experiment_runs_one_seed_of_everything_after_the_other(
    tmp_path, performed, capsys
):
    assert experiment("run", "tiny", tmp_path) == 0
    assert performed == ["near-0", "far-0", "near-1", "far-1"]
    said = capsys.readouterr().out
    assert f"run 3 of 4: three ahead, {TASK}, seed 1, in " in said
    assert "4 of 4 are finished" in said
    for name in ("tiny.png", "tiny.csv", "tiny.md"):
        assert str(tmp_path / "debug" / name) in said
        assert (tmp_path / "debug" / name).stat().st_size > 100


def test_a_finished_run_is_not_repeated(tmp_path, performed):
    assert experiment("run", "tiny", tmp_path, "--seeds", 1) == 0
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("near-0/**/*")}
    performed.clear()
    assert experiment("run", "tiny", tmp_path) == 0
    assert performed == ["near-1", "far-1"]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("near-0/**/*")} == before


def test_a_stopped_experiment_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    """Stopped in the second run; it ends with the numbers of one that was not."""
    assert experiment("run", "tiny", tmp_path / "whole", "--seeds", 1) == 0
    record, calls = rollout._Recorder.record, []

    def stopping(*arguments):
        record(*arguments)
        calls.append(None)
        if len(calls) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(rollout._Recorder, "record", stopping)
    # 3 collected episodes and 2 to evaluate, of 12 decisions, are the first run.
    stop_at = 5 * 12 + 2 * 12 + 5
    place = tmp_path / "cut"
    assert experiment("run", "tiny", place, "--seeds", 1) == 128 + signal.SIGINT
    assert "saved. The same command goes on" in capsys.readouterr().out
    assert learned(place)["near-0"] == learned(tmp_path / "whole")["near-0"]
    (cut,) = place.rglob("far-0")
    assert len(Run.open(cut).starts()) == 1
    assert len(learned(place)["far-0"]) < len(learned(place)["near-0"])
    assert not (place / "debug" / "tiny.png").exists()
    assert experiment("run", "tiny", place, "--seeds", 1) == 0
    assert learned(place) == learned(tmp_path / "whole")
    assert (
        len(Run.open(cut).starts()) == 2
    )  # as of a run that `planet train` goes on with


def check(place, device):
    for entry in series_of(
        "tiny", "debug", seeds=1, directory=place, device=device
    ).entries():
        runner.check(entry)


def test_a_run_of_another_config_is_refused_and_nothing_is_run(
    tmp_path, monkeypatch, performed, capsys
):
    assert experiment("run", "tiny", tmp_path, "--seeds", 1) == 0
    performed.clear()

    def changed(base):
        near, far = tiny_variants(base)
        planner = replace(far.config.planner, horizon=5)
        return [near, replace(far, config=replace(far.config, planner=planner))]

    with monkeypatch.context() as for_now:
        for_now.setattr("torch.cuda.is_available", lambda: True)
        check(tmp_path, "cuda")  # those that are finished are shown on any device
        next(tmp_path.rglob("far-0/finished")).unlink()
        with pytest.raises(ValueError, match=r"far-0 .* train.device 'cpu' and not"):
            check(tmp_path, "cuda")
    monkeypatch.setitem(EXPERIMENTS, "tiny", replace(TINY, variants=changed))
    capsys.readouterr()
    assert experiment("run", "tiny", tmp_path) == 2
    said = capsys.readouterr().err
    assert "far-0 was begun with planner.horizon 4 and not 5; move it away" in said
    assert performed == []


def test_a_run_that_is_no_longer_finite_is_passed_over(tmp_path, performed, capsys):
    words = ["--tasks", "toys:poison", TASK, "--seeds", 1]
    assert experiment("run", "tiny", tmp_path, *words) == 1
    assert len(performed) == 4
    said = capsys.readouterr().out
    assert "could not be finished: three ahead, toys:poison, seed 0" in said
    assert "2 of 4 are finished" in said


def test_a_run_of_another_process_is_left_to_it(tmp_path, performed, capsys):
    assert experiment("run", "tiny", tmp_path, "--seeds", 1) == 0
    shutil.rmtree(near := tmp_path / "debug" / "toys-integrator" / "near-0")
    first = next(series_of("tiny", "debug", seeds=1, directory=tmp_path).entries())
    Run.create(near, first.config)
    performed.clear()
    with locked(near):  # as the other process has it
        assert experiment("run", "tiny", tmp_path, "--seeds", 1) == 0
    said = capsys.readouterr().out
    assert f"left to another process: {near} is in use by process {os.getpid()}" in said
    assert "1 of 2 are finished" in said
    assert not (near / "metrics.jsonl").exists()


def test_runs_can_be_shorter_than_those_of_the_scale(tmp_path):
    def lengths(**words):
        series = series_of("models", "debug", directory=tmp_path, **words)
        trains = {entry.config.train for entry in series.entries()}
        return {(train.episodes, train.threads) for train in trains}

    assert lengths() == {(PRESETS["debug"].train.episodes, 0)}
    assert lengths(episodes=3, threads=1) == {(3, 1)}


def test_a_plot_shows_what_was_asked_for_last(tmp_path, capsys):
    words = ["--tasks", TASK, "--seeds", 1]
    assert experiment("run", "tiny", tmp_path, *words) == 0
    (tmp_path / "debug" / "tiny.png").unlink()
    assert experiment("plot", "tiny", tmp_path) == 0
    assert "2 of 2 are finished" in capsys.readouterr().out
    assert (tmp_path / "debug" / "tiny.png").exists()


def test_what_has_not_begun_cannot_be_drawn(tmp_path, capsys):
    assert experiment("plot", "tiny", tmp_path) == 2
    assert "no run of the experiment 'tiny' is finished" in capsys.readouterr().err


def test_the_list_names_every_experiment(capsys):
    assert main(["experiment", "list"]) == 0
    said = capsys.readouterr().out
    assert [name for name in EXPERIMENTS if name not in said] == []


def test_the_table_has_mean_and_middle_with_intervals_beside_the_papers(tmp_path):
    """Of five seeds the middle is that of the last scores 3, 5 and 7."""
    runs = [[0.0, float(last)] for last in (1, 3, 5, 7, 34)]
    series = made_up(tmp_path, near=runs, far=runs[:1])
    (metrics,) = series.folder.glob("*/far-0/metrics.jsonl")
    metrics.write_text(re.sub(r'"time": [^,}]+', '"time": 90', metrics.read_text()))
    path = summary.write_csv(series, tmp_path / "t.csv")
    near, far, own, other = csv.DictReader(path.read_text().splitlines())
    assert (near["method"], near["seeds"]) == ("three ahead", "5")
    assert (float(near["mean"]), float(near["iqm"])) == (10, 5)
    assert 1 <= float(near["mean_low"]) < 10 < float(near["mean_high"]) <= 34
    assert near["scores"] == "1.0 3.0 5.0 7.0 34.0"
    assert (far["seeds"], far["mean"], far["mean_low"]) == ("1", "1.0", "")
    assert (own["method"], own["mean"]) == ("three ahead, published", "9.0")
    assert (other["mean"], other["iqm"]) == ("12.0", "")
    assert other["source"] == "A book, p. 3; 0 episodes"
    text = summary.write_markdown(series, tmp_path / "t.md").read_text()
    assert re.search(r"^\| three ahead \| 10 \(\d+ to \d+\), IQM 5 \(", text, re.M)
    assert "| four ahead | 1, 1 seed, 1.5 min |" in text
    assert (far["minutes"], own["minutes"]) == ("1.5", "")
    assert "A planner: A book, p. 3; 0 episodes." in text


def test_several_tasks_have_a_column_for_all_of_them(tmp_path):
    both = (TASK, "toys:other")
    series = made_up(tmp_path, both, near=[[2.0], [4.0]], far=[[1.0]])
    found = {(row.method, row.task): row for row in summary.measured(series)}
    assert found["three ahead", summary.ALL].mean == (3, 2, 4)
    assert len(found["three ahead", summary.ALL].seeds) == 2
    for path in series.folder.glob("*/far-0/finished"):
        path.unlink()
    left = {(row.method, row.task) for row in summary.measured(series)}
    assert left == {("three ahead", task) for task in (*both, summary.ALL)}


def test_each_task_counts_alike_however_many_of_its_seeds_are_finished(tmp_path):
    both = (TASK, "toys:other")
    series = made_up(tmp_path, both, near=[[900.0], [900.0], [900.0]])
    others = [*series.folder.glob("toys-other/near-*/metrics.jsonl")]
    for path in others:
        path.write_text(path.read_text().replace("900", "100"))
    others[0].with_name("finished").unlink()
    (*_, together) = summary.measured(series)
    assert (together.task, together.mean.value) == (summary.ALL, 500)
    assert [len(seeds) for seeds in together.seeds] == [2, 2]


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved, to look at what is in them."""
    saved, savefig = [], Figure.savefig

    def keep(figure, *arguments, **options):
        saved.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_curves_are_means_in_bands_beside_the_papers(tmp_path, figures):
    series = made_up(tmp_path, near=[[1.0, 5.0], [3.0, 9.0]], far=[[2.0, 4.0, 6.0]])
    path = draw(series, tmp_path / "picture.png")
    with Image.open(path) as picture:
        assert min(picture.size) > 300
    (curves,) = figures[0].axes
    lines = [line.get_xydata().tolist() for line in curves.lines]
    assert [[10, 2], [20, 7]] in lines
    assert [[10, 2], [20, 4], [30, 6]] in lines
    band = curves.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1, 9)
    levels = [{*line.get_ydata()} for line in curves.lines]
    assert {9} in levels
    assert {12} in levels


def test_runs_evaluated_at_different_times_share_what_they_can(tmp_path, figures):
    series = made_up(tmp_path, near=[[1.0, 5.0], [3.0]])
    draw(series, tmp_path / "picture.png")
    assert figures[0].axes[0].lines[0].get_xydata().tolist() == [[10, 2]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The three models, trained for a moment."""
    place = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "video_suffix", lambda: ".gif")
        words = ["--tasks", TASK, "--seeds", 1]
        assert experiment("run", "models", place, *words) == 0
    return Series(EXPERIMENTS["models"], "debug", (TASK,), 1, place)


def test_models_foresee_the_same_episodes(models, monkeypatch):
    entries = {entry.variant.name: entry for entry in models.entries()}
    seen, predict = [], foresight.predict

    def noted(model, chunk, *arguments):
        seen.append((model, chunk))
        return predict(model, chunk, *arguments)

    monkeypatch.setattr(foresight, "predict", noted)
    errors = foresight.measured(entries, TASK)
    assert [*errors] == ["planet", "ssm", "rnn", "standstill"]
    # Ten episodes of 13 frames by each agent, of which 5 are seen.
    assert {len(by_distance) for by_distance in errors.values()} == {8}
    (_, chunk), *others = seen
    assert len({id(model) for model, _ in seen}) == 3
    assert chunk.observation.shape[:2] == (30, 13)
    assert all((c.observation == chunk.observation).all() for _, c in others)
    assert not (chunk.observation[:10] == chunk.observation[10:20]).all()
    assert len({tuple(by_distance) for by_distance in errors.values()}) == 4


def test_errors_are_kept_until_a_run_is_another(models, monkeypatch):
    def fail(*_):
        raise AssertionError("measured again")

    before = foresight.errors(models, TASK)
    monkeypatch.setattr(foresight, "measured", fail)
    assert foresight.errors(models, TASK) == before
    monkeypatch.setattr(foresight, "measured", lambda *_: {"ssm": [1.0]})
    (kept,) = models.folder.rglob("models-errors-0.json")
    whole = kept.read_text()
    kept.write_text(json.dumps({**json.loads(whole), "scores": {}}))
    assert foresight.errors(models, TASK) == {"ssm": [[1.0]]}
    kept.write_text(whole)


def test_errors_are_drawn_beside_each_other(models, figures):
    draw(models, models.folder / "again.png")
    _, errors = figures[0].axes
    names = [text.get_text() for text in errors.get_legend().get_texts()]
    assert len(names) == 4
    found = foresight.errors(models, TASK)
    assert np.allclose(errors.lines[1].get_ydata(), found["ssm"][0])


def test_experiments_share_runs(models, performed):
    words = ["--tasks", TASK, "--seeds", 1]
    assert experiment("run", "table", models.directory, *words) == 0
    assert performed == []


@pytest.mark.parametrize("scale", ["paper", "cpu", "debug"])
def test_one_name_is_one_config_in_all_experiments(scale, tmp_path):
    configs = {}
    for name in EXPERIMENTS:
        for entry in series_of(name, scale, directory=tmp_path).entries():
            config = configs.setdefault(entry.directory, entry.config)
            assert entry.config == config, entry.directory


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if n != "tiny"])
@pytest.mark.parametrize("scale", ["paper", "cpu"])
def test_each_config_can_be_built(scale, name):
    pytest.importorskip("dm_control")
    task, method = "dmc/cartpole-swingup", EXPERIMENTS[name].method
    for variant in series_of(name, scale).variants:
        BUILDERS[method](replace(variant.config, task=task))


# Many variants are the same run, or differ in their planner alone.
BUILDERS = {"train": functools.cache(build.check), "plan": build.simulator_planner}


@pytest.mark.parametrize("name", ["overshooting", "drnn"])
@pytest.mark.parametrize("scale", ["paper", "cpu"])
def test_overshooting_leaves_the_weight_of_one_step_as_it_is(scale, name):
    """And all further distances weigh as much together."""
    *_, without, within = (v.config for v in series_of(name, scale).variants)
    assert replace(within, objective=without.objective) == without
    weight, terms = without.objective.kl_weight, within.objective
    (term,) = [t for t in build_model.objective_terms(within) if hasattr(t, "betas")]
    betas = np.array(term.betas) / len(term.betas)
    assert len(betas) == terms.overshooting == within.train.chunk
    assert betas[0] == pytest.approx(weight)
    assert betas[1:].sum() == pytest.approx(weight)


def test_the_models_differ_in_their_dynamics_alone():
    rssm, *others = (v.config for v in series_of("models", "cpu").variants)
    for other in others:
        assert other.model.activation == "elu"
        model = replace(other.model, dynamics="rssm")
        assert replace(other, model=model) == rssm


@pytest.mark.parametrize("scale", ["paper", "cpu"])
def test_the_activations_are_compared_for_each_model_and_share_its_runs(scale):
    activations, models = (
        {v.name: v.config for v in series_of(name, scale).variants}
        for name in ("activations", "models")
    )
    assert len(activations) == 6
    assert all(activations[name] == config for name, config in models.items())
    kinds = [(c.model.dynamics, c.model.activation) for c in activations.values()]
    expected = [(d, a) for d in ("rssm", "ssm", "rnn") for a in ("relu", "elu")]
    assert kinds == expected
    plain = {
        replace(c, model=replace(c.model, dynamics="rssm", activation="relu"))
        for c in activations.values()
    }
    assert len(plain) == 1


def test_one_agent_learns_all_tasks_in_one_run(tmp_path, monkeypatch):
    """Its episodes are counted for each task, as those of the others are."""
    both = ("toys:integrator", "toys:plane")
    experiment_of = replace(EXPERIMENTS["one-agent"], small_tasks=both)
    series = Series(experiment_of, "debug", both, 1, tmp_path, episodes=3)
    _, joint = series.variants
    entries = [*series.entries()]
    assert [entry.tasks for entry in entries] == [(both[0],), (both[1],), both]
    assert entries[2].config.task == "toys:integrator,toys:plane"
    assert series.finished(joint, both[1]) == []
    counts, progress = [], runner.terminal_progress

    def counted(title, episodes):
        counts.append(episodes)
        return progress(title, episodes)

    monkeypatch.setattr(runner, "terminal_progress", counted)
    assert runner.run_all(series) == []
    assert counts == [3, 3, 6]
    for task in both:
        (found,) = series.finished(joint, task)
        assert found == entries[2]
        assert [*summary.curve(found, task)] == [3]


def test_the_agents_differ_in_what_the_paper_took_away():
    whole, at_random, shooting = (v.config for v in series_of("agents").variants)
    assert at_random.train.collection == "random"
    assert replace(at_random, train=whole.train) == whole
    assert shooting.planner.method == "random-shooting"
    assert shooting.planner.candidates == whole.planner.candidates
    assert replace(shooting, planner=whole.planner) == whole


def test_the_sweep_changes_one_number_at_a_time_for_each_horizon():
    planners = planner_sweep.grid(PRESETS["paper"].planner)
    assert len(planners) == 3 * 3 * 5
    assert planners["iterations", 3.0, 8] == PlannerConfig(horizon=8, iterations=30)
    many = PlannerConfig(horizon=6, candidates=3000, elites=300)
    assert planners["candidates", 3.0, 6] == many
    assert planners["elites", 0.3, 12] == PlannerConfig(elites=30)
    assert planners["elites", 1.0, 12] == PlannerConfig()
    names = [variant.name for variant in series_of("planner-sweep", "paper").variants]
    assert len(set(names)) == len(names) == 7 * 5


def test_the_sweep_plans_with_the_true_simulator(tmp_path, monkeypatch, capsys):
    pytest.importorskip("dm_control")
    monkeypatch.setattr(planner_sweep, "HORIZONS", (2, 3))
    monkeypatch.setattr(planner_sweep, "FACTORS", (1.0,))
    words = ["--tasks", "dmc/cartpole-balance", "--seeds", 1]
    assert experiment("run", "planner-sweep", tmp_path, *words) == 0
    assert "2 of 2 are finished" in capsys.readouterr().out
    (record,) = read_metrics(next(tmp_path.rglob("cem-h3-*/metrics.jsonl")))
    assert 100 < record.scalars["score"] <= 1000
    assert record.time > 10 * record.scalars["seconds_per_decision"] > 0
    assert (tmp_path / "debug" / "planner-sweep.png").exists()


def test_the_physics_of_a_plan_has_the_threads_of_the_run(tmp_path, monkeypatch):
    asked = []

    def planned(config, episodes, threads=None, on_decision=None):
        asked.append(threads)
        rows = np.zeros((2, 1), np.float32)
        return iter([Planned(Episode(rows, rows, rows[:, 0]), 0.5)])

    monkeypatch.setattr(runner, "plan_episodes", planned)
    series = Series(
        replace(TINY, method="plan"), "debug", (TASK,), 1, tmp_path, threads=2
    )
    runner.perform(series, next(series.entries()))
    assert asked == [2]


@pytest.mark.parametrize("scale", ["paper", "cpu", "debug"])
def test_savings_change_one_option_at_a_time(scale):
    """But elites go with candidates, and all networks with each other.

    Another planner leaves behind what it has no use for.
    """
    base, *others = (v.config for v in series_of("savings", scale).variants)
    changed = {frozenset(differences(base, other)): other for other in others}
    (icem,) = (names for names in changed if "planner.method" in names)
    assert icem <= {"planner.method", "planner.warm_start"}
    assert changed.keys() == {
        *map(frozenset, [{"objective.decoded"}, {"train.shortest_chunk"}]),
        *map(frozenset, [{"train.updates"}, {"train.precision"}]),
        *map(frozenset, [{"planner.warm_start"}, {"planner.iterations"}]),
        *(frozenset({"planner.candidates", "planner.elites"}), icem),
        *(frozenset({"env.image_size"}), frozenset(map("model.{}".format, NETWORKS))),
    }
    assert len(others) == len(changed) + 1  # fewer updates, and more
    for other in others:
        build.planner(other)
