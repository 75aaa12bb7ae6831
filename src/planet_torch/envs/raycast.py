"""Pixels of a MuJoCo scene without OpenGL: one ray per pixel, more along the edges.

``mj_multiRay`` gives the geom, the distance and the surface normal that each ray of
the camera meets. A pixel whose neighbour meets another geom, or that a geom thinner
than a pixel crosses, is then averaged over a finer grid of rays. The picture follows
MuJoCo's own look: geom and material colours, the headlight and an overhead light, the
checkered ground, a night sky. It has no shadows, reflections, skins and tendons. It is
a function of the physics state alone, and loads no OpenGL library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from planet_torch.envs.ground import Ground, checkered

_GROUPS = np.array([1, 0, 0, 0, 0, 0], np.uint8)  # see _as_drawn
_UNSET = np.array([0.5, 0.5, 0.5, 1], np.float32)  # this rgba means "the material's"
_AMBIENT, _HEADLIGHT, _OVERHEAD = 0.4, 0.8, 0.4
_SKY = np.array([[0.02, 0.03, 0.04], [0.3, 0.45, 0.6]], np.float32)  # nadir, zenith
_SPHERE, _CAPSULE, _CYLINDER, _BOX = (
    int(getattr(mujoco.mjtGeom, f"mjGEOM_{kind}"))
    for kind in ("SPHERE", "CAPSULE", "CYLINDER", "BOX")
)


class Raycaster:
    """Draws what one camera sees.

    Rays are numbered: first one through the centre of each pixel, row by row, then
    for each pixel the ``fine`` x ``fine`` grid that replaces it along edges.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, size: int, camera: int
    ) -> None:
        """Prepare a square picture of ``size`` pixels by the camera of that number."""
        self.model, self.data, self.size, self.camera = model, data, size, camera
        self._fine = 2 if size >= 64 else 3
        self._focal = size / 2 / np.tan(np.deg2rad(model.cam_fovy[camera]) / 2)
        self._directions = _camera_rays(size, self._fine, self._focal)
        self._spacing = np.full((len(self._directions), 1), 1 / self._focal)
        self._spacing[size**2 :] /= self._fine
        self._centres = np.arange(size**2)
        self._way = np.linspace(0, 1, 2 * size)[:, None]
        self.refresh()

    def refresh(self) -> None:
        """Read colours and sizes again: tasks change them when an episode starts."""
        model = self.model
        geoms = _colours(model, model.geom_rgba, model.geom_matid)
        sites = _colours(model, model.site_rgba, model.site_matid)
        # One table of all that a ray can meet: geoms, then sites.
        self._palette = np.ascontiguousarray(np.concatenate([geoms, sites])[:, :3])
        shown = np.flatnonzero((model.site_group < 3) & (sites[:, 3] > 0))
        self._sites = [int(site) for site in shown]
        drawn = (model.geom_group < 3) & (geoms[:, 3] > 0)
        if model.nskin:
            # The skin, which rays do not meet, is most of the dog. What collides lies
            # just below it, and stands in for it.
            drawn |= (model.geom_contype | model.geom_conaffinity) > 0
        self._groups = np.where(drawn, 0, 5)
        self._long = _long_geoms(model, drawn)
        self._rotation = np.full(9, np.nan)

    def close(self) -> None:
        """Nothing is held outside Python."""

    def render(self) -> UInt8[np.ndarray, "size size 3"]:
        """The picture of the state that ``data`` holds now."""
        self._look()
        with _as_drawn(self.model, self._groups):
            return self._draw()

    def _draw(self) -> UInt8[np.ndarray, "size size 3"]:
        pixels, grid = self.size**2, self._fine**2
        colour, met = self._trace(self._centres)
        edges = np.flatnonzero(self._edges(met.reshape(self.size, self.size)))
        if len(edges):
            fine = pixels + (edges[:, None] * grid + np.arange(grid)).ravel()
            samples = self._trace(fine)[0].reshape(-1, grid, 3)
            colour[edges] = np.einsum("egc->ec", samples) / grid
        image = (colour * 255 + 0.5).astype(np.uint8)
        return image.reshape(self.size, self.size, 3)

    def _look(self) -> None:
        """Turn the rays with the camera. Most cameras only ever move along."""
        rotation = self.data.cam_xmat[self.camera]
        if np.array_equal(rotation, self._rotation):
            return
        self._rotation = rotation.copy()
        turn = rotation.reshape(3, 3)
        rays = self._directions @ turn.T
        steps = turn[:, :2].T[:, None] * self._spacing
        self._grounds = [
            Ground.of(self.model, self.data, geom, rays, steps)
            for geom in checkered(self.model)
        ]
        self._rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
        height = (self._rays[:, 2:] + 1) / 2
        self._sky = (_SKY[0] + height * (_SKY[1] - _SKY[0])).astype(np.float32)

    def _trace(
        self, numbers: Int[np.ndarray, "n"]
    ) -> tuple[Float32[np.ndarray, "n 3"], Int[np.ndarray, "n"]]:
        """Colours in [0, 1], and what was met or -1, for the rays of these numbers."""
        origin, count = self.data.cam_xpos[self.camera], len(numbers)
        rays = self._rays.take(numbers, axis=0)
        met = np.empty(count, np.int32)
        distance, normal = np.empty(count), np.empty((count, 3))
        mujoco.mj_multiRay(
            self.model, self.data, origin, rays.ravel(), _GROUPS, True, -1,
            met, distance, normal.ravel(), count, mujoco.mjMAXVAL,
        )  # fmt: skip
        for site in self._sites:
            self._meet(site, origin, rays, met, distance, normal)
        colour = self._palette.take(met, axis=0, mode="wrap")
        for ground in self._grounds:
            there = np.flatnonzero(met == ground.geom)
            colour[there] = ground.colour(origin, numbers.take(there))
        facing = -np.einsum("ij,ij->i", normal, rays)
        light = _AMBIENT + _HEADLIGHT * facing + _OVERHEAD * normal[:, 2].clip(0)
        colour *= light.astype(np.float32)[:, None]
        sky = self._sky.take(numbers, axis=0)
        np.copyto(colour, sky, where=(met < 0)[:, None])
        return np.minimum(colour, 1, out=colour), met

    def _meet(
        self,
        site: int,
        origin: Float[np.ndarray, "3"],
        rays: Float[np.ndarray, "n 3"],
        met: Int[np.ndarray, "n"],
        distance: Float[np.ndarray, "n"],
        normal: Float[np.ndarray, "n 3"],
    ) -> None:
        """Put a site in front of what the rays have met, where it is."""
        model, place = self.model, self.data.site_xpos[site]
        kind, size, frame = (
            model.site_type[site], model.site_size[site], self.data.site_xmat[site]
        )  # fmt: skip
        radius = size[0] if kind == _SPHERE else np.linalg.norm(size)
        towards = place - origin
        if radius * self._focal < 0.5 * np.linalg.norm(towards):
            return  # smaller than a pixel; most of these are hidden in geoms
        nearest = towards @ towards - (rays @ towards) ** 2
        for ray in np.flatnonzero(nearest < radius**2):
            surface = np.zeros(3)
            depth = mujoco.mju_rayGeom(
                place, frame, size, origin, rays[ray], kind, surface
            )
            if depth >= 0 and (met[ray] < 0 or depth < distance[ray]):
                met[ray] = model.ngeom + site
                distance[ray], normal[ray] = depth, surface

    def _edges(
        self, met: Int[np.ndarray, "size size"]
    ) -> Bool[np.ndarray, "size size"]:
        """The pixels that one ray does not do justice to."""
        edges = self._thin()
        below, beside = met[1:] != met[:-1], met[:, 1:] != met[:, :-1]
        edges[1:] |= below
        edges[:-1] |= below
        edges[:, 1:] |= beside
        edges[:, :-1] |= beside
        return edges

    def _thin(self) -> Bool[np.ndarray, "size size"]:
        """The pixels along geoms so thin that they may slip between the rays."""
        geoms, ends, radius = self._long
        turn = self.data.geom_xmat[geoms].reshape(-1, 3, 3)
        centre = self.data.geom_xpos[geoms] - self.data.cam_xpos[self.camera]
        points = centre[:, None] + ends @ turn.swapaxes(1, 2)
        points = points @ self._rotation.reshape(3, 3)
        depth = -points[..., 2]
        thin = (depth.min(1) > 0) & (radius * self._focal < 0.75 * depth.max(1))
        scale = self._focal / depth[thin][..., None]
        screen = self.size / 2 + points[thin][..., :2] * scale * (1, -1)
        line = screen[:, :1] + (screen[:, 1:] - screen[:, :1]) * self._way
        # The four pixels around each point, on a canvas with a margin of one.
        canvas = np.zeros((self.size + 2, self.size + 2), bool)
        spot = (line + 0.5).clip(0, self.size).astype(int).reshape(-1, 2)
        for x, y in np.ndindex(2, 2):
            canvas[spot[:, 1] + y, spot[:, 0] + x] = True
        return canvas[1:-1, 1:-1].copy()


@contextmanager
def _as_drawn(model: mujoco.MjModel, groups: Int[np.ndarray, "n"]) -> Iterator[None]:
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


def _camera_rays(size: int, fine: int, focal: float) -> Float[np.ndarray, "rays 3"]:
    """Ray directions in the frame of a MuJoCo camera: x right, y up, -z ahead."""

    def grid(count: int) -> Float[np.ndarray, "rays 3"]:
        axis = ((np.arange(count) + 0.5) * size / count - size / 2) / focal
        x, y = np.meshgrid(axis, -axis)
        return np.stack([x, y, np.full_like(x, -1)], axis=-1).reshape(-1, 3)

    by_pixel = grid(size * fine).reshape(size, fine, size, fine, 3).swapaxes(1, 2)
    return np.concatenate([grid(size), by_pixel.reshape(-1, 3)])


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
