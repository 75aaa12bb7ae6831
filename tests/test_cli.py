"""The command: what it prints, writes and refuses, and the exit status it gives."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from typing import get_args, get_type_hints

import pytest
from PIL import Image

from planet_torch import (
    cli,
    commands,
    config,
    nested,
    report,
    sinks,
    video,
)
from planet_torch.cli import main
from planet_torch.config import Config
from planet_torch.presets import PRESETS
from planet_torch.run import Run
from planet_torch.sinks import SINKS
from small import small, trained, weights

DEBUG = ["toys:integrator", "--preset", "debug", "--train.chunk", "6"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, and what the command printed."""
    place = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "video_suffix", lambda: ".gif")  # faster than mp4
        assert main(["train", *DEBUG, "--run", str(place), "--log", "tensorboard"]) == 0
    return place


@pytest.fixture(autouse=True)
def gif(monkeypatch):
    monkeypatch.setattr(video, "video_suffix", lambda: ".gif")


def refused(capsys, *words):
    """The one line that says why the command is not done."""
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("planet: error: ")
    assert not re.search("[│╭╰]", line)
    return line.removeprefix("planet: error: ")


def test_training_leaves_everything_in_the_run_directory(run):
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("config.json", "run.json", "run.lock", "metrics.jsonl", "curve.png"),
        *("episodes", "checkpoints", "videos", "tensorboard"),
    }
    with Image.open(run / "curve.png") as curve:
        assert min(curve.size) > 300
    assert len(list((run / "videos").iterdir())) == 2


def test_a_finished_run_says_its_score_and_where_everything_is(run, capsys):
    assert main(["train", "--resume", str(run)]) == 0
    said = capsys.readouterr().out
    score = r"^score +-?\d+\.\d in toys:integrator, the mean of 2 episodes"
    assert re.search(score, said, re.MULTILINE)
    random = r"^random +-?\d+\.\d in toys:integrator, the mean of 2 episodes"
    assert re.search(random, said, re.MULTILINE)
    assert str(run / "curve.png") in said
    assert f"planet evaluate {run}" in said


def test_a_finished_run_without_metrics_says_what_is_lost(run, tmp_path, capsys):
    old = Run.open(shutil.copytree(run, tmp_path / "old"))
    old.metrics.unlink()
    again = ["train", "--resume", str(old.directory)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda text, **_: print(text))
        assert main(again) == 0
    said = capsys.readouterr().out
    assert "metrics.jsonl is not as the checkpoint knew it, and is gone" in said
    lost = f"lost        from {old.metrics}: the score in toys:integrator"
    assert lost in said
    assert main(again) == 0
    assert lost in capsys.readouterr().out


