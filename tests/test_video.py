"""Videos and strips open elsewhere, and show the frames that went in."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from planet_torch import video
from planet_torch.chunk import Episode
from planet_torch.prediction import Prediction
from planet_torch.video import (
    enlarge,
    keep_episode,
    prediction_rows,
    save_episode,
    save_prediction,
    save_strip,
    save_video,
)


def make_frames(count=5, height=6, width=7):
    """Each frame is of another grey, and has a white corner."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames += np.arange(20, 20 + 30 * count, 30, dtype=np.uint8)[:, None, None, None]
    frames[:, 0, 0] = 255
    return frames


def make_prediction(frames, context=2):
    parts = [frames[None], frames[None] + 5, frames[None] + 10]
    rewards = np.zeros((1, len(frames)), np.float32)
    return Prediction(*parts, context, rewards, rewards)


def gif_frames(path):
    with Image.open(path) as image:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
        return np.stack(frames), image.info["duration"]


def test_a_gif_holds_every_frame_enlarged_without_blur(tmp_path):
    frames = make_frames()
    path = save_video(frames, tmp_path / "a.gif", fps=10)
    read, duration = gif_frames(path)
    assert duration == 100
    np.testing.assert_array_equal(read, enlarge(frames))
    assert read.shape[1:3] == (252, 294)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


def test_an_mp4_holds_every_frame_also_of_odd_size(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = make_frames(height=301, width=303)
    path = save_video(frames, tmp_path / "a.mp4", fps=12)
    command = [ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt"]
    done = subprocess.run([*command, "rgb24", "-"], capture_output=True, check=True)
    assert b"304x302" in done.stderr
    assert b"12 fps" in done.stderr
    read = np.frombuffer(done.stdout, np.uint8).reshape(-1, 302, 304, 3)
    middles = read[:, 150, 150].mean(-1)
    assert middles == pytest.approx(frames[:, 150, 150].mean(-1), abs=4)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize("place", ["nowhere", "full"])
def test_a_video_that_was_not_written_whole_is_an_error_and_no_file(tmp_path, place):
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / place / "a.mp4"
    if place == "full":
        path.parent.mkdir()
        path.with_name(f".partial-{os.getpid()}-a.mp4").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"no video written to {path.parent}: "):
        save_video(make_frames(), path)
    assert not list(tmp_path.rglob("*.mp4"))


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    """As a run that is named after the time, from where it is."""
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.chdir(tmp_path)
    place = Path("2026-11-02T10:30")
    place.mkdir()
    assert save_video(make_frames(), place / "a.mp4").stat().st_size > 100


def test_training_goes_on_without_a_video_that_cannot_be_written(tmp_path):
    frames = make_frames()
    still = np.zeros(len(frames), np.float32)
    episode = Episode(frames, still[:, None], still)
    keep_episode(episode, tmp_path / "videos" / "one")
    assert len(list((tmp_path / "videos").iterdir())) == 1
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="without its video: .*file"):
        keep_episode(episode, tmp_path / "file" / "two")


def test_mp4_without_its_extra_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r"pip install 'planet-torch\[video\]'"):
        save_video(make_frames(), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frames", "name", "message"),
    [
        (make_frames(), "a.avi", r"\.mp4, \.gif"),
        (make_frames(0), "a.gif", "no frames"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, frames, name, message):
    with pytest.raises(ValueError, match=message):
        save_video(frames, tmp_path / name)


@pytest.mark.parametrize("extra", [True, False])
def test_an_episode_becomes_the_best_video_that_can_be_written(
    tmp_path, monkeypatch, extra
):
    if extra:
        pytest.importorskip("imageio_ffmpeg")
    else:
        monkeypatch.setattr(video, "find_spec", lambda name: None)
    rows = np.zeros((5, 1), np.float32)
    episode = Episode(make_frames(), rows, rows[:, 0])
    path = save_episode(episode, tmp_path / "evaluation-000010")
    assert path == tmp_path / f"evaluation-000010{'.mp4' if extra else '.gif'}"
    assert path.exists()
    assert save_episode(replace(episode, observation=rows), tmp_path / "b") is None


def test_a_prediction_is_shown_side_by_side(tmp_path):
    prediction = make_prediction(make_frames())
    frames, _ = gif_frames(save_prediction(prediction, tmp_path / "a.gif"))
    assert len(frames) == 5
    width = frames.shape[2] // 4
    centres = frames[:, -60, width // 2 :: width]
    expected = [rows[:, 3, 3] for _, rows in prediction_rows(prediction)]
    assert np.abs(centres.astype(int) - np.stack(expected, axis=1)).max() <= 3
    heads = frames[:, :20].astype(int)
    assert (heads[0] == heads[1]).all()
    assert (heads[3] == heads[4]).all()
    assert np.ptp(heads[1], axis=-1).max() < 10 < np.ptp(heads[3], axis=-1).max()


@pytest.mark.parametrize(("every", "left"), [(1, 2), (2, 1), (3, 1)])
def test_a_strip_has_a_bar_between_what_was_seen_and_what_was_not(
    tmp_path, every, left
):
    """Of frames 0..4, two are seen; ``left`` of the ones shown."""
    rows = prediction_rows(make_prediction(make_frames()))
    path = save_strip(rows, tmp_path / "a.png", context=2, every=every)
    picture = np.asarray(Image.open(path))
    side = 7 * (96 // 6) + video.GAP
    columns = len(range(0, 5, every))
    assert picture.shape[1] == 104 + columns * side + 2 * video.GAP
    [bar] = np.flatnonzero((picture == picture[-1, 104 + left * side]).all((0, 2)))[:1]
    assert bar == 104 + left * side
    after = picture[60, bar + 2 * video.GAP + 40]
    assert after.tolist() == rows[0][1][every * left, 3, 3].tolist()


def test_a_strip_without_context_has_no_bar(tmp_path):
    path = save_strip([("real", make_frames())], tmp_path / "a.png")
    assert np.ptp(np.asarray(Image.open(path)).astype(int), axis=-1).max() == 0


def test_rows_of_a_strip_have_one_shape(tmp_path):
    rows = [("real", make_frames(5)), ("prediction", make_frames(4))]
    with pytest.raises(ValueError, match="one shape"):
        save_strip(rows, tmp_path / "a.png")
