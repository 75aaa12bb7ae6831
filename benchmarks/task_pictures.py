"""Draw every task of the suite by both renderers into one picture.

python benchmarks/task_pictures.py docs/images/tasks.png
(left of each pair: raycast; right: gl, which needs EGL)
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from planet_torch.envs import make, tasks

SIZE, LABEL, PAIRS = 96, 12, 5  # pixels, pixels, pairs in a row


def pictures(task: str, size: int = SIZE) -> np.ndarray:
    """The same state of a task by raycast and by gl, side by side."""
    views = []
    for renderer in ("raycast", "gl"):
        env = make(task, image_size=size, renderer=renderer)
        observation, _ = env.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(5):
            observation, *_ = env.step(env.action_space.sample())
        env.close()
        views.append(observation)
    return np.concatenate(views, axis=1)


def contact_sheet(names: list[str]) -> Image.Image:
    """All pairs with their names."""
    rows = -(-len(names) // PAIRS)
    width, height = 2 * SIZE + 4, SIZE + LABEL + 4
    sheet = Image.new("RGB", (PAIRS * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for place, name in enumerate(names):
        x, y = place % PAIRS * width, place // PAIRS * height
        draw.text((x + 1, y), name.removeprefix("dmc/"), "black")
        sheet.paste(Image.fromarray(pictures(name)), (x, y + LABEL))
        print(name, flush=True)
    return sheet


if __name__ == "__main__":
    sheet = contact_sheet([task.name for task in tasks()])
    # Two bits less a channel are not seen, and save a third of the file.
    sheet.point(lambda value: value & 0xFC).save(Path(sys.argv[1]), optimize=True)
