"""Each line says when it was measured; a resumed file is that of an unbroken run."""

import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from planet_torch.metrics import Counters, Reporter, Silent, read_metrics


def counters(episode):
    return Counters(1000 * episode, 125 * episode, 100 * (episode - 5), episode)


def run(path, episodes, **options):
    """Log so many episodes; the marks at which one could resume."""
    marks = []
    with Reporter(path, **options) as reporter:
        for episode in episodes:
            reporter.log("fit", {"loss": 1 / (1 + episode)}, counters(episode))
            reporter.log("collect", {"return": 2.0**episode}, counters(episode))
            marks.append(reporter.mark())
    return marks


def timeless(path):
    return [replace(record, time=0.0) for record in read_metrics(path)]


class Listener(Silent):
    def __init__(self):
        self.heard = []

    def write(self, record):
        self.heard.append(record)

    def recall(self, records, counters):
        self.heard.append((list(records), counters))

    def close(self):
        self.heard.append("close")


def test_a_line_is_flat_and_has_the_counters_first_and_the_time_last(tmp_path):
    run(tmp_path / "m", [7])
    fit = json.loads((tmp_path / "m").read_text().splitlines()[0])
    assert list(fit) == ["kind", *asdict(Counters()), "loss", "time"]
    assert fit["environment_steps"] == 7000
    assert fit["updates"] == 200


def test_a_record_may_be_about_one_task(tmp_path):
    with Reporter(tmp_path / "m") as reporter:
        reporter.log("evaluate", {"score": 2.0}, counters(7), "dmc/walker-walk")
        reporter.log("fit", {"loss": 2.0}, counters(7))
    first, second = (tmp_path / "m").read_text().splitlines()
    assert json.loads(first)["task"] == "dmc/walker-walk"
    assert "task" not in json.loads(second)
    records = read_metrics(tmp_path / "m")
    assert [record.task for record in records] == ["dmc/walker-walk", ""]
    assert [record.name for record in records] == ["evaluate/dmc/walker-walk", "fit"]


def test_two_equal_runs_differ_in_nothing_but_the_time(tmp_path):
    for name in "ab":
        run(tmp_path / name, range(3))
    lines = ((tmp_path / name).read_text().splitlines() for name in "ab")
    for left, right in zip(*lines, strict=True):
        assert left.partition(' "time"')[0] == right.partition(' "time"')[0]


@pytest.mark.parametrize("torn", ["", '{"kind": "fi', '{"kind": "collect"}\n' * 3])
def test_a_resumed_file_is_that_of_an_unbroken_run(tmp_path, torn):
    run(tmp_path / "whole", range(6))
    mark = run(tmp_path / "cut", range(4))[2]
    with (tmp_path / "cut").open("a") as file:
        file.write(torn)
    kept = read_metrics(tmp_path / "whole")[: mark[0]]
    listener = Listener()
    run(
        tmp_path / "cut",
        range(3, 6),
        resume=mark,
        progress=listener,
        counters=counters(9),
    )
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    recalled, where = listener.heard[0]
    assert [record.values for record in recalled] == [r.values for r in kept]
    assert where == counters(9)
    times = [record.time for record in read_metrics(tmp_path / "cut")]
    assert times == sorted(times)


def test_lines_that_are_not_there_cannot_be_resumed_from(tmp_path):
    run(tmp_path / "m", range(2))
    before = (tmp_path / "m").read_bytes()
    with pytest.warns(UserWarning, match="4 of 5 lines can be read"):
        reporter = Reporter(tmp_path / "m", resume=(5, "another"))
    with reporter:
        assert reporter.lost
        assert reporter.mark()[0] == 4
    assert (tmp_path / "m").read_bytes() == before
    assert (tmp_path / "m.damaged-1").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (b'"return": 2.0', b'"return": 3.0', 6),  # still a line
        (b'"kind": "fit"', b'"kind"; "fit"', 5),
        (b'"updates"', b'"updatez"', 5),
    ],
)
def test_a_file_that_was_changed_is_set_aside(tmp_path, old, new, kept):
    *_, mark = run(tmp_path / "m", range(3))
    changed = (tmp_path / "m").read_bytes().replace(old, new, 1)
    (tmp_path / "m").write_bytes(changed)
    with (
        pytest.warns(UserWarning, match=f"m.damaged-1; {kept} of 6 lines"),
        Reporter(tmp_path / "m", resume=mark) as reporter,
    ):
        after = reporter.mark()
    assert (tmp_path / "m.damaged-1").read_bytes() == changed
    assert len(read_metrics(tmp_path / "m")) == kept
    with Reporter(tmp_path / "m", resume=after) as reporter:
        assert not reporter.lost


