"""`Caster`: where rays first meet the world, each ray at its own time.

The static mesh is one bounding-volume hierarchy in the odom frame. Actors share one per mesh, in the frame of their
body: a ray that may meet an actor is moved into that frame as it stands at the ray's own time, so that the motion of
the sensor and of the actor within one sweep is exact, and nothing is ever rebuilt.

culled by azimuth -> culled by bounding sphere -> moved into the body's frame -> cast -> nearest of all
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import open3d as o3d

from calibration.se3 import FloatArray
from nodes.simulator.world.gait import phase
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World

STATIC, NOTHING = -1, -2
"""What a ray met, where that is no actor."""

Rays: TypeAlias = npt.NDArray[np.int64]
"""Indices of rays."""

_SECTORS = 2048
_KNOT_S = 0.01  # poses between are interpolated: 0.1 mm off at 8 m/s2, 1e-5 at 1 rad/s
_PAINT = MATERIAL_ID["paint"]
_THREADS = 1  # per cast; processes of the pipeline share the cores


class Hits(NamedTuple):
    """What N rays met first.

    distance: (N,) float64 along the ray, m; inf where nothing. actor: (N,) int32 index into `World.actors`, `STATIC` or
    `NOTHING`. material: (N,) uint8 index into `MATERIALS`. normal: (N,) x 3 float32 of the surface, odom axes, turned
    towards the ray's origin. colour: (N, 3) uint8 sRGB.
    """

    distance: FloatArray
    actor: npt.NDArray[np.int32]
    material: npt.NDArray[np.uint8]
    normal: npt.NDArray[np.float32]
    colour: npt.NDArray[np.uint8]


class Caster:
    """Casts rays into a world.

    Memory is one hierarchy for the static mesh and one for each mesh that an actor wears. Not to be shared by threads.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._static = _Body(world.static)
        self._bodies = [tuple(_body(mesh) for mesh in shape(actor.shape).phases) for actor in world.actors]
        self._lift = np.array([0.5 * actor.size[2] for actor in world.actors])
        self._asked = b""
        self._rotation, self._place = np.zeros((0, 0, 3, 3)), np.zeros((0, 0, 3))
        self._paint = np.array([actor.paint for actor in world.actors], np.uint8).reshape(-1, 3)
        self._radius = np.array([0.5 * np.linalg.norm(actor.size) for actor in world.actors])

    def cast(self, origin: npt.ArrayLike, direction: npt.ArrayLike, t: npt.ArrayLike) -> Hits:
        """Where rays meet a surface first.

        Args:
            origin: (N, 3) metres, odom frame. The rays of one call should start within a few metres of each other.
            direction: (N, 3) unit vectors, odom axes.
            t: (N,) or () seconds, the time of each ray.
        """
        start = np.asarray(origin, dtype=np.float64)
        ray = np.asarray(direction, dtype=np.float64)
        time = np.broadcast_to(np.asarray(t, dtype=np.float64), (len(ray),))
        met = self._static.cast(start, ray)
        out = Hits(
            distance=met.distance,
            actor=np.where(np.isfinite(met.distance), np.int32(STATIC), np.int32(NOTHING)),
            material=met.material,
            normal=met.normal,
            colour=met.colour,
        )
        if len(ray) and self.world.actors:
            self._cast_actors(start, ray, time, out)
        away = np.einsum("ij,ij->i", out.normal, ray.astype(np.float32)) > 0
        out.normal[away] *= -1.0
        return out

    def _cast_actors(self, origin: FloatArray, direction: FloatArray, t: FloatArray, out: Hits) -> None:
        """Put what is nearer than the static world into ``out``."""
        knots = np.linspace(t.min(), t.max(), 1 + math.ceil((t.max() - t.min()) / _KNOT_S))
        rotation, place = self._poses(knots)
        groups = self._candidates(origin, direction, place, out.distance)
        if not groups:
            return
        which = np.concatenate([rays for _, rays in groups])
        who = np.repeat([index for index, _ in groups], [len(rays) for _, rays in groups])
        before, share = _between(knots, t[which])
        after = np.minimum(before + 1, len(knots) - 1)
        turn = _blend(rotation[who, before], rotation[who, after], share[:, None, None]).astype(np.float32)
        offset = origin[which] - _blend(place[who, before], place[who, after], share[:, None])
        start = np.matmul(offset.astype(np.float32)[:, None], turn)[:, 0]  # v^T R = (R^T v)^T
        ray = np.matmul(direction[which].astype(np.float32)[:, None], turn)[:, 0]

        middle = float(knots[len(knots) // 2])
        worn = [bodies[int(phase(a, middle)) if len(bodies) > 1 else 0] for a, bodies in self._worn(groups)]
        first = np.cumsum([0, *(len(rays) for _, rays in groups)])
        for body in dict.fromkeys(worn):
            parts = [np.arange(first[g], first[g + 1]) for g in range(len(groups)) if worn[g] is body]
            pick = np.concatenate(parts)
            met = body.cast(start[pick], ray[pick])
            order = np.argsort(-met.distance, kind="stable")  # of several on one ray, the nearest is written last
            order = order[met.distance[order] < out.distance[which[pick[order]]]]
            row = pick[order]
            to = which[row]
            out.distance[to] = met.distance[order]
            out.actor[to] = who[row]
            out.material[to] = met.material[order]
            out.normal[to] = np.matmul(turn[row], met.normal[order][:, :, None])[:, :, 0]
            painted = met.material[order] == _PAINT
            out.colour[to] = np.where(painted[:, None], self._paint[who[row]], met.colour[order])

    def _poses(self, knots: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of all K bodies: (K, knots, 3, 3) odom <- body, (K, knots, 3) m; sensors often ask again for one instant."""
        asked = knots.tobytes()
        if asked != self._asked:
            poses = [actor.motion.pose(knots) for actor in self.world.actors]
            self._rotation = np.array([pose.rotation for pose in poses])
            self._place = np.array([pose.translation for pose in poses])
            self._asked = asked
        return self._rotation, self._place

    def _worn(self, groups: list[tuple[int, Rays]]) -> list[tuple[Actor, tuple[_Body, ...]]]:
        return [(self.world.actors[index], self._bodies[index]) for index, _ in groups]

    def _candidates(
        self, origin: FloatArray, direction: FloatArray, place: FloatArray, distance: FloatArray
    ) -> list[tuple[int, Rays]]:
        """For each actor that rays may meet: its index, and those rays. place: (K, knots, 3) of its body, m.

        Seen from above, a ray from within s of a point m can meet a disc of radius R around c only if its azimuth is
        within asin((R + s) / |c - m|) of that of c - m.
        """
        middle = 0.5 * (origin.min(axis=0) + origin.max(axis=0))
        spread = float(np.linalg.norm(np.ptp(origin, axis=0)))
        centre = 0.5 * (place.min(axis=1) + place.max(axis=1))
        radius = self._radius + 0.5 * np.linalg.norm(np.ptp(place, axis=1), axis=-1) + 0.05
        centre[:, 2] += self._lift

        turn = 2 * np.pi / _SECTORS
        azimuth = np.arctan2(direction[:, 1].astype(np.float32), direction[:, 0].astype(np.float32))
        sector = (azimuth / np.float32(turn) + _SECTORS).astype(np.uint16) % _SECTORS
        order = np.argsort(sector, kind="stable")  # a radix sort
        begins = np.concatenate([[0], np.cumsum(np.bincount(sector, minlength=_SECTORS))])

        offset = centre[:, :2] - middle[:2]
        away = np.hypot(offset[:, 0], offset[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            half = np.where(away > radius + spread, np.arcsin((radius + spread) / away), np.pi)
        bearing = np.arctan2(offset[:, 1], offset[:, 0])
        found = []
        ox, oy, oz = (np.ascontiguousarray(column) for column in (origin - middle).T.astype(np.float32))
        dx, dy, dz = (np.ascontiguousarray(column) for column in direction.T.astype(np.float32))
        far = distance.astype(np.float32)
        for index, (cx, cy, cz) in enumerate((centre - middle).astype(np.float32)):
            which = _within(order, begins, bearing[index], half[index], turn)
            x, y, z = cx - ox[which], cy - oy[which], cz - oz[which]
            along = x * dx[which] + y * dy[which] + z * dz[which]
            beside2 = x * x + y * y + z * z - along * along
            reach = radius[index]
            near = (beside2 < reach**2) & (along > -reach) & (along - reach < far[which])
            if near.any():
                found.append((index, which[near]))
        return found


def _between(knots: FloatArray, t: FloatArray) -> tuple[Rays, FloatArray]:
    """For each time the knot before it, and how far it is from that to the next, 0..1."""
    if len(knots) == 1:
        return np.zeros(len(t), np.int64), np.zeros(len(t))
    at = (t - knots[0]) / (knots[1] - knots[0])
    before = np.minimum(at.astype(np.int64), len(knots) - 2)
    return before, at - before


def _blend(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    return a + share * (b - a)


def _within(order: Rays, begins: npt.NDArray[np.int64], bearing: float, half: float, turn: float) -> Rays:
    """The rays whose sector touches bearing -+ half."""
    if half >= np.pi - turn:
        return order
    low, high = int(np.floor((bearing - half) / turn)) % _SECTORS, int(np.floor((bearing + half) / turn)) % _SECTORS
    if low <= high:
        return order[begins[low] : begins[high + 1]]
    return np.concatenate([order[begins[low] :], order[: begins[high + 1]]])


class _Met(NamedTuple):
    distance: FloatArray
    material: npt.NDArray[np.uint8]
    normal: npt.NDArray[np.float32]
    colour: npt.NDArray[np.uint8]


class _Body:
    """A mesh with its hierarchy."""

    def __init__(self, mesh: Mesh) -> None:
        self._scene = None
        if len(mesh.triangles):
            self._scene = o3d.t.geometry.RaycastingScene(nthreads=_THREADS)
            self._scene.add_triangles(_tensor(mesh.vertices), _tensor(mesh.triangles))
        self._material = np.append(mesh.material, np.uint8(0))  # the last for rays that meet nothing
        self._colour = np.concatenate([mesh.colour, np.zeros((1, 3), np.uint8)])

    def cast(self, origin: npt.NDArray[Any], direction: npt.NDArray[Any]) -> _Met:
        n = len(direction)
        if self._scene is None or not n:
            nothing = np.full(n, np.inf)
            return _Met(nothing, np.zeros(n, np.uint8), np.zeros((n, 3), np.float32), np.zeros((n, 3), np.uint8))
        rays = np.empty((n, 6), np.float32)
        rays[:, :3], rays[:, 3:] = origin, direction
        answer = self._scene.cast_rays(_tensor(rays), nthreads=_THREADS)
        triangle = np.minimum(answer["primitive_ids"].numpy(), np.uint32(len(self._material) - 1))
        return _Met(
            answer["t_hit"].numpy().astype(np.float64),
            self._material[triangle],
            answer["primitive_normals"].numpy(),
            self._colour[triangle],
        )


def _tensor(array: npt.NDArray[Any]) -> Any:
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(array))


_BODIES: dict[int, tuple[Mesh, _Body]] = {}


def _body(mesh: Mesh) -> _Body:
    """The one body of a mesh, which shapes keep for as long as the process lives."""
    if id(mesh) not in _BODIES:
        _BODIES[id(mesh)] = (mesh, _Body(mesh))
    return _BODIES[id(mesh)][1]
