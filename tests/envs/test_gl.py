"""dm_control's own pixels, where there is OpenGL."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from planet_torch.envs import EnvError, make

SEVEN = [
    *("cartpole-balance", "cartpole-swingup", "reacher-easy", "cheetah-run"),
    *("finger-spin", "ball_in_cup-catch", "walker-walk"),
]

# In another process, since dm_control chooses its OpenGL library when it is imported.
REFERENCE = """
import sys, numpy
from dm_control import suite
pictures = []
for task in sys.argv[2:]:
    env = suite.load(*task.split("-"), task_kwargs={"random": 0})
    state = numpy.load(f"{sys.argv[1]}/{task}.npz")
    for name in ("geom_size", "geom_pos", "site_rgba"):
        getattr(env.physics.model, name)[:] = state[name]
    with env.physics.reset_context():
        env.physics.data.qpos[:] = state["qpos"]
    pictures.append(env.physics.render(64, 64, camera_id=0))
numpy.save(f"{sys.argv[1]}/pictures.npy", pictures)
"""


@pytest.mark.gl
def test_pictures_are_those_of_dm_control(tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    pictures = []
    for task in SEVEN:
        env = make(f"dmc/{task}", renderer="gl")
        env.reset(seed=0)
        for _ in range(5):
            picture, *_ = env.step(np.full(env.action_space.shape, 0.4))
        physics = env.unwrapped.environment.physics
        state = {
            k: getattr(physics.model, k) for k in ("geom_size", "geom_pos", "site_rgba")
        }
        np.savez(tmp_path / f"{task}.npz", qpos=physics.data.qpos, **state)
        pictures.append(picture)
        env.close()
    program = [sys.executable, "-c", REFERENCE, str(tmp_path), *SEVEN]
    subprocess.run(program, check=True, env=os.environ | {"MUJOCO_GL": "egl"})
    reference = np.load(tmp_path / "pictures.npy")
    difference = np.abs(np.stack(pictures).astype(float) - reference).mean((1, 2, 3))
    assert (difference < 0.5).all(), dict(zip(SEVEN, difference, strict=True))


@pytest.mark.parametrize("backend", ["disabled", "no-such-thing"])
def test_what_is_missing_is_said(monkeypatch, backend):
    monkeypatch.setenv("MUJOCO_GL", backend)
    env = make("dmc/pendulum-swingup", renderer="gl")
    with pytest.raises(EnvError) as raised:
        env.reset(seed=0)
    told = str(raised.value)
    assert re.search(r"MUJOCO_GL=egl[\s\S]*libegl1 libgl1-mesa-dri", told)
    assert "mend the environment" not in told
