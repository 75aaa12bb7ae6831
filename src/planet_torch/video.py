"""Frames as a video or a strip of pictures."""

from __future__ import annotations

import importlib
import os
import subprocess
import warnings
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from planet_torch.chunk import Episode
from planet_torch.files import write_atomically
from planet_torch.prediction import Prediction

GAP = 4  # pixels between pictures
SEEN, FORESEEN = "#303030", "#D55E00"  # colours of what has context and what has none

Frames = UInt8[np.ndarray, "_ _ _ 3"]
"""Images (T, height, width, 3)."""
Picture = UInt8[np.ndarray, "_ _ 3"]
"""One image (height, width, 3)."""


def save_video(
    frames: Frames,
    path: str | os.PathLike[str],
    fps: float | int = 15,
    alone: bool = False,
) -> Path:
    """Write frames as a video; small ones are enlarged.

    Args:
        frames: of any size.
        path: ends with .mp4, which needs the extra "video", or with .gif.
        fps: frames a second.
        alone: whether no other process writes this video now.

    Raises:
        ValueError: for another suffix, or no frames.
        ImportError: for .mp4 without the extra.
    """
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    path = Path(path)
    if path.suffix not in writers:
        raise ValueError(f"{path} must end with one of {', '.join(writers)}")
    if not len(frames):
        raise ValueError(f"there are no frames to write to {path}")
    large = enlarge(frames)
    write = writers[path.suffix]
    return write_atomically(path, lambda partial: write(large, partial, fps), alone)


def save_episode(
    episode: Episode,
    path: str | os.PathLike[str],
    fps: float | int = 15,
    alone: bool = False,
) -> Path | None:
    """Write the pictures of an episode as a video.

    Args:
        episode: of images, or of vectors, which cannot be seen.
        path: without a suffix, see `video_suffix`.
        fps: decisions a second.
        alone: whether no other process writes this video now.

    Returns:
        The file, or None if there is nothing to see.
    """
    if episode.observation.ndim != 4:
        return None
    return save_video(episode.observation, f"{path}{video_suffix()}", fps, alone)


def keep_episode(episode: Episode, path: Path) -> None:
    """As ``save_episode``, but a video that cannot be written is a warning.

    Nothing is learned from it, so training goes on.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        save_episode(episode, path, alone=True)  # as the run is locked
    except OSError as error:
        warnings.warn(f"an evaluation is left without its video: {error}", stacklevel=3)


def video_suffix() -> str:
    """The best format that can be written: .mp4 with the extra "video", or .gif."""
    return ".mp4" if find_spec("imageio_ffmpeg") else ".gif"


def enlarge(frames: Frames, height: int = 256) -> Frames:
    """Repeat the pixels as often as fits in ``height``."""
    factor = max(height // frames.shape[1], 1)
    return frames.repeat(factor, axis=1).repeat(factor, axis=2)


def save_prediction(
    prediction: Prediction, path: str | os.PathLike[str], fps: float | int = 15
) -> Path:
    """Write the first chunk of a prediction as a video, its rows side by side.

    Once nothing is seen any more, their names change colour.
    """
    rows = {label: enlarge(part, 192) for label, part in prediction_rows(prediction)}
    width = next(iter(rows.values())).shape[2]
    heads = [
        _beside([_text(label, width, color) for label in rows])
        for color in (SEEN, FORESEEN)
    ]
    frames = [
        _below([heads[t >= prediction.context], _beside(parts)])
        for t, parts in enumerate(zip(*rows.values(), strict=True))
    ]
    return save_video(np.stack(frames), path, fps)


def prediction_rows(prediction: Prediction, index: int = 0) -> list[tuple[str, Frames]]:
    """The frames of one of the chunks, and the names that they are shown under."""
    names = ("real", "reconstruction", "prediction", "error")
    return [(name, getattr(prediction, name)[index]) for name in names]


def save_strip(
    rows: Sequence[tuple[str, Frames]],
    path: str | os.PathLike[str],
    context: int | None = None,
    every: int = 1,
) -> Path:
    """Write rows of frames as one picture, with their names and times.

    Args:
        rows: the name and the frames of each, as from `prediction_rows`.
        path: ends with .png.
        context: how many frames were seen; a bar stands between these and the others.
        every: show only each so manyth frame.

    Raises:
        ValueError: if the frames of the rows differ in shape.
    """
    shapes = {name: frames.shape for name, frames in rows}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"the rows of a strip must have one shape, not {shapes}")
    large = [enlarge(frames[::every], 96) for _, frames in rows]
    count, height, width, _ = large[0].shape
    names = [_text(name, 100, SEEN, height) for name, _ in rows]
    parts = [_below([_text("", 100, SEEN), *names])]
    seen = -(-context // every) if context is not None else count  # columns
    for column in range(count):
        if column == seen:
            parts.append(_bar(parts[0].shape[0]))
        color = SEEN if column < seen else FORESEEN
        head = _text(f"{column * every}", width, color)
        parts.append(_below([head, *(frames[column] for frames in large)]))
    return write_atomically(path, Image.fromarray(_beside(parts)).save, alone=False)


def _text(text: str, width: int, color: str, height: int = 20) -> Picture:
    """A white picture with a text in its middle."""
    image = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(13)
    middle = (width / 2, height / 2)
    ImageDraw.Draw(image).text(middle, text, color, font, anchor="mm")
    return np.asarray(image)


def _bar(height: int) -> Picture:
    return np.asarray(Image.new("RGB", (GAP, height), FORESEEN))


def _below(pictures: Iterable[Picture]) -> Picture:
    """Pictures of one width, from top to bottom."""
    pad = ((0, GAP), (0, 0), (0, 0))
    return np.concatenate([np.pad(p, pad, constant_values=255) for p in pictures])


def _beside(pictures: Iterable[Picture]) -> Picture:
    """Pictures of one height, from left to right."""
    pad = ((0, 0), (0, GAP), (0, 0))
    parts = [np.pad(p, pad, constant_values=255) for p in pictures]
    return np.concatenate(parts, axis=1)


def _write_gif(frames: Frames, path: Path, fps: float | int) -> None:
    first, *others = (Image.fromarray(frame) for frame in frames)
    duration = round(1000 / fps)  # GIF counts in milliseconds, shown as hundredths
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0)


def _write_mp4(frames: Frames, path: Path, fps: float | int) -> None:
    try:
        ffmpeg = importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise ImportError(
            "an .mp4 needs imageio-ffmpeg: pip install 'planet-torch[video]', or write "
            "a .gif"
        ) from error
    height, width = frames.shape[1:3]
    # H.264 halves the resolution of colour, so that both sides must be even.
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    command = [ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(fps)]
    command += ["-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "10"]
    # In a session of its own, as a Ctrl-C is for the run, which finishes the video.
    done = subprocess.run(
        [*command, f"file:{path}"],  # else what is before a colon names a protocol
        input=frames.tobytes(),
        capture_output=True,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        said, *_ = done.stderr.decode(errors="replace").splitlines() or ["no reason"]
        raise OSError(f"no video written to {path.parent}: {said}")
