"""The glow around lamps that shine into a lens: what its glass scatters of a light far brighter than the picture.

A lamp of intensity I at a distance d gives E = I / d^2 at the lens. Glass scatters a small share of it, which falls
with the square of the angle (veiling glare; CIE 146:2002 has the same law for the eye): r pixels from the lamp, a
brightness of pi f^2 E k / (1 + r^2).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import moderngl
import numpy as np
import numpy.typing as npt

from nodes.simulator.sensors.render.cast import Groups
from nodes.simulator.sensors.render.triangles import Records
from nodes.simulator.world.material import MATERIAL_ID
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Lamp

FloatArray = npt.NDArray[np.float64]

_SCATTERED = 1e-3  # k
_HEAD = np.array([1.0, 0.95, 0.85]) * 0.6  # candela / 1000 of one lamp, above the cut-off; ECE R112, R7, R6
_TAIL, _BRAKE = np.array([1.0, 0.06, 0.03]) * 0.008, np.array([1.0, 0.06, 0.03]) * 0.08
_CAR_WIDTH = 1.8  # m; a bicycle's lamp is a thirtieth of a car's
_SIGNAL = np.array([1.0, 0.45, 0.05]) * 0.15
_SPRITE = np.dtype([("first", "<f4", 3), ("last", "<f4", 3), ("light", "<f4", 3)])
_COLOUR_ONLY = ((True, True, True, False), (False, False, False, False))
_ALL = ((True, True, True, True), (True, True, True, True))
_HEADLAMP, _TAIL_LAMP = MATERIAL_ID["headlamp"], MATERIAL_ID["tail_lamp"]


class _Lenses(NamedTuple):
    """Lamps of a shape: middles (K, 3) m, mesh frame, and which of them are headlamps (K,)."""

    place: npt.NDArray[np.float32]
    head: npt.NDArray[np.bool_]


class Glow:
    """Sprites of light, drawn last, without depth or identity."""

    def __init__(self, context: moderngl.Context, lamps: Sequence[Lamp]) -> None:
        self._context = context
        self._buffer = context.buffer(reserve=_SPRITE.itemsize, dynamic=True)
        self._arrays: dict[int, moderngl.VertexArray] = {}
        self._count = 0
        self._street = np.array([lamp.position for lamp in lamps], np.float32).reshape(-1, 3)
        colours = [(np.array(lamp.colour) / 255.0) ** 2.2 * lamp.candela * 1e-3 for lamp in lamps]
        self._candela = np.array(colours, np.float64).reshape(-1, 3)

    def place(self, groups: Groups, still: Records, exposure: float) -> None:
        """The lamps of these copies; still: (1,) of `INSTANCE`, of what stands."""
        sprites = [self._of_street(still, exposure)] if len(self._street) else []
        sprites += [_of_vehicles(copies, name, exposure) for (name, _), copies in groups.items()]
        shining = np.concatenate(sprites) if sprites else np.zeros(0, _SPRITE)
        shining = shining[(shining["light"] > 0.0).any(axis=1)]
        if shining.nbytes > self._buffer.size:
            self._buffer.orphan(2 * shining.nbytes)
        if len(shining):
            self._buffer.write(shining.tobytes())
        self._count = len(shining)

    def draw(self, target: moderngl.Framebuffer, program: moderngl.Program) -> None:
        """Onto the colours of ``target``, which keeps its depth."""
        if not self._count:
            return
        array = self._arrays.get(program.glo)
        if array is None:
            content = [(self._buffer, "3f4 3f4 3f4/i", "first", "last", "light")]
            array = self._arrays[program.glo] = self._context.vertex_array(program, content)
        target.color_mask = _COLOUR_ONLY  # type: ignore[assignment]
        target.depth_mask = False
        self._context.enable(moderngl.BLEND)
        self._context.blend_func = moderngl.ONE_MINUS_DST_COLOR, moderngl.ONE  # light is added before the film's curve
        array.render(moderngl.TRIANGLE_STRIP, vertices=4, instances=self._count)
        self._context.disable(moderngl.BLEND)
        target.color_mask = _ALL  # type: ignore[assignment]
        target.depth_mask = True

    def _of_street(self, still: Records, exposure: float) -> Records:
        down = -still["first"][:, :, 2]
        return _sprites(still, self._street, down, self._candela[None], exposure)


def _of_vehicles(copies: Records, name: str, exposure: float) -> Records:
    """Of N copies of one shape: a sprite for each of its lamps, (N * K,)."""
    lenses = _lenses(name)
    on = copies["lamps"][:, None, :, None].astype(np.float64)  # (N, 1, 4, 1)
    signals = np.maximum(np.sign(lenses.place[:, 1]) * copies["lamps"][:, 3:], 0.0)[..., None] * _SIGNAL
    white = on[:, :, 0] * _HEAD * min(shape(name).size[1] / _CAR_WIDTH, 1.0) ** 3 * lenses.head[:, None]
    red = (on[:, :, 1] * _TAIL + on[:, :, 2] * _BRAKE) * ~lenses.head[:, None]
    ahead = np.where(lenses.head, 1.0, -1.0)[None, :, None] * copies["first"][:, None, :, 0]
    return _sprites(copies, lenses.place, ahead, white + red + signals, exposure)


def _sprites(
    copies: Records, places: npt.NDArray[np.float32], axis: FloatArray, candela: FloatArray, exposure: float
) -> Records:
    """places: (K, 3) m, mesh frame. axis: broadcasts to (N, K, 3), where a lamp shines, camera frame. candela: (N, K,
    3) along it, / 1000; it falls with the square of the angle's cosine."""
    out = np.zeros((len(copies), len(places)), _SPRITE)
    for row in ("first", "last"):
        out[row] = places @ copies[row][:, :, :3].transpose(0, 2, 1) + copies[row][:, None, :, 3]
    away = out["first"].astype(np.float64)
    distance = np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1.0)
    facing = np.maximum(-(away * axis).sum(axis=-1, keepdims=True) / distance, 0.0)
    out["light"] = np.pi * _SCATTERED * exposure * candela * facing**2 / distance**2
    return out.ravel()


@functools.cache
def _lenses(name: str) -> _Lenses:
    """Where the lamps of a shape are: the middles of its lenses, one on each side or one in the middle."""
    mesh = shape(name).phases[0]
    places, heads = [], []
    for material in (_HEADLAMP, _TAIL_LAMP):
        corners = mesh.vertices[np.unique(mesh.triangles[mesh.material == material])]
        wide = len(corners) > 0 and np.ptp(corners[:, 1]) > 0.4
        for one in (corners[corners[:, 1] > 0.0], corners[corners[:, 1] <= 0.0]) if wide else (corners,):
            if len(one):
                places.append(0.5 * (one.min(axis=0) + one.max(axis=0)))
                heads.append(material == _HEADLAMP)
    return _Lenses(np.array(places, np.float32).reshape(-1, 3), np.array(heads, bool))
