"""What other programs get from a run."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from planet_torch import sinks
from planet_torch.metrics import Counters, Record
from planet_torch.sinks import SINKS, check_installed

START = Counters()
RECORD = Record(
    "evaluate", Counters(6000, 750, 100, 6), {"score": 2.5, "returns": []}, 1.0
)


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")]
)
def test_without_its_extra_a_sink_says_how_to_get_it(
    tmp_path, monkeypatch, name, module
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'planet-torch\[{name}\]'"):
        SINKS[name](tmp_path, START)


def test_tensorboard_shows_the_scalars_over_environment_steps(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = SINKS["tensorboard"](tmp_path, START)
    sink.write(RECORD)
    sink.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["evaluate/score"]
    [point] = events.Scalars("evaluate/score")
    assert (point.step, point.value) == (6000, 2.5)


def test_each_task_has_a_curve_of_its_own(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = SINKS["tensorboard"](tmp_path, START)
    for task in ("dmc/cheetah-run", "dmc/walker-walk"):
        sink.write(replace(RECORD, task=task))
    sink.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == [
        *("evaluate/dmc/cheetah-run/score", "evaluate/dmc/walker-walk/score")
    ]


def test_tensorboard_hides_what_a_killed_process_wrote_after_its_checkpoint(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps in (START, (1000, 2000, 3000)), (Counters(2000), (3000, 4000)):
        sink = SINKS["tensorboard"](tmp_path, start)
        for step in steps:
            loss = float(step + start.environment_steps)
            sink.write(Record("fit", Counters(step), {"loss": loss}, 0.0))
        sink.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    points = [(point.step, point.value) for point in events.Scalars("fit/loss")]
    assert points == [(1000, 1000), (2000, 2000), (3000, 5000), (4000, 6000)]


def test_a_folder_of_the_name_is_no_package(tmp_path, monkeypatch):
    """W&B leaves one where it was used."""
    (tmp_path / "left_by_it").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SINKS, "left_by_it", SINKS["wandb"])
    monkeypatch.setattr(sinks, "PACKAGES", {"left_by_it"})
    with pytest.raises(ImportError, match="WandB is not installed"):
        check_installed(["left_by_it"])


def test_wandb_gets_the_counters_too_and_a_resumed_run_is_the_same_run(
    tmp_path, monkeypatch
):
    opened, logged = [], []
    run = SimpleNamespace(
        define_metric=lambda *names, **options: None,
        log=logged.append,
        finish=lambda: logged.append("finish"),
    )
    fake = SimpleNamespace(init=lambda **options: opened.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        sink = SINKS["wandb"](tmp_path, START)
        sink.write(RECORD)
        sink.close()
    assert opened[0]["id"] == opened[1]["id"]
    assert logged[0]["evaluate/score"] == 2.5
    assert logged[0]["environment_steps"] == 6000
    assert logged[1] == "finish"
