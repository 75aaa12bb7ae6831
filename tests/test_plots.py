"""The curve shows each episode, each evaluation and the published number."""

import math
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from planet_torch.metrics import Counters, Reporter
from planet_torch.plots import error_curve, learning_curve


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved, to look at what is in them."""
    saved = []
    savefig = Figure.savefig

    def keep(figure, *arguments, **options):
        saved.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def make_run(directory, episodes=12, every=4, tasks=("a",)):
    """Returns of the second task are ten times those of the first, and so on."""
    counters = Counters()
    with Reporter(directory / "metrics.jsonl") as reporter:
        for episode in range(1, episodes + 1):
            counters = replace(counters, environment_steps=1000 * episode)
            reporter.log("fit", {"loss": 1.0}, counters)
            for scale, task in zip((1, 10, 100), tasks, strict=False):
                score = math.nan if episode == 2 else 10.0 * episode * scale
                kind = "seed" if episode <= 3 else "collect"
                reporter.log(kind, {"return": score}, counters, task)
                if episode % every == 0:
                    scores = [episode * value * scale for value in (1.0, 2.0, 6.0)]
                    values = {"score": np.mean(scores), "returns": scores}
                    reporter.log("evaluate", values, counters, task)


def test_everything_is_drawn_where_it_belongs(tmp_path, figures):
    make_run(tmp_path)
    learning_curve(tmp_path, tmp_path / "curve.png", {"a": 986.0, "b": 3.0}, "PlaNet")
    [axes] = figures[0].axes
    seeds, collected, band = axes.collections[:3]
    assert len(seeds.get_offsets()) == 3
    assert seeds.get_offsets()[2].tolist() == [3000, 30]
    assert len(seeds.get_facecolor()) == 0  # rings
    assert len(collected.get_offsets()) == 9
    assert collected.get_offsets()[0].tolist() == [4000, 40]
    assert len(collected.get_facecolor()) == 1  # dots
    means, published = axes.lines
    assert means.get_xydata().tolist() == [[4000, 12], [8000, 24], [12000, 36]]
    area = band.get_paths()[0].vertices
    assert (area[:, 1].min(), area[:, 1].max()) == (4, 72)
    assert set(published.get_ydata()) == {986}
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [
        *("a, mean and range of 3", "PlaNet: 986"),
        *("seed episode", "collected episode"),
    ]
    assert axes.get_title("left") == tmp_path.name


def test_each_task_has_a_line_and_a_colour(tmp_path, figures):
    make_run(tmp_path, tasks=("a", "b", "c"))
    learning_curve(tmp_path, tmp_path / "curve.png", {"b": 700})
    [axes] = figures[0].axes
    first, second, published, third = axes.lines
    for line, scale in (first, 1), (second, 10), (third, 100):
        assert line.get_ydata().tolist() == [12 * scale, 24 * scale, 36 * scale]
    colours = [line.get_color() for line in axes.lines]
    assert len(set(colours)) == 3
    assert colours[1] == published.get_color()


def test_the_picture_is_a_png_with_something_on_it(tmp_path):
    make_run(tmp_path, episodes=4)
    image = matplotlib.image.imread(learning_curve(tmp_path, tmp_path / "curve.png"))
    assert image.shape[1] > 1000
    assert image[..., :3].std() > 0.01


def test_a_run_without_an_evaluation_can_be_drawn_and_one_without_an_episode_not(
    tmp_path,
):
    make_run(tmp_path, episodes=1)
    learning_curve(tmp_path, tmp_path / "curve.png")
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="no episode"):
        learning_curve(tmp_path, tmp_path / "curve.png")


def test_errors_are_drawn_beside_those_of_standing_still(tmp_path, figures):
    errors, still = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.0, 3.5])
    path = error_curve(errors, still, tmp_path / "error.png", "a task")
    assert matplotlib.image.imread(path).shape[1] > 1000
    model, bar = figures[0].axes[0].lines
    assert model.get_xydata().tolist() == [[1, 1], [2, 2], [3, 4]]
    assert bar.get_ydata().tolist() == [3, 3, 3.5]
    assert figures[0].axes[0].get_xlabel() == "frames ahead"
