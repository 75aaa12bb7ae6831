"""dm_control's own pixels: MuJoCo's OpenGL renderer, with a small shadow map.

The shadow map of the suite has 2048 x 2048 points, and drawing it is most of the cost
without a GPU. 256 x 256 are faster by a factor of up to four, and change the picture
by less than a tenth of a grey level on average.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import mujoco
import numpy as np
from jaxtyping import UInt8

from planet_torch.envs.checked import EnvError

_SHADOW_MAP = 256
_HELP = """renderer 'gl' cannot start OpenGL by MUJOCO_GL={backend}: {error}
Without a screen it needs EGL: set MUJOCO_GL=egl and, on Debian or Ubuntu,
    apt-get install libegl1 libgl1-mesa-dri
or take renderer='raycast', which needs no OpenGL (its pictures differ)."""


class OpenGL:
    """Draws what one camera sees as ``dm_control.mujoco.Physics.render`` does."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, size: int, camera: int
    ) -> None:
        """Make an OpenGL context, or raise EnvError saying what is missing."""
        self.model, self.data = model, data
        # Both are read once, when the picture buffers are made.
        model.vis.quality.shadowsize = _SHADOW_MAP
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self._context, self._buffers = _started(model, size)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._buffers)
        self._options = mujoco.MjvOption()
        # As dm_control: the rays of range finders would cover the scene.
        self._options.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = False
        self._scene = mujoco.MjvScene(model, maxgeom=1000 + 2 * model.ngeom)
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = camera
        self._area = mujoco.MjrRect(0, 0, size, size)
        self._image = np.empty((size, size, 3), np.uint8)

    def refresh(self) -> None:
        """Send the landscape to the graphics memory: some tasks draw it anew."""
        self._context.make_current()
        for number in range(self.model.nhfield):
            mujoco.mjr_uploadHField(self.model, self._buffers, number)

    def render(self) -> UInt8[np.ndarray, "size size 3"]:
        """The picture of the state that ``data`` holds now."""
        self._context.make_current()
        mujoco.mjv_updateScene(
            self.model, self.data, self._options, None, self._camera,
            mujoco.mjtCatBit.mjCAT_ALL, self._scene,
        )  # fmt: skip
        mujoco.mjr_render(self._area, self._scene, self._buffers)
        mujoco.mjr_readPixels(self._image, None, self._area, self._buffers)
        return np.flipud(self._image).copy()

    def close(self) -> None:
        """Free the OpenGL context."""
        self._context.make_current()
        self._buffers.free()
        self._context.free()


def _started(model: mujoco.MjModel, size: int) -> tuple[Any, mujoco.MjrContext]:
    """A context of OpenGL, and the buffers of the pictures in it."""
    backend = os.environ.get("MUJOCO_GL", "egl").lower() or "egl"
    try:
        module = importlib.import_module(f"mujoco.{backend}")
        context = module.GLContext(size, size)
        context.make_current()
        buffers = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150)
    except Exception as error:  # each backend fails in its own way
        raise EnvError(_HELP.format(backend=backend, error=error)) from error
    return context, buffers