def test_the_published_score_is_drawn_where_there_is_one(run, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(
        "planet_torch.report.learning_curve", lambda *args, **_: drawn.append(args)
    )
    monkeypatch.setitem(
        report.PLANET, "toys:integrator", report.PLANET["dmc/cartpole-swingup"]
    )
    main(["train", "--resume", str(run)])
    assert drawn[0][2] == {"toys:integrator": 821}
    said = capsys.readouterr().out
    assert "821 in toys:integrator, after 1,000 episodes, by Hafner et al." in said


@pytest.mark.parametrize(("words", "done"), [([], "on"), (["--compile", "off"], "off")])
def test_an_agent_is_compiled_as_in_its_run_or_as_asked(
    words, done, run, tmp_path, monkeypatch
):
    copy = Run.open(shutil.copytree(run, tmp_path / "copy"), compiled="on")
    config.save(copy.config, copy.directory / "config.json")
    asked = []
    spy = lambda _, how: asked.append(how)
    monkeypatch.setattr("planet_torch.run.compile_parts", spy)
    assert main(["evaluate", str(copy.directory), "--episodes", "1", *words]) == 0
    assert asked == [done]


def test_evaluation_repeats_itself_as_json(run, capsys):
    words = ["evaluate", str(run), "--episodes", "3", "--seed", "5", "--json"]
    scores = []
    for _ in range(2):
        assert main(words) == 0
        scores.append(json.loads(capsys.readouterr().out))
    assert scores[0] == scores[1]
    returns = scores[0]["returns"]["toys:integrator"]
    assert len(returns) == 3
    assert scores[0]["score"] == pytest.approx(sum(returns) / 3)


def test_evaluation_says_its_score_in_words_and_writes_videos(run, capsys):
    assert main(["evaluate", str(run), "--episodes", "2", "--video"]) == 0
    said = capsys.readouterr()
    score = r"score +-?\d+\.\d in toys:integrator, the mean of 2 episodes from "
    score += r"-?\d+\.\d to -?\d+\.\d, standard deviation \d"
    assert re.match(score, said.out)
    for number in (0, 1):
        name = f"evaluate-toys-integrator-seed-0-{number:02d}.gif"
        path = run / "videos" / name
        assert f"video {path}" in said.err
        with Image.open(path) as film:
            assert film.n_frames > 1


def test_scores_are_told_though_a_video_cannot_be_written(run, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("planet_torch.video.save_episode", full)
    assert main(["evaluate", str(run), "--episodes", "2", "--video", "--json"]) == 1
    said = capsys.readouterr()
    assert len(json.loads(said.out)["returns"]["toys:integrator"]) == 2
    assert "No space left on device" in said.err


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A finished run on two tasks."""
    place = tmp_path_factory.mktemp("runs") / "both"
    tasks = ["toys:integrator,toys:plane", *DEBUG[1:], "--train.episodes", "3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "video_suffix", lambda: ".gif")
        assert main(["train", *tasks, "--run", str(place)]) == 0
    return place


def test_a_run_on_several_tasks_says_the_score_of_each(both, capsys):
    assert main(["train", "--resume", str(both)]) == 0
    said = capsys.readouterr().out
    for kind in ("score", "random"):
        for task in ("integrator", "plane"):
            line = rf"^{kind} +-?\d+\.\d in toys:{task}, the mean of 2 episodes"
            assert re.search(line, said, re.MULTILINE)
    assert re.search(r"^score +-?\d+\.\d, the mean of 2 tasks$", said, re.MULTILINE)
    assert f"planet predict {both} --task toys:integrator" in said


def test_all_tasks_are_evaluated_or_one(both, capsys):
    words = ["evaluate", str(both), "--episodes", "2", "--json"]
    assert main(words) == 0
    every = json.loads(capsys.readouterr().out)
    means = [sum(part) / 2 for part in every["returns"].values()]
    assert every["score"] == pytest.approx(sum(means) / 2)
    assert main([*words, "--task", "toys:plane"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert list(every["returns"]) == ["toys:integrator", "toys:plane"]
    assert one["returns"] == {"toys:plane": every["returns"]["toys:plane"]}
    assert "has several tasks; choose from" in refused(capsys, "predict", both)
    assert main(["predict", str(both), "--task", "toys:plane"]) == 0


def test_another_planner_can_be_evaluated_on_top_of_the_options_of_the_run(run):
    own = config.load(run / "config.json").planner
    assert own.horizon == 3
    change = ["--planner.horizon", "5", "--planner.warm_start", "True"]
    changed = cli.parse("evaluate", ["--seed", "1", str(run), *change])
    assert changed.planner == dataclasses.replace(own, horizon=5, warm_start=True)
    other = ["--planner.method=mppi", "--planner.sigma", "0.1"]
    mppi = cli.parse("evaluate", [str(run), *other]).planner
    assert (mppi.method, mppi.sigma, mppi.horizon) == ("mppi", 0.1, 3)
    assert mppi.elites == config.PlannerConfig().elites  # of no use to it


def test_where_videos_go_is_not_what_is_evaluated(run, tmp_path):
    base = config.load(run / "config.json")
    searching = dataclasses.replace(base.planner, horizon=7)
    config.save(dataclasses.replace(base, planner=searching), tmp_path / "config.json")
    for words in (["--out", tmp_path, run], [run, "--out", tmp_path]):
        found = cli.parse("evaluate", list(map(str, words)))
        assert (found.directory, found.planner.horizon) == (run, 3)
    assert cli.parse("evaluate", [str(tmp_path)]).planner.horizon == 7


def test_what_saw_vectors_is_not_looked_at(tmp_path, capsys):
    one = trained(tmp_path / "run")
    place = one.directory
    report.print_result(one)
    said = capsys.readouterr().out
    assert said.endswith(f"score again planet evaluate {place}\n")
    assert "video" not in said
    for words in (["evaluate", place, "--video"], ["predict", place]):
        answer = f"{place} has learned from vectors, and only pictures can be looked at"
        assert refused(capsys, *words).startswith(answer)
    assert not list((place / "videos").iterdir())


def test_a_search_that_the_model_cannot_do_is_no_fault_of_its_weights(run, capsys):
    answer = refused(capsys, "evaluate", run, "--planner.value", "False")
    assert answer.startswith("planner.value (=False) has no effect")


def test_a_sink_that_is_not_installed_leaves_no_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sinks, "find_spec", lambda name: None)
    words = [*DEBUG, "--run", tmp_path / "run", "--log", "wandb"]
    answer = refused(capsys, "train", *words)
    assert answer.endswith("WandB is not installed: pip install 'planet-torch[wandb]'")
    assert not (tmp_path / "run").exists()


def test_commands_to_copy_are_quoted(tmp_path, capsys):
    place = Run.create(tmp_path / "my run", small()).directory
    assert f"`planet train --resume '{place}'`" in refused(
        capsys, "train", *DEBUG, "--run", place
    )


def test_another_planner_has_other_scores_and_leaves_the_run_alone(run, capsys):
    before = (run / "config.json").read_bytes()
    scores = []
    for method in ("cem", "random-shooting", "mppi"):
        words = ["--json", "--episodes", "1", "--planner.method", method]
        assert main(["evaluate", str(run), *words]) == 0
        scores.append(json.loads(capsys.readouterr().out)["score"])
    assert len(set(scores)) == 3
    assert (run / "config.json").read_bytes() == before


def test_a_preset_searches_by_another_method():
    words = ["t", "--preset", "cpu", "--planner.method", "random-shooting"]
    planner = cli.parse("train", words).config.planner
    cpu = PRESETS["cpu"].planner
    assert planner == config.PlannerConfig(
        method="random-shooting",
        horizon=cpu.horizon,
        candidates=cpu.candidates,
        acts_on=cpu.acts_on,
    )


def test_prediction_writes_a_film_and_a_strip(run, tmp_path, capsys):
    out = tmp_path / "foreseen"
    words = ["--context", "3", "--length", "8", "--out", str(out)]
    assert main(["predict", str(run), *words]) == 0
    said = capsys.readouterr().out
    for suffix in (".gif", ".png", "-error.png"):
        assert f"{out}{suffix}" in said
        with Image.open(f"{out}{suffix}") as picture:
            assert min(picture.size) > 100
    assert re.search(r"^  5 frames ahead: wrong by +\d+\.\d grey levels", said, re.M)


def test_the_list_has_every_task_and_preset(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    words = ("dmc/cartpole-swingup", "dmc/humanoid_CMU-walk", "821", *PRESETS)
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_has_every_command(words, capsys):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert [name for name in cli.COMMANDS if name not in said] == []
    assert max(map(len, said.splitlines())) <= 88


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_explains_each_of_its_options(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert not end.value.code
    said = capsys.readouterr().out
    known = nested.option_names(cli.COMMANDS[command])
    positional = ("task", "directory", "action", "name")
    options = {name for name in known if name not in positional}
    assert [name for name in options if f"--{name}" not in said] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_help_shows_the_values_of_the_preset(preset, capsys):
    with pytest.raises(SystemExit):
        main(["train", f"--preset={preset}", "--help"])
    said = " ".join(re.sub("[│\n]", " ", capsys.readouterr().out).split())
    size = PRESETS[preset].env.image_size
    assert f"Height and width of the pictures. (default: {size})" in said


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"planet {cli.__version__}\n"


def test_what_is_asked_often_is_answered_without_torch():
    code = (
        "import sys; from planet_torch.cli import main; main(['list'])\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_options_of_a_preset_are_changed_one_by_one():
    words = ["dmc/walker-walk", "--preset", "debug", "--seed", "3"]
    more = ["--planner.warm_start", "True", "--env.action-repeat=5"]
    train = cli.parse("train", [*words, *more])
    debug = PRESETS["debug"]
    assert train.config == dataclasses.replace(
        debug,
        task="dmc/walker-walk",
        seed=3,
        planner=dataclasses.replace(debug.planner, warm_start=True),
        env=dataclasses.replace(debug.env, action_repeat=5),
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_alone_is_that_preset(preset):
    train = cli.parse("train", ["--preset", preset, "t"])
    assert train.config == dataclasses.replace(PRESETS[preset], task="t")


def test_a_run_gives_its_options_to_a_new_one(run):
    like = Run.open(run).config
    train = cli.parse("train", ["--like", str(run)])
    assert train.config == like
    assert train.directory.name == "toys-integrator-like-run-0"
    words = ["toys:other", "--like", str(run), "--seed", "5", "--train.chunk", "7"]
    train = cli.parse("train", words)
    options = dataclasses.replace(like.train, chunk=7)
    assert train.config == dataclasses.replace(
        like, task="toys:other", seed=5, train=options
    )
    assert train.directory.name == "toys-other-like-run-5"


def test_a_run_like_another_is_the_same_again(run, tmp_path):
    again = tmp_path / "again"
    assert main(["train", "--like", str(run), "--run", str(again)]) == 0
    assert weights(Run.open(again)) == weights(Run.open(run))


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("dmc/cartpole-swingup", "cartpole-swingup-cpu-2"),
        ("gym/Pendulum-v1", "Pendulum-v1-cpu-2"),
        ("my.module:factory", "my.module-factory-cpu-2"),
        ("dmc/hopper-hop, dmc/walker-run", "hopper-hop+walker-run-cpu-2"),
        (",".join(f"a/{letter}" for letter in "tuvwxyz"), "t+u+v+w+x+y+more-cpu-2"),
    ],
)
def test_a_run_is_named_after_its_task_preset_and_seed(task, name):
    train = cli.parse("train", [task, "--seed", "2"])
    assert str(train.directory) == f"runs/{name}"


@pytest.mark.parametrize("option", nested.option_names(Config)[1:])
def test_a_misspelt_option_is_answered_with_the_right_one(option, capsys):
    line = refused(capsys, "train", "toys:integrator", f"--{option}x", "3")
    assert line == f"no option '--{option}x'; did you mean '--{option}'?"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("trian x", "no command 'trian'; did you mean 'train'?"),
        ("zzz", "no command 'zzz'; there are train, evaluate, predict"),
        ("train", "which TASK? `planet list` names those"),
        ("train dmc/cartpole-balence", "did you mean 'dmc/cartpole-balance'?"),
        ("train one two", "'two' is one word too many"),
        ("train x --preset cpuu", "invalid choice 'cpuu' for argument '--preset'"),
        ("train x --preset", "Missing value for argument '--preset'"),
        ("train x --log tb", "invalid choice 'tb' for argument '--log'"),
        ("train nowhere:task", "No module named 'nowhere'"),
        ("train toys:integrator --planner.elites 999", "elites"),
        (
            "train toys:integrator --planner.sigma 2",
            "planner.sigma (=2.0) has no effect on cem; leave it at 0.5",
        ),
        (
            "train toys:integrator --planner.method mppi --planner.elites 5",
            "planner.elites (=5) has no effect on mppi",
        ),
        ("train toys:integrator --train.device abacus", "train.device (='abacus')"),
        ("train --like nowhere", "nowhere holds no run"),
        ("train --like", "Missing value for argument '--like'"),
        ("train --like x --preset cpu", "--preset and --like both give defaults"),
        ("train --resume x --like y", "--like is for a new run; --resume goes by x"),
        ("train --resume nowhere", "nowhere holds no run"),
        ("train x --resume nowhere", "nowhere holds no run"),
        ("train --resume nowhere --train.batch 3", "nowhere holds no run"),
        ("evaluate", "DIR"),
        ("evaluate nowhere", "nowhere holds no run"),
        ("evaluate nowhere --episodes 0", "evaluate.episodes (=0) must be at least 1"),
        ("evaluate nowhere --episodes x", "--episodes"),
        ("evaluate nowhere --vidoe", "no option '--vidoe'; did you mean '--video'?"),
        ("predict", "DIR"),
        ("predict nowhere --context x", "--context"),
        ("list all", "'all' is one word too many"),
        ("experiment", "{list,run,plot}"),
        ("experiment play", "invalid choice 'play'"),
        ("experiment run", "no experiment ''; there are table, models"),
        ("experiment run modles", "no experiment 'modles'; did you mean 'models'?"),
        ("experiment plot models --directory nowhere", "no run of the experiment"),
        ("experiment run models --seeds 0", "experiment.seeds (=0) must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_answered_in_one_line(words, answer, capsys, tmp_path):
    assert answer in refused(capsys, *words.split())


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["train", *DEBUG, "--run"], "holds a run already; go on with it by"),
        (["predict", "--context", "0"], "context"),
        (["predict", "--length", "99"], "13 frames of the episode; a length of 8 fits"),
        (["predict", "--task", "x"], "no task 'x'; choose from toys:integrator"),
        (["evaluate", "--task", "x"], "no task 'x'; choose from toys:integrator"),
        (["evaluate", "--device", "abacus"], "(='abacus') cannot be used"),
        (["evaluate", "--device", ""], "(='') cannot be used"),
        (["evaluate", "--planner.beta", "1"], "planner.beta (=1.0) has no effect on"),
        (["evaluate", "--planner.elites", "99"], "elites (=99)"),
        (["evaluate", "--planner.method", "cme"], "invalid choice 'cme'"),
    ],
)
def test_what_cannot_be_done_with_a_run_is_answered(words, answer, run, capsys):
    capsys.readouterr()
    place = words.index("--run") + 1 if "--run" in words else 1
    assert answer in refused(capsys, *words[:place], run, *words[place:])


def test_a_place_for_videos_that_is_none_is_told_before_anything_is_planned(
    tmp_path, capsys
):
    (tmp_path / "file").touch()
    words = ["plan", "dmc/cartpole-balance", "--video", "--out", tmp_path / "file"]
    assert f"{tmp_path}/file" in refused(capsys, *words)


def test_a_directory_that_is_gone_is_told(capsys, monkeypatch):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert "No such file or directory" in refused(capsys, "list")


def test_every_sink_can_be_asked_for():
    hint = get_type_hints(commands.train.Train)["log"]
    assert {name for part in get_args(hint) for name in get_args(part)} == set(SINKS)


def test_debug_shows_where_an_error_comes_from():
    with pytest.raises(FileNotFoundError):
        main(["evaluate", "nowhere", "--debug"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (FloatingPointError("update 3 is not finite"), 1),
        (OSError(28, "No space left on device"), 1),
        (PermissionError(13, "Permission denied"), 1),
    ],
)
def test_what_fails_on_the_way_has_a_status_of_its_own(
    error, status, capsys, monkeypatch
):
    def fail(self):
        raise error

    monkeypatch.setattr(commands.list.List, "__call__", fail)
    assert main(["list"]) == status
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_closed_pipe_is_quiet():
    command = f"{sys.executable} -m planet_torch list | true"
    done = subprocess.run(
        ["bash", "-c", command], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
