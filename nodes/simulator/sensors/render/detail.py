"""A mesh with fewer triangles, for where a pixel is wider than its detail.

Vertex clustering (Rossignac and Borrel 1993): all vertices of a cube become their mean, and triangles whose corners
fall together vanish. What remains lies within the hull of what was there.
"""

from __future__ import annotations

import numpy as np

from nodes.simulator.world.mesh import Mesh

CELLS = (0.0, 0.05, 0.10, 0.20, 0.40)
"""Sides of the cubes of each level of detail, m; level 0 is the mesh itself."""
_PIXELS = 2.2  # how wide a cube may look


def level(distance: float, focal: float) -> int:
    """The coarsest level whose loss cannot be seen at a distance, m, by a lens of this focal length, pixels."""
    return int(np.searchsorted(CELLS, _PIXELS * max(distance, 0.0) / focal, side="right")) - 1


def simplified(mesh: Mesh, cell: float) -> Mesh:
    """cell: side of the cubes, m; 0 leaves the mesh as it is."""
    if cell == 0.0 or not len(mesh.triangles):
        return mesh
    cube = np.floor(mesh.vertices / np.float32(cell)).astype(np.int64)
    cube -= cube.min(axis=0)
    size = cube.max(axis=0) + 1
    _, which, count = np.unique(
        (cube[:, 0] * size[1] + cube[:, 1]) * size[2] + cube[:, 2], return_inverse=True, return_counts=True
    )
    means = np.stack([np.bincount(which, mesh.vertices[:, axis]) for axis in range(3)], axis=1) / count[:, None]
    corners = which[mesh.triangles.astype(np.int64)]
    a, b, c = corners.T
    keep = (a != b) & (b != c) & (c != a)
    _, first = np.unique(np.sort(corners, axis=1)[keep], axis=0, return_index=True)
    rows = np.flatnonzero(keep)[np.sort(first)]
    return Mesh(means.astype(np.float32), corners[rows].astype(np.uint32), mesh.material[rows], mesh.colour[rows])
