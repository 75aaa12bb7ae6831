"""Pixels of a MuJoCo scene without OpenGL: one ray per pixel, more along the edges.

``mj_multiRay`` gives the geom, the distance and the surface normal that each ray of
the camera meets. A pixel whose neighbour meets another geom, or that a geom thinner
than a pixel crosses, is then averaged over a finer grid of rays. The picture follows
MuJoCo's own look: geom and material colours, the headlight and an overhead light, the
checkered ground, a night sky. It has no shadows, reflections, skins and tendons. It is
a function of the physics state alone, and loads no OpenGL library.

Where the camera stands still, what stands still is drawn once, and each picture begins
with that: rays are cast only where something that moves may be in sight.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from planet_torch.envs.ground import Ground, checkered
from planet_torch.envs.scene import ALONE, Scene, Things, as_drawn

_AMBIENT, _HEADLIGHT, _OVERHEAD = 0.4, 0.8, 0.4
_SKY = np.array([[0.02, 0.03, 0.04], [0.3, 0.45, 0.6]], np.float32)  # nadir, zenith
_SPHERE = int(mujoco.mjtGeom.mjGEOM_SPHERE)


@dataclass(frozen=True)
class Picture:
    """Colours in [0, 1], what was met or -1, and whether rays were added."""

    colour: Float32[np.ndarray, "pixels 3"]
    met: Int[np.ndarray, "pixels"]
    edges: Bool[np.ndarray, "pixels"]


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
        nothing = np.zeros((size**2, 3), np.float32)
        self._blank = Picture(nothing, np.full(size**2, -1), np.zeros(size**2, bool))
        self.refresh()

    def refresh(self) -> None:
        """Read colours and sizes again: tasks change them when an episode starts."""
        self._scene = Scene.of(self.model, self.camera)
        self._rotation = np.full(9, np.nan)
        self._place = np.empty(0)

    def close(self) -> None:
        """Nothing is held outside Python."""

    def render(self) -> UInt8[np.ndarray, "size size 3"]:
        """The picture of the state that ``data`` holds now."""
        self._look()
        if self._scene.stands:
            picture = self._draw(self._scene.all, self._still(), self._near())
        else:
            picture = self._draw(self._scene.all, self._blank, self._centres)
        image = (picture.colour * 255 + 0.5).astype(np.uint8)
        return image.reshape(self.size, self.size, 3)

    def _draw(
        self, things: Things, known: Picture, near: Int[np.ndarray, "n"]
    ) -> Picture:
        """A known picture with the pixels near what was not in it drawn again."""
        colour, met, grid = known.colour.copy(), known.met.copy(), self._fine**2
        with as_drawn(self.model, things.groups):
            if len(near):
                colour[near], met[near] = self._trace(near, things.sites)
            edges = self._edges(met.reshape(self.size, self.size), things.long).ravel()
            again = edges & ~known.edges
            again[near] = edges[near]
            blended = np.flatnonzero(again)
            if len(blended):
                fine = len(met) + (blended[:, None] * grid + np.arange(grid)).ravel()
                samples = self._trace(fine, things.sites)[0].reshape(-1, grid, 3)
                colour[blended] = np.einsum("egc->ec", samples) / grid
        return Picture(colour, met, edges)

    def _still(self) -> Picture:
        """What rests, drawn anew only if it was moved in between."""
        place = self._scene.place_of_rest(self.data, self.camera)
        if not np.array_equal(place, self._place):
            self._rest = self._draw(self._scene.resting, self._blank, self._centres)
            self._place = place
        return self._rest

    def _near(self) -> Int[np.ndarray, "n"]:
        """The pixels in which something that moves may be seen, even by a corner."""
        places = np.concatenate([self.data.geom_xpos, self.data.site_xpos])
        towards = places[self._scene.moving] - self.data.cam_xpos[self.camera]
        distance = np.linalg.norm(towards, axis=1)
        reach = self._scene.reach
        reach = reach + (distance + reach) * 2 / self._focal  # and two pixels
        along = self._rays[: self.size**2] @ towards.T
        near = (along > -reach) & (distance**2 - along**2 < reach**2)
        return np.flatnonzero(near.any(axis=1))

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
        self, numbers: Int[np.ndarray, "n"], sites: Int[np.ndarray, "k"]
    ) -> tuple[Float32[np.ndarray, "n 3"], Int[np.ndarray, "n"]]:
        """Colours in [0, 1], and what was met or -1, for the rays of these numbers."""
        origin, count = self.data.cam_xpos[self.camera], len(numbers)
        rays = self._rays.take(numbers, axis=0)
        met = np.empty(count, np.int32)
        distance, normal = np.empty(count), np.empty((count, 3))
        mujoco.mj_multiRay(
            self.model, self.data, origin, rays.ravel(), ALONE, True, -1,
            met, distance, normal.ravel(), count, mujoco.mjMAXVAL,
        )  # fmt: skip
        for site in sites:
            self._meet(int(site), origin, rays, met, distance, normal)
        colour = self._scene.palette.take(met, axis=0, mode="wrap")
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
        self,
        met: Int[np.ndarray, "size size"],
        long: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> Bool[np.ndarray, "size size"]:
        """The pixels that one ray does not do justice to."""
        edges = self._thin(*long)
        below, beside = met[1:] != met[:-1], met[:, 1:] != met[:, :-1]
        edges[1:] |= below
        edges[:-1] |= below
        edges[:, 1:] |= beside
        edges[:, :-1] |= beside
        return edges

    def _thin(
        self,
        geoms: Int[np.ndarray, "k"],
        ends: Float[np.ndarray, "k 2 3"],
        radius: Float[np.ndarray, "k"],
    ) -> Bool[np.ndarray, "size size"]:
        """The pixels along geoms so thin that they may slip between the rays."""
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


def _camera_rays(size: int, fine: int, focal: float) -> Float[np.ndarray, "rays 3"]:
    """Ray directions in the frame of a MuJoCo camera: x right, y up, -z ahead."""

    def grid(count: int) -> Float[np.ndarray, "rays 3"]:
        axis = ((np.arange(count) + 0.5) * size / count - size / 2) / focal
        x, y = np.meshgrid(axis, -axis)
        return np.stack([x, y, np.full_like(x, -1)], axis=-1).reshape(-1, 3)

    by_pixel = grid(size * fine).reshape(size, fine, size, fine, 3).swapaxes(1, 2)
    return np.concatenate([grid(size), by_pixel.reshape(-1, 3)])
