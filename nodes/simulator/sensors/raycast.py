"""`Caster`: where rays first meet the world, each ray at its own time.

What stands still is one bounding-volume hierarchy in the odom frame. Of what moves, each mesh is in a hierarchy once,
in the frame of its body: a ray that may meet a body is moved into that frame as it stands at the ray's own time, so
that the motion of the sensor and of the body within one sweep is exact, and nothing is ever rebuilt.

cast against what stands -> pairs of ray and body by azimuth and sphere -> moved into the body's frame -> cut by its box
-> cast -> nearest of all
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import FloatArray
from nodes.simulator.sensors.broad_phase import candidates
from nodes.simulator.sensors.solid import NOTHING, STATIC, Float32, standing, wardrobe
from nodes.simulator.world.gait import Gaits
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.motion import Motions
from nodes.simulator.world.world import World

__all__ = ["NOTHING", "STATIC", "Caster", "Hits", "Span"]

_KNOT_S = 0.01  # poses between are interpolated: 0.1 mm off at 8 m/s2, 1e-5 at 1 rad/s
_SKIN_M = 0.01  # around a box
_PAINT = MATERIAL_ID["paint"]


class Hits(NamedTuple):
    """What N rays met first.

    distance: (N,) float32 along the ray, m; inf where nothing. actor: (N,) int32 index into `World.actors`, `STATIC` or
    `NOTHING`. material: (N,) uint8 index into `MATERIALS`. normal: (N, 3) float32 of the surface, odom axes, turned
    towards the ray's origin. cosine: (N,) float32 of the angle between them. colour: (N, 3) uint8 sRGB.
    """

    distance: Float32
    actor: npt.NDArray[np.int32]
    material: npt.NDArray[np.uint8]
    normal: Float32
    cosine: Float32
    colour: npt.NDArray[np.uint8]


class Span(NamedTuple):
    """Where moving bodies are while some rays are cast, K bodies at M instants: what rays cast together share.

    knots: (M,) s. middle: (3,) m, odom, the origin of what follows. rotation, place: (K, M, 3, 3) and (K, M, 3).
    centre, radius: (3, K) and (K,) of spheres around each at all instants. worn: (K,) the mesh that each shows.
    """

    knots: FloatArray
    middle: FloatArray
    rotation: Float32
    place: Float32
    centre: Float32
    radius: Float32
    worn: npt.NDArray[np.int64]


class Caster:
    """Casts rays into a world.

    Memory is one hierarchy for all that stands and one for the meshes that moving actors wear. Not to be shared by
    threads.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._standing = standing(world)
        movers = [index for index, actor in enumerate(world.actors) if not actor.motion.stands]
        actors = [world.actors[index] for index in movers]
        self._movers = np.array(movers, np.int32)
        self._motions = Motions([actor.motion for actor in actors])
        self._wardrobe = wardrobe(tuple(sorted({actor.shape for actor in actors})))
        self._worn = np.array([self._wardrobe.worn(actor.shape, 0) for actor in actors], np.int32)
        self._gaits = Gaits(actors)
        self._paint = np.array([actor.paint for actor in actors], np.uint8).reshape(-1, 3)
        self._size = np.array([actor.size for actor in actors], np.float32).reshape(-1, 3)

    def cast(
        self,
        origin: npt.ArrayLike,
        direction: npt.ArrayLike,
        t: npt.ArrayLike,
        beyond: npt.ArrayLike = 0.0,
        span: Span | None = None,
    ) -> Hits:
        """Where rays meet a surface first.

        Args:
            origin: (N, 3) or (3,) metres, odom frame. The rays of one call should start within a few metres of each
                other.
            direction: (N, 3) unit vectors, odom axes.
            t: (N,) or () seconds, the time of each ray.
            beyond: (N,) or () m; what a ray meets before is passed through.
            span: of all rays, where only some of them are cast: they meet then exactly what they would with the rest.
        """
        ray = np.asarray(direction, dtype=np.float32)
        start = np.broadcast_to(np.asarray(origin, dtype=np.float64), ray.shape)
        passed = np.broadcast_to(np.asarray(beyond, dtype=np.float32), len(ray))
        met = self._standing.cast(start + passed[:, None] * ray, ray)
        out = Hits(
            distance=met.distance + passed,
            actor=self._standing.owner[met.triangle],
            material=self._standing.material[met.triangle],
            normal=met.normal,
            cosine=np.zeros(len(ray), np.float32),
            colour=self._standing.colours(met.triangle),
        )
        if len(ray) and len(self._motions):
            times = np.asarray(t, dtype=np.float64)
            self._cast_movers(start, ray, times, passed, span or self.span(start, times), out)
        np.einsum("ij,ij->i", out.normal, -ray, out=out.cosine)
        out.normal[:] *= np.sign(out.cosine)[:, None]
        np.abs(out.cosine, out=out.cosine)
        return out

    def span(self, origin: FloatArray, t: FloatArray) -> Span:
        """That of rays from origins (N, 3), m, at times (N,) or (), s."""
        knots, middle = _knots(t), origin[len(origin) // 2]
        poses = self._motions.pose(knots)
        rotation = poses.rotation.astype(np.float32)
        place = (poses.translation - middle).astype(np.float32)
        worn = self._worn + self._gaits.phases(float(knots[len(knots) // 2]))
        return Span(knots, middle, rotation, place, *_spheres(self._size, rotation[:, 0], place), worn)

    def towards(
        self, origin: FloatArray, direction: Float32, t: FloatArray, which: npt.NDArray[np.int64], reach: float
    ) -> npt.NDArray[np.int64]:
        """(P,) indices, some of them several times, of the rays (N, 3) at times ``t`` (N,) that pass through the
        bounding sphere of one of actors ``which`` within ``reach`` m."""
        middle = origin[len(origin) // 2]
        actors = [self.world.actors[k] for k in which.tolist()]
        size = np.array([actor.size for actor in actors], np.float32).reshape(-1, 3)
        poses = [self.world.motions.pose(at) for at in (float(t.min()), float(t.max()))]
        places = np.stack([pose.translation[which] - middle for pose in poses], axis=1).astype(np.float32)
        centre, radius = _spheres(size, poses[0].rotation[which].astype(np.float32), places)
        origins, rays = np.ascontiguousarray((origin - middle).T, np.float32), np.ascontiguousarray(direction.T)
        span = np.zeros(len(direction), np.float32), np.full(len(direction), reach, np.float32)
        return candidates(origins, rays, span, centre, radius)[1]

    def _cast_movers(
        self, start: FloatArray, ray: Float32, t: FloatArray, passed: Float32, span: Span, out: Hits
    ) -> None:
        """Put what moves and is nearer than what was met into ``out``."""
        knots, middle, rotation, place, centre, radius, worn = span
        origins, rays = np.ascontiguousarray((start - middle).T, np.float32), np.ascontiguousarray(ray.T)
        far = out.distance.copy()
        who, which = candidates(origins, rays, (passed, far), centre, radius)
        if not len(who):
            return
        turn, offset = rotation[who, 0], origins[:, which].T - place[who, 0]
        if len(knots) > 1:
            at = (t[which] - knots[0]) / (knots[1] - knots[0])
            before = np.minimum(at.astype(np.int64), len(knots) - 2)
            share = (at - before).astype(np.float32)
            turn = _between(rotation, who, before, share[:, None, None])
            offset = origins[:, which].T - _between(place, who, before, share[:, None])
        origin = np.einsum("pi,pij->jp", offset, turn)  # v^T R = (R^T v)^T
        direction = np.einsum("ip,pij->jp", rays[:, which], turn)
        entry, leave = _through_box(origin, direction, self._size[who].T)
        entry = np.maximum(entry, passed[which])
        through = np.flatnonzero((entry < leave) & (entry < far[which]))
        who, which, entry, direction = who[through], which[through], entry[through], direction[:, through]

        met = self._wardrobe.cast(origin[:, through] + entry * direction, direction, worn[who])
        distance = entry + met.distance
        order = np.argsort(-distance, kind="stable")  # of several on one ray, the nearest is written last
        order = order[distance[order] < far[which[order]]]
        to, who, triangle = which[order], who[order], met.triangle[order]
        out.distance[to] = distance[order]
        out.actor[to] = self._movers[who]
        out.material[to] = self._wardrobe.solid.material[triangle]
        out.normal[to] = np.einsum("pij,pj->pi", turn[through[order]], met.normal[order])
        painted = self._wardrobe.solid.material[triangle] == _PAINT
        out.colour[to] = np.where(painted[:, None], self._paint[who], self._wardrobe.solid.colours(triangle))


def _spheres(size: Float32, rotation: Float32, place: Float32) -> tuple[Float32, Float32]:
    """(3, K) and (K,) around all of each body's box, size (K, 3), at all knots. rotation: (K, 3, 3) at the first.
    place: (K, knots, 3)."""
    low, high = place.min(axis=1), place.max(axis=1)
    centre = 0.5 * (low + high + size[:, 2:] * rotation[:, :, 2])
    moved = 0.5 * np.linalg.norm(high - low, axis=-1)
    return np.ascontiguousarray(centre.T), 0.5 * np.linalg.norm(size, axis=1) + moved + np.float32(0.05)


def _knots(t: FloatArray) -> FloatArray:
    """Instants at which poses are worked out, over all of ``t``."""
    first, last = float(t.min()), float(t.max())
    return np.linspace(first, last, 1 + math.ceil((last - first) / _KNOT_S))


def _between(knots: Float32, who: npt.NDArray[np.int64], before: npt.NDArray[np.int64], share: Float32) -> Float32:
    """(P, ...) interpolated values of bodies ``who``. knots: (K, knots, ...)."""
    start = knots[who, before]
    return np.asarray(start + share * (knots[who, before + 1] - start))


def _through_box(start: Float32, ray: Float32, size: Float32) -> tuple[Float32, Float32]:
    """(P,) m where rays (3, P) enter, 0 from inside, and leave boxes (3, P) that stand on z = 0 of their frames."""
    half = 0.5 * size + np.float32(_SKIN_M)
    middle = np.zeros_like(half)
    middle[2] = 0.5 * size[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (middle - half - start) / ray, (middle + half - start) / ray
    entry = np.fmax.reduce(np.fmin(one, other))  # 0 / 0, a ray along a face, decides nothing
    leave = np.fmin.reduce(np.fmax(one, other))
    return np.maximum(entry, np.float32(0.0)), leave
