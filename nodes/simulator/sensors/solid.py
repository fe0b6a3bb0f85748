"""`Solid`: triangles with a hierarchy over them, and what each triangle is made of and belongs to."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.simulator.world.gait import phase
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import World

Float32 = npt.NDArray[np.float32]

STATIC, NOTHING = -1, -2
"""Whose a triangle is, where that is no actor; `NOTHING` for rays that meet none."""

_THREADS = 1  # per cast; processes of the pipeline share the cores
_SHELF_M = 8.0  # between the meshes of a wardrobe; the tallest is half of it


class Met(NamedTuple):
    """What N rays met first. distance: (N,) m, inf where nothing. triangle: (N,) index, the number of triangles where
    nothing. normal: (N, 3) of the triangle, on the side from which its corners run counter-clockwise."""

    distance: Float32
    triangle: npt.NDArray[np.uint32]
    normal: Float32


class Solid:
    """Meshes in one frame.

    material, owner: (T + 1,) of each triangle, and of none at the end.
    """

    def __init__(self, meshes: list[Mesh], owners: list[int]) -> None:
        mesh = Mesh.joined(meshes)
        self.material = np.append(mesh.material, np.uint8(0))
        self._colour = np.zeros((len(self.material), 4), np.uint8)
        self._colour[:-1, :3] = mesh.colour
        counts = [len(m.triangles) for m in meshes]
        self.owner = np.append(np.repeat(np.array(owners, np.int32), counts), np.int32(NOTHING))
        self._scene = _hierarchy(mesh) if len(mesh.triangles) else None

    def colours(self, triangle: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
        """(N, 3) sRGB of triangles (N,)."""
        words = self._colour.view(np.uint32)[:, 0]  # one gather of a word is five times as fast as of three bytes
        return words[triangle].view(np.uint8).reshape(-1, 4)[:, :3]

    def cast(self, origin: npt.ArrayLike, direction: npt.ArrayLike) -> Met:
        """Where rays (N, 3), m and unit vectors, meet triangles first."""
        rays = np.concatenate([origin, direction], axis=1, dtype=np.float32)
        none = len(self.material) - 1
        if self._scene is None or not len(rays):
            n = len(rays)
            return Met(np.full(n, np.inf, "f4"), np.full(n, none, np.uint32), np.zeros((n, 3), "f4"))
        found = self._scene.cast_rays(_tensor(rays), nthreads=_THREADS)
        triangle = np.minimum(found["primitive_ids"].numpy(), np.uint32(none))
        return Met(found["t_hit"].numpy(), triangle, found["primitive_normals"].numpy())


def standing(world: World) -> Solid:
    """Everything that never moves, odom frame: the static mesh, and actors that stand there all the time."""
    still = [index for index, actor in enumerate(world.actors) if actor.motion.stands]
    parked = []
    for actor in (world.actors[index] for index in still):
        mesh = shape(actor.shape).phases[int(phase(actor, 0.0))].painted(actor.paint)
        parked.append(mesh.moved(actor.motion.pose(0.0)))
    return Solid([world.static, *parked], [STATIC, *still])


class Wardrobe:
    """The meshes of some shapes in one hierarchy, one above the other, each in the frame of its body.

    A ray that starts on the skin of a mesh's box meets that mesh first, if it meets it at all: so the rays for all
    bodies are cast together. The owner of a triangle is the number of its mesh.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._first: dict[str, int] = {}
        meshes: list[Mesh] = []
        for name in names:
            self._first[name] = len(meshes)
            meshes += shape(name).phases
        lifted = [mesh.moved(SE3(np.eye(3), np.array([0.0, 0.0, _SHELF_M * i]))) for i, mesh in enumerate(meshes)]
        self.solid = Solid(lifted, list(range(len(meshes))))

    def worn(self, name: str, at_phase: int) -> int:
        """The number of the mesh that a shape shows in a phase of its gait."""
        return self._first[name] + at_phase

    def cast(self, origin: Float32, direction: Float32, worn: npt.NDArray[np.int64]) -> Met:
        """Rays (3, N) in the frames of bodies, from the skin of their boxes, each against mesh ``worn`` (N,) alone."""
        start = origin.T.copy()
        start[:, 2] += np.float32(_SHELF_M) * worn
        met = self.solid.cast(start, direction.T)
        other = self.solid.owner[met.triangle] != worn
        met.distance[other] = np.inf
        met.triangle[other] = len(self.solid.material) - 1
        return met


@functools.lru_cache(maxsize=8)
def wardrobe(names: tuple[str, ...]) -> Wardrobe:
    """That of some shapes, remembered: worlds share it."""
    return Wardrobe(names)


def _hierarchy(mesh: Mesh) -> Any:
    import open3d as o3d  # takes a second, and processes that play a camera or an IMU cast no rays

    scene = o3d.t.geometry.RaycastingScene(nthreads=_THREADS)
    scene.add_triangles(_tensor(mesh.vertices), _tensor(mesh.triangles))
    return scene


def _tensor(array: npt.NDArray[Any]) -> Any:
    from open3d.core import Tensor

    return Tensor.from_numpy(np.ascontiguousarray(array))
