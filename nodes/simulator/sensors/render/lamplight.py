"""Light of lamps on the street at night, as a map seen from above: street lamps, and the lamps of other vehicles."""

from __future__ import annotations

from collections.abc import Sequence

import moderngl
import numpy as np
import numpy.typing as npt

from nodes.simulator.sensors.render.cast import Groups
from nodes.simulator.sensors.render.context import program
from nodes.simulator.sensors.render.triangles import Records
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Lamp

_TEXELS = 256
_SIDE = 200.0  # m
_STEP = 16.0
_HEAD = np.array([1.0, 0.94, 0.82]) * 14.0  # candela / 1000, both lamps
_TAIL = np.array([1.0, 0.06, 0.04]) * 0.02
_BRAKE = np.array([1.0, 0.06, 0.04]) * 0.2
_SPLAT = np.dtype([("place", "<f4", 2), ("ahead", "<f4", 2), ("colour", "<f4", 3), ("form", "<f4", 2)])
_CAR_WIDTH = 1.8  # m
_STREET, _HEADLAMPS, _TAIL_LAMPS = 0.0, 1.0, 2.0


class LampLight:
    """The map: kilolux red, green, blue."""

    def __init__(self, context: moderngl.Context, lamps: Sequence[Lamp]) -> None:
        self._context = context
        self._texture = context.texture((_TEXELS, _TEXELS), 4, dtype="f2")
        self._texture.repeat_x = self._texture.repeat_y = False
        self._frame = context.framebuffer(self._texture)
        self._program = program(context, "splat")
        self._splats = context.buffer(reserve=_SPLAT.itemsize, dynamic=True)
        self._array = context.vertex_array(
            self._program, [(self._splats, "2f4 2f4 3f4 2f4/i", "place", "ahead", "colour", "form")]
        )
        self._street = np.zeros(len(lamps), _SPLAT)
        for splat, lamp in zip(self._street, lamps, strict=True):
            splat["place"], splat["ahead"] = lamp.position[:2], (1.0, 0.0)
            splat["colour"] = (np.array(lamp.colour) / 255.0) ** 2.2 * lamp.candela * 1e-3
            splat["form"] = _STREET, lamp.position[2]
        self.place = (0.0, 0.0, 1.0 / _SIDE)

    def draw(self, ego: npt.NDArray[np.float64], groups: Groups) -> None:
        """The map around ``ego`` (3,) m, with the lamps of these copies."""
        middle = np.rint(ego[:2] / _STEP) * _STEP
        splats = [self._street[np.abs(self._street["place"] - middle).max(axis=1, initial=0.0) < _SIDE]]
        for (name, _), copies in groups.items():
            splats += _of_vehicles(copies[copies["lamps"][:, 0] > 0], shape(name).size)
        all_splats = np.concatenate(splats)
        self.place = (float(middle[0]), float(middle[1]), 1.0 / _SIDE)
        self._program["lamp_map_place"] = self.place
        if all_splats.nbytes > self._splats.size:
            self._splats.orphan(2 * all_splats.nbytes)
        self._frame.use()
        self._frame.clear()
        if len(all_splats):
            self._splats.write(all_splats.tobytes())
            self._context.enable_only(moderngl.BLEND)
            self._context.blend_func = moderngl.ONE, moderngl.ONE
            self._array.render(moderngl.TRIANGLE_STRIP, vertices=4, instances=len(all_splats))

    def bind(self, unit: int) -> None:
        self._texture.use(unit)


def _of_vehicles(copies: Records, size: tuple[float, float, float]) -> list[Records]:
    """Splats of headlamps and tail lamps of N copies of one shape."""
    ahead = copies["odom"][:, :2, 0]
    head, tail = np.zeros(len(copies), _SPLAT), np.zeros(len(copies), _SPLAT)
    head["ahead"] = tail["ahead"] = ahead
    head["place"] = copies["odom"][:, :2, 3] + 0.5 * size[0] * ahead
    tail["place"] = copies["odom"][:, :2, 3] - 0.5 * size[0] * ahead
    head["colour"] = _HEAD * min(size[1] / _CAR_WIDTH, 1.0) ** 3  # a bicycle's lamp is a thirtieth of a car's
    tail["colour"] = _TAIL + copies["lamps"][:, 2:3] * _BRAKE
    head["form"] = _HEADLAMPS, 0.65
    tail["form"] = _TAIL_LAMPS, 0.9
    return [head, tail]
