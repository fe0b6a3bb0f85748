"""Shadows of the sun around the ego vehicle: what stands, parked cars too, drawn anew every 16 m, and what
moves, in every frame."""

from __future__ import annotations

import moderngl
import numpy as np
import numpy.typing as npt

from nodes.simulator.sensors.render.cast import Near
from nodes.simulator.sensors.render.context import program
from nodes.simulator.sensors.render.model import Model, Models
from nodes.simulator.sensors.render.triangles import GROUND

FloatArray = npt.NDArray[np.float64]

_HALF = 64.0  # m around the ego
_STEP = 16.0
_DEPTH = 200.0
_FINE, _CLOSE = 1, 25.0  # level of detail, up to m; a coarser one would shade itself, which is not seen from farther
_STATIC_TEXELS, _MOVING_TEXELS = 2048, 1024


class Shadows:
    """Two depth maps in one frame. Percentage-closer filtering (Reeves et al. 1987) by the hardware's 2 x 2."""

    def __init__(self, context: moderngl.Context) -> None:
        self._program = program(context, "shadow")
        self._still = _Map(context, _STATIC_TEXELS)
        self._moving = _Map(context, _MOVING_TEXELS)
        self._drawn_for: tuple[float, ...] | None = None
        self._middle = np.zeros(3)
        self.matrix: FloatArray = np.eye(4)

    def draw(self, ego: FloatArray, sun: FloatArray, static: Model, near: Near, models: Models) -> None:
        """Both maps around ``ego`` (3,) m; ``sun`` (3,) towards it. The copy of what stands is already placed."""
        middle = np.rint(ego / _STEP) * _STEP
        key = tuple(middle)
        if key != self._drawn_for:
            self._middle = middle
            self.matrix = _from_odom(middle, sun)
            self._program["shadow_from_odom"] = tuple(self.matrix.T.ravel())
            parts = [
                part
                for part in static.parts
                if part.look not in GROUND and (np.abs(0.5 * (part.low + part.high) - middle)[:2] < 2.5 * _HALF).all()
            ]
            self._still.begin()
            static.draw(self._program, parts)
            self._cast_by(near, near.stands, models)
            self._drawn_for = key
        self._moving.begin()
        self._cast_by(near, ~near.stands, models)

    def _cast_by(self, near: Near, which: npt.NDArray[np.bool_], models: Models) -> None:
        reach = np.abs(near.copies["odom"][:, :2, 3] - self._middle[:2]).max(axis=1, initial=0.0) < 1.4 * _HALF
        beyond = near.distance > _CLOSE
        for level, part in ((_FINE, ~beyond), (_FINE + 1, beyond)):
            for (name, gait), copies in near.grouped(which & reach & part).items():
                model = models.of(name, gait, level)
                model.place(copies)
                model.draw(self._program, model.parts)

    def bind(self, still: int, moving: int) -> None:
        """Both maps to these texture units."""
        self._still.texture.use(still)
        self._moving.texture.use(moving)


class _Map:
    def __init__(self, context: moderngl.Context, texels: int) -> None:
        self.texture = context.depth_texture((texels, texels))
        self.texture.compare_func = "<="
        self.texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self.texture.repeat_x = self.texture.repeat_y = False
        self._buffer = context.framebuffer(depth_attachment=self.texture)

    def begin(self) -> None:
        self._buffer.use()
        self._buffer.clear(depth=1.0)


def _from_odom(middle: FloatArray, sun: FloatArray) -> FloatArray:
    """(4, 4) float64: odom to the map's x, y and depth, each 0..1 within reach."""
    beside = np.cross([0.0, 0.0, 1.0], sun)
    beside = beside / np.linalg.norm(beside) if np.linalg.norm(beside) > 1e-6 else np.array([1.0, 0.0, 0.0])
    axes = np.stack([beside, np.cross(sun, beside), -sun])
    scale = np.array([0.5 / _HALF, 0.5 / _HALF, 0.5 / _DEPTH])
    out = np.eye(4)
    out[:3, :3] = axes * scale[:, None]
    out[:3, 3] = 0.5 - out[:3, :3] @ middle
    return out
