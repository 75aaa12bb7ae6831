"""The checkered ground of a MuJoCo scene, averaged over what each ray stands for."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Float32, Int

_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)


@dataclass(frozen=True)
class Ground:
    """A plane with a checkered texture, laid out for the rays of one camera.

    The tables hold for a camera at height one: only ``colour`` knows where it is, so
    they serve as long as the camera does not turn.
    """

    geom: int
    axes: Float[np.ndarray, "3 2"]
    normal: Float[np.ndarray, "3"]
    corner: Float[np.ndarray, "3"]  # where the checks begin
    cell: float  # length of a check, in metres
    mean: Float32[np.ndarray, "3"]
    contrast: Float32[np.ndarray, "3"]
    box: Float32[np.ndarray, "rays 2 2"]  # low and high corner of what a ray covers
    density: Float32[np.ndarray, "rays"]  # one over the area of the box

    @classmethod
    def of(
        cls,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        geom: int,
        rays: Float[np.ndarray, "rays 3"],
        steps: Float[np.ndarray, "2 rays 3"],
    ) -> Ground:
        """Lay out the plane for rays, and for the steps to the rays beside them."""
        frame = data.geom_xmat[geom].reshape(3, 3)
        axes, normal = frame[:, :2], frame[:, 2]
        fall = np.maximum(-rays @ normal, 1e-6)[:, None]  # the others never land
        landing = (rays @ axes) / fall
        moved = (steps @ axes) + landing * (steps @ normal)[..., None]
        half = np.abs(moved).sum(0) / fall / 2
        dark, bright = _checks(model, geom)
        return cls(
            geom=geom,
            axes=axes,
            normal=normal,
            corner=data.geom_xpos[geom] + axes @ (model.geom_size[geom, :2] * (-1, 1)),
            cell=float(1 / model.mat_texrepeat[model.geom_matid[geom], 0]),
            mean=(dark + bright) / 2,
            contrast=(bright - dark) / 2,
            box=np.stack([landing - half, landing + half], 1).astype(np.float32),
            density=(0.25 / half.prod(1)).astype(np.float32),
        )

    def colour(
        self, origin: Float[np.ndarray, "3"], rays: Int[np.ndarray, "m"]
    ) -> Float32[np.ndarray, "m 3"]:
        """The mean colour of what the rays of these numbers cover, from ``origin``.

        The integral of a square wave is a triangle wave, so the mean of a checkerboard
        over a box is a difference of two triangle waves, in each direction.
        """
        offset = origin - self.corner
        height = float(offset @ self.normal) / self.cell
        shift = (offset @ self.axes / self.cell).astype(np.float32)
        ends = (self.box.take(rays, axis=0) * height + shift) / 2
        ends -= np.floor(ends)
        wave = np.abs(2 * ends - 1)
        wave = wave[:, 1] - wave[:, 0]
        checks = wave[:, 0] * wave[:, 1] * (self.density.take(rays) / height**2)
        return self.mean + checks[:, None] * self.contrast


def checkered(model: mujoco.MjModel) -> list[int]:
    """The geoms that are visible planes with a texture."""
    planes = np.flatnonzero((model.geom_type == _PLANE) & (model.geom_group < 3))
    return [geom for geom in map(int, planes) if _texture(model, geom) >= 0]


def _texture(model: mujoco.MjModel, geom: int) -> int:
    material = model.geom_matid[geom]
    return -1 if material < 0 else int(model.mat_texid[material].max())


def _checks(model: mujoco.MjModel, geom: int) -> Float32[np.ndarray, "2 3"]:
    """The colours of two neighbouring quarters of the texture of a geom."""
    texture = _texture(model, geom)
    start = int(model.tex_adr[texture])
    height, width = model.tex_height[texture], model.tex_width[texture]
    picture = model.tex_data[start : start + height * width * 3]
    row = picture.reshape(height, width, 3)[height // 4]
    return row[[width // 4, 3 * width // 4]].astype(np.float32) / 255