def test_a_line_that_is_no_record_is_named(tmp_path):
    run(tmp_path / "m", range(1))
    with (tmp_path / "m").open("a") as file:
        file.write("[3]\n")
    with pytest.raises(ValueError, match=r"m, line 3: it is no record"):
        read_metrics(tmp_path / "m")


def test_a_new_run_never_overwrites_an_old_one(tmp_path):
    run(tmp_path / "m", range(2))
    with pytest.raises(FileExistsError):
        Reporter(tmp_path / "m")


def test_lines_are_there_before_the_reporter_is_closed(tmp_path):
    with Reporter(tmp_path / "m") as reporter:
        reporter.log("fit", {"loss": 1.0}, Counters())
        assert len(read_metrics(tmp_path / "m")) == 1


def test_what_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path):
    with Reporter(tmp_path / "m") as reporter:
        reporter.log("fit", {"a": math.nan, "b": [1.0, -math.inf]}, Counters())
    assert '"a": null, "b": [1.0, null]' in (tmp_path / "m").read_text()
    [record] = read_metrics(tmp_path / "m")
    assert math.isnan(record.values["a"])
    assert record.values["b"][0] == 1
    assert math.isnan(record.values["b"][1])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_back_to_the_bit(tmp_path_factory, number):
    path = tmp_path_factory.mktemp("metrics") / "m"
    with Reporter(path) as reporter:
        reporter.log("fit", {"number": number, "numbers": [number]}, Counters())
    [record] = read_metrics(path)
    assert record.values == {"number": number, "numbers": [number]}


@pytest.mark.parametrize("name", ["kind", "updates", "time"])
def test_no_value_may_hide_a_part_of_the_line(tmp_path, name):
    with Reporter(tmp_path / "m") as reporter, pytest.raises(ValueError, match=name):
        reporter.log("fit", {name: 1.0}, Counters())
    assert not (tmp_path / "m").read_text()


def test_sinks_get_plain_numbers_of_whatever_was_logged(tmp_path):
    values = {"loss": torch.tensor(0.5), "score": np.float32(2), "returns": np.ones(2)}
    listeners = [Listener(), Listener()]
    with Reporter(tmp_path / "m", sinks=listeners) as reporter:
        reporter.log("evaluate", values, counters(7))
    for listener in listeners:
        record, end = listener.heard
        assert record.values == {"loss": 0.5, "score": 2.0, "returns": [1.0, 1.0]}
        assert record.scalars == {"loss": 0.5, "score": 2.0}
        assert end == "close"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_sinks_are_closed_on_a_full_disk_too(tmp_path):
    """A panel gives the terminal back, W&B ends its run."""
    sink = Listener()
    reporter = Reporter(tmp_path / "metrics.jsonl", [sink])
    reporter._file.close()
    reporter._file = Path("/dev/full").open("a")  # noqa: SIM115
    with pytest.raises(OSError, match="No space"), reporter:
        reporter.log("fit", {"loss": 1.0}, Counters())
    assert sink.heard[-1] == "close"


def test_records_of_one_kind_can_be_read_alone(tmp_path):
    run(tmp_path / "m", range(3))
    returns = [
        record.values["return"] for record in read_metrics(tmp_path / "m", "collect")
    ]
    assert returns == [1, 2, 4]
