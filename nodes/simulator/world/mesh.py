"""Triangles with a material and a colour: the one geometry that camera, LiDAR and radar share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.simulator.world.material import MATERIAL_ID


class Mesh(NamedTuple):
    """V vertices, T triangles, counter-clockwise seen from outside.

    vertices: (V, 3) float32 metres. triangles: (T, 3) uint32. material: (T,) uint8, index into `MATERIALS`.
    colour: (T, 3) uint8 sRGB red, green, blue.
    """

    vertices: npt.NDArray[np.float32]
    triangles: npt.NDArray[np.uint32]
    material: npt.NDArray[np.uint8]
    colour: npt.NDArray[np.uint8]

    def moved(self, to_SE3_mesh: SE3) -> Mesh:
        """The same mesh in another frame."""
        return self._replace(vertices=(to_SE3_mesh @ self.vertices.astype(np.float64)).astype(np.float32))

    def painted(self, rgb: tuple[int, int, int]) -> Mesh:
        """The same mesh with its `paint` in this colour."""
        colour = self.colour.copy()
        colour[self.material == MATERIAL_ID["paint"]] = rgb
        return self._replace(colour=colour)

    @staticmethod
    def joined(meshes: Sequence[Mesh]) -> Mesh:
        """One mesh of many; of none, an empty one."""
        if not meshes:
            return Mesh(np.zeros((0, 3), "f4"), np.zeros((0, 3), "u4"), np.zeros(0, "u1"), np.zeros((0, 3), "u1"))
        first = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
        return Mesh(
            np.concatenate([mesh.vertices for mesh in meshes]),
            np.concatenate([mesh.triangles + np.uint32(at) for mesh, at in zip(meshes, first, strict=False)]),
            np.concatenate([mesh.material for mesh in meshes]),
            np.concatenate([mesh.colour for mesh in meshes]),
        )


_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)], dtype=np.float32)
_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def box(size: npt.ArrayLike, material: str, rgb: tuple[int, int, int], centre: npt.ArrayLike = (0.0, 0.0)) -> Mesh:
    """A box that stands on z = 0. size: length, width, height, m. centre: x, y of its footprint."""
    vertices = _CORNERS * np.asarray(size, dtype=np.float32)
    vertices[:, :2] += np.asarray(centre, dtype=np.float32)
    triangles = np.array([[a, b, c, a, c, d] for a, b, c, d in _FACES], dtype=np.uint32).reshape(-1, 3)
    return Mesh(
        vertices,
        triangles,
        np.full(len(triangles), MATERIAL_ID[material], np.uint8),
        np.tile(np.array(rgb, np.uint8), (len(triangles), 1)),
    )
