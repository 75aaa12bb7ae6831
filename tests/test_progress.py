"""What a person sees while a run goes on."""

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from planet_torch.metrics import Counters, Record
from planet_torch.progress import BARS, Lines, Panel, sparkline, terminal_progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def console():
    return Console(
        file=io.StringIO(), width=100, force_terminal=True, color_system=None
    )


def fit(episode, time):
    counters = Counters(1000 * episode, 125 * episode, 100 * episode, episode)
    return Record("fit", counters, {"loss": 1234.5678, "kl": 0.5}, time)


def collect(episode, score, time=0.0, task=""):
    counters = Counters(episodes=episode)
    return Record("collect", counters, {"return": score}, time, task)


def shown(panel, console):
    with console.capture() as capture:
        console.print(panel)
    return capture.get()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_a_sparkline_rises_where_the_values_do(values):
    heights = [BARS.index(bar) for bar in sparkline(values, width=40)]
    values = values[-40:]
    assert len(heights) == len(values)
    assert [heights[i] for i in np.argsort(values)] == sorted(heights)
    if max(values) > min(values):
        assert {0, len(BARS) - 1} <= set(heights)


def test_a_sparkline_leaves_gaps_where_there_is_no_number():
    assert sparkline([math.nan, 0.0, math.inf, 1.0]) == " ▁ █"
    assert sparkline([math.nan]) == " "
    assert sparkline([]) == ""


def test_the_panel_shows_all_one_wants_to_know(clock, console):
    panel = Panel("dmc/cartpole-balance", 75, console, clock)
    records = [collect(1, 100.0), collect(2, 300.0), collect(3, 200.0)]
    panel.recall(records, Counters(updates=250, episodes=3))
    assert "updates 250, episodes 3" in shown(panel, console)
    panel.phase("collect", 1000, "environment steps")
    clock.now = 4.0
    panel.advance(1000)
    panel.phase("fit", 100, "updates")
    clock.now = 14.0
    panel.advance(40)
    panel.write(fit(5, 20.0))
    panel.write(Record("evaluate", Counters(5000), {"score": 412.3}, 20.0))
    text = shown(panel, console)
    panel.close()
    for part in (
        "dmc/cartpole-balance",
        "40/100 updates",
        "environment steps 5,000",
        "▁█▅  last 200.0, best 300.0",
        "last 412.3",
        "loss 1,234.6  kl 0.5",
        "250.0 environment steps/s, 4.0 updates/s",
        "0:00:20, left -",
    ):
        assert part in text


def test_the_panel_has_a_line_for_each_task(clock, console):
    panel = Panel("a/b,a/c", 75, console, clock)
    for task, score in ("a/b", 100.0), ("a/c", 30.0), ("a/b", 300.0), ("a/c", 20.0):
        panel.write(collect(1, score, task=task))
    text = shown(panel, console)
    assert "return a/b  ▁█  last 300.0, best 300.0" in text
    assert "return a/c  █▁  last 20, best 30" in text


def test_the_time_left_is_that_of_the_remaining_episodes(clock, console):
    """Ten seconds an episode since the first fit; the five before it were faster."""
    panel = Panel("task", 75, console, clock)
    for episode in range(5, 11):
        panel.write(fit(episode, 10.0 * episode - 49))
    assert "0:00:51, left 0:10:50" in shown(panel, console)  # 65 episodes are left
    clock.now += 5
    assert "0:00:56, left 0:10:45" in shown(panel, console)
    panel.write(fit(75, 1e4))
    assert "left 0:00:00" in shown(panel, console)


def test_lines_name_every_counter_and_break_a_long_silence(clock):
    console = Console(file=io.StringIO(), width=40)
    lines = Lines("task", 75, console, clock)
    lines.write(fit(5, 3723.0))
    lines.phase("fit", 100, "updates")
    for clock.now in range(0, 130, 10):
        lines.advance(1)
    lines.close()
    _, record, *minutes = console.file.getvalue().splitlines()
    assert record == (
        "1:02:03 fit: loss 1,234.6  kl 0.5 | "
        "environment steps 5,000, decisions 625, updates 500, episodes 5"
    )
    assert minutes == ["fit: 7/100 updates", "fit: 13/100 updates"]


def test_lines_say_where_a_run_goes_on(console):
    lines = Lines("task", 75, console)
    with console.capture() as capture:
        lines.recall([], Counters())
        lines.recall([collect(1, 100.0)], Counters(24, 24, 5, 2))
    told = "environment steps 24, decisions 24, updates 5, episodes 2"
    assert capture.get() == f"goes on after {told}\n"


@pytest.mark.parametrize(("terminal", "kind"), [(True, Panel), (False, Lines)])
def test_a_panel_is_for_terminals(terminal, kind):
    console = Console(file=io.StringIO(), force_terminal=terminal)
    assert isinstance(terminal_progress("task", 75, console), kind)
