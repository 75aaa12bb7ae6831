"""The curve shows each episode, each evaluation and the published number."""

import math
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from planet_torch.metrics import Counters, Reporter
from planet_torch.plots import learning_curve


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


def make_run(directory, episodes=12, every=4, returns=(1.0, 2.0, 6.0)):
    counters = Counters()
    with Reporter(directory / "metrics.jsonl") as reporter:
        for episode in range(1, episodes + 1):
            counters = replace(counters, environment_steps=1000 * episode)
            reporter.log("fit", {"loss": 1.0}, counters)
            score = math.nan if episode == 2 else 10.0 * episode
            reporter.log("collect", {"return": score}, counters)
            if episode % every == 0:
                scores = [episode * value for value in returns]
                values = {"score": np.mean(scores), "returns": scores}
                reporter.log("evaluate", values, counters)


def test_everything_is_drawn_where_it_belongs(tmp_path, figures):
    make_run(tmp_path)
    learning_curve(tmp_path, tmp_path / "curve.png", 986.0, "PlaNet")
    [axes] = figures[0].axes
    dots = axes.collections[0].get_offsets()
    assert len(dots) == 12
    assert dots[2].tolist() == [3000, 30]
    means, published = axes.lines
    assert means.get_xydata().tolist() == [[4000, 12], [8000, 24], [12000, 36]]
    band = axes.collections[1].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (4, 72)
    assert set(published.get_ydata()) == {986}
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[-1] == "PlaNet: 986"
    assert "range of 3" in texts[1]
    assert axes.get_title("left") == tmp_path.name


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
