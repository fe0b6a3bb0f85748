"""`Model`: one mesh on the graphics processor, and where copies of it stand."""

from __future__ import annotations

from collections.abc import Sequence

import moderngl
import numpy as np

from nodes.simulator.sensors.render.detail import CELLS, simplified
from nodes.simulator.sensors.render.triangles import VERTEX_FORMAT, Part, Records, packed
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.shapes import shape

INSTANCE = np.dtype(
    [
        ("first", "<f4", (3, 4)),
        ("last", "<f4", (3, 4)),
        ("odom", "<f4", (3, 4)),
        ("paint", "<f4", 4),
        ("lamps", "<f4", 4),
    ]
)
"""A copy. first, last: camera_SE3_mesh at the first and the last row, without its row 0 0 0 1. odom: odom_SE3_mesh at
the middle row. paint: linear red, green, blue, object id. lamps: head, tail, brake, 0..1; turn signal, 1 left, -1
right."""

_OF_WIDTH = 0.15  # share of a shape's least size that its detail may have: a person stays as wide
_VERTEX_NAMES = ("position", "normal", "colour", "material")
_INSTANCE_NAMES = (*(f"{m}_{row}" for m in ("first", "last", "odom") for row in "xyz"), "paint", "lamps")
_INSTANCE_FORMAT = " ".join(["4f4"] * len(_INSTANCE_NAMES)) + "/i"


class Models:
    """Those of all shapes, gaits and levels of detail, made when they are first needed."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._made: dict[tuple[str, int, int], Model] = {}

    def of(self, name: str, gait: int, level: int) -> Model:
        """level: of `detail.CELLS`."""
        key = (name, gait, level)
        if key not in self._made:
            cell = min(CELLS[level], _OF_WIDTH * min(shape(name).size))
            self._made[key] = Model(self._context, simplified(shape(name).phases[gait], cell), 1e6)
        return self._made[key]


class Model:
    """Drawn with any program whose inputs are named as in `VERTEX` and `INSTANCE`; it may leave some out.

    Args:
        cell: side of the squares into which it is cut, for leaving out those that are out of sight, m.
    """

    def __init__(self, context: moderngl.Context, mesh: Mesh, cell: float) -> None:
        vertices, indices, self.parts = packed(mesh, cell)
        self._context = context
        self._vertices = context.buffer(vertices.tobytes() or bytes(vertices.itemsize))
        self._indices = context.buffer(indices.tobytes() or bytes(4))
        self._instances = context.buffer(reserve=INSTANCE.itemsize, dynamic=True)
        self._arrays: dict[int, moderngl.VertexArray] = {}
        self._count = 0

    def place(self, copies: Records) -> None:
        """copies: (N,) of `INSTANCE`."""
        if copies.nbytes > self._instances.size:
            self._instances.orphan(2 * copies.nbytes)
        if len(copies):
            self._instances.write(copies.tobytes())
        self._count = len(copies)

    def draw(self, program: moderngl.Program, parts: Sequence[Part]) -> None:
        """All copies; parts that follow each other in the buffer go together."""
        if not self._count:
            return
        array = self._arrays.get(program.glo)
        if array is None:
            content = [
                (self._vertices, VERTEX_FORMAT, *_VERTEX_NAMES),
                (self._instances, _INSTANCE_FORMAT, *_INSTANCE_NAMES),
            ]
            array = self._context.vertex_array(program, content, index_buffer=self._indices, skip_errors=True)
            self._arrays[program.glo] = array
        at = 0
        while at < len(parts):
            start, length = parts[at].start, parts[at].length
            at += 1
            while at < len(parts) and parts[at].start == start + length:
                length += parts[at].length
                at += 1
            array.render(vertices=length, first=start, instances=self._count)
