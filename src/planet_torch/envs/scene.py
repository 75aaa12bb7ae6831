"""What of a MuJoCo scene is drawn, in which colours, and what of it rests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

ALONE = np.array([1, 0, 0, 0, 0, 0], np.uint8)  # the group that is drawn: `as_drawn`
_UNSET = np.array([0.5, 0.5, 0.5, 1], np.float32)  # this rgba means "the material's"
_FIXED = int(mujoco.mjtCamLight.mjCAMLIGHT_FIXED)
_SPHERE, _CAPSULE, _CYLINDER, _BOX, _MESH, _PLANE, _HEIGHTS = (
    int(getattr(mujoco.mjtGeom, f"mjGEOM_{kind}"))
    for kind in ("SPHERE", "CAPSULE", "CYLINDER", "BOX", "MESH", "PLANE", "HFIELD")
)


@dataclass(frozen=True)
class Things:
    """What is drawn: the geoms in group 0 of these groups, sites, and thin geoms."""

    groups: Int[np.ndarray, "geoms"]
    sites: Int[np.ndarray, "k"]
    long: tuple[np.ndarray, np.ndarray, np.ndarray]  # see _long_geoms

    @classmethod
    def of(
        cls,
        model: mujoco.MjModel,
        geoms: Bool[np.ndarray, "geoms"],
        sites: Bool[np.ndarray, "sites"],
    ) -> Things:
        """These geoms and sites of a model."""
        groups = np.where(geoms, 0, 5)
        return cls(groups, np.flatnonzero(sites), _long_geoms(model, geoms))


@dataclass(frozen=True)
class Scene:
    """What one camera of a model may see, until a task changes colours or sizes.

    Attributes:
        palette: of all that a ray can meet: geoms, then sites.
        all: what is drawn.
        resting: what of it belongs to the world or is fixed to it.
        moving: the numbers in the palette of the rest.
        reach: how far each of these reaches from its place.
        stands: whether the camera rests, too, and nothing that moves is endless.
    """

    palette: Float32[np.ndarray, "n 3"]
    all: Things
    resting: Things
    moving: Int[np.ndarray, "k"]
    reach: Float[np.ndarray, "k"]
    stands: bool

    @classmethod
    def of(cls, model: mujoco.MjModel, camera: int) -> Scene:
        """As the model is now."""
        geoms = _colours(model, model.geom_rgba, model.geom_matid)
        sites = _colours(model, model.site_rgba, model.site_matid)
        shown = (model.site_group < 3) & (sites[:, 3] > 0)
        drawn = (model.geom_group < 3) & (geoms[:, 3] > 0)
        if model.nskin:
            # The skin, which rays do not meet, is most of the dog. What collides lies
            # just below it, and stands in for it.
            drawn |= (model.geom_contype | model.geom_conaffinity) > 0
        rests = model.body_weldid == 0
        geom_rests, site_rests = rests[model.geom_bodyid], rests[model.site_bodyid]
        moving = np.concatenate([drawn & ~geom_rests, shown & ~site_rests])
        reach = _reaches(model)[moving]
        still = rests[model.cam_bodyid[camera]] and model.cam_mode[camera] == _FIXED
        return cls(
            palette=np.ascontiguousarray(np.concatenate([geoms, sites])[:, :3]),
            all=Things.of(model, drawn, shown),
            resting=Things.of(model, drawn & geom_rests, shown & site_rests),
            moving=np.flatnonzero(moving),
            reach=reach,
            stands=bool(still and np.isfinite(reach).all()),
        )

    def place_of_rest(
        self, data: mujoco.MjData, camera: int
    ) -> Float[np.ndarray, "numbers"]:
        """Where the camera is, and what rests: other numbers if it was moved."""
        geoms, sites = np.flatnonzero(self.resting.groups == 0), self.resting.sites
        poses = (
            *(data.cam_xpos[camera], data.cam_xmat[camera]),
            *(data.geom_xpos[geoms], data.geom_xmat[geoms]),
            *(data.site_xpos[sites], data.site_xmat[sites]),
        )
        return np.concatenate([pose.ravel() for pose in poses])


@contextmanager
def as_drawn(model: mujoco.MjModel, groups: Int[np.ndarray, "n"]) -> Iterator[None]:
    """Let ``mj_multiRay`` try the geoms of group 0, of these groups, and no other.

    By itself it skips geoms by the bounding volumes of their bodies, which leave out
    what collides with nothing, do not turn with the body's inertial frame and keep the
    size from before a task changed it (mujoco 3.17): ends of limbs would vanish. And it
    meets geoms that are transparent in their own right, but not by their material.
    Scenes are small: trying all geoms costs no more.
    """
    before = model.body_bvhadr.copy(), model.geom_group.copy()
    model.body_bvhadr[:], model.geom_group[:] = -1, groups
    try:
        yield
    finally:
        model.body_bvhadr[:], model.geom_group[:] = before


def _reaches(model: mujoco.MjModel) -> Float[np.ndarray, "n"]:
    """How far geoms, and then sites, reach from their place at the most."""
    # The radius that the model knows is of before a task changed a size.
    sizes = np.concatenate([model.geom_size, model.site_size])
    known = np.concatenate([model.geom_rbound, np.zeros(model.nsite)])
    kinds = np.concatenate([model.geom_type, model.site_type])
    reach = np.where(kinds == _MESH, known, sizes.sum(axis=1))
    endless = (kinds == _PLANE) | (kinds == _HEIGHTS)
    return np.where(endless, np.inf, reach)


def _colours(
    model: mujoco.MjModel,
    rgba: Float32[np.ndarray, "n 4"],
    material: Int[np.ndarray, "n"],
) -> Float32[np.ndarray, "n 4"]:
    """The colour that MuJoCo shows: the geom's own, or else that of its material."""
    colours = rgba.copy()
    asks = (material >= 0) & (rgba == _UNSET).all(1)
    colours[asks] = model.mat_rgba[material[asks]]
    return colours


def _long_geoms(
    model: mujoco.MjModel, drawn: Bool[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k 2 3"], Float[np.ndarray, "k"]]:
    """Drawn convex geoms as segments: number, ends in the geom's frame, radius."""
    kind = model.geom_type
    convex = (kind >= _SPHERE) & (kind <= _BOX)
    geoms = np.flatnonzero(convex & drawn)
    kind, sizes = kind[geoms, None], model.geom_size[geoms]
    radius, length = sizes[:, :1], sizes[:, 1:2]
    rod = np.concatenate([radius, radius, length], 1)
    sizes = np.where((kind == _CAPSULE) | (kind == _CYLINDER), rod, sizes)
    sizes = np.where(kind == _SPHERE, radius, sizes)
    end = np.eye(3)[sizes.argmax(1)] * sizes
    return geoms, np.stack([-end, end], 1), sizes.min(1)
