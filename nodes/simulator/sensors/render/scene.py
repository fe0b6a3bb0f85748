"""`Scene`: a world on the graphics processor, drawn from one camera at one time.

once: static triangles by place and looks; one model for each shape and phase of gait; noise, sky
each frame: which actors are near -> shadows -> lamp light -> for each view: actors, what stands, ground, sky
"""

from __future__ import annotations

from itertools import groupby

import moderngl
import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from calibration.camera import KannalaBrandt
from calibration.rig import CameraSensor
from calibration.se3 import SE3, trusted
from nodes.simulator.sensors.render.cast import Cast, Moment, Near, copies_at
from nodes.simulator.sensors.render.context import open_context, program
from nodes.simulator.sensors.render.detail import level as detail_level
from nodes.simulator.sensors.render.glow import Glow
from nodes.simulator.sensors.render.lamplight import LampLight
from nodes.simulator.sensors.render.levels import Levels, levels
from nodes.simulator.sensors.render.model import Model, Models
from nodes.simulator.sensors.render.shadows import Shadows
from nodes.simulator.sensors.render.textures import SKY_REACH, noise_tile, sky_map
from nodes.simulator.sensors.render.triangles import LOOKS, Part
from nodes.simulator.sensors.render.views import Sheet, View
from nodes.simulator.world.world import World

_CELL = 48.0  # m
_FAR = 700.0  # m; static things beyond are left to the haze
_NEAR = 0.1
_WARPED = 3.0  # m; what a rolling shutter can bring into view
_ROADS = ("asphalt", "marking", "pavement")  # that water lies on
_STILL = trusted(np.tile(np.eye(3), (1, 3, 1, 1)), np.zeros((1, 3, 3)))
_BEAM_FROM_EGO = np.array([3.6, 0.0, 0.65])  # middle of the headlamps, ego frame

Programs = dict[str, moderngl.Program]


class Scene:
    """Shared by all cameras of one world in one thread.

    Args:
        like: that of a world with the same static mesh, whose models it shares.

    Raises:
        BadInput: OpenGL is not there; says what to install.
    """

    def __init__(self, world: World, like: Scene | None = None) -> None:
        self.world = world
        self._context: moderngl.Context = open_context() if like is None else like._context
        self._levels = levels(world.light)
        self._static: Model = Model(self._context, world.static, _CELL) if like is None else like._static
        self._bounds = np.array([(part.low, part.high) for part in self._static.parts]).reshape(-1, 2, 3)
        self._cast = Cast(world)
        self._models: Models = Models(self._context) if like is None else like._models
        self._shadows = Shadows(self._context) if self._levels.sun.any() else None
        burning = world.lamps if world.light.street_lamps or world.roofed else ()
        self._lamplight = LampLight(self._context, burning)
        self._glow = Glow(self._context, burning)
        self._noise: moderngl.Texture = self._texture(noise_tile(), "f1") if like is None else like._noise
        self._sky = self._texture(sky_map(world.light, self._levels, world.seed).astype(np.float16), "f2")
        self._sky.repeat_x = self._sky.repeat_y = False

    def close(self) -> None:
        """Give back what it, and all that are like it, hold on the graphics processor; they draw no more."""
        self._context.release()

    def _texture(self, picture: npt.NDArray[np.generic], dtype: str) -> moderngl.Texture:
        rows, columns, channels = picture.shape
        texture = self._context.texture((columns, rows), channels, np.ascontiguousarray(picture).tobytes(), dtype=dtype)
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        return texture

    def target(self, width: int, height: int) -> moderngl.Framebuffer:
        """Where a camera's sheet is drawn: colour, and object id with depth."""
        size, context = (width, height), self._context
        pictures = [context.renderbuffer(size, 4), context.renderbuffer(size, 2, dtype="i4")]
        return context.framebuffer(pictures, context.depth_renderbuffer(size))

    def programs(self, camera: CameraSensor) -> Programs:
        """One for each look and one for the sky, for this camera's lens and this world's light."""
        words = [f"NEAR {_NEAR}", f"ROW_STEPS {3 if camera.readout_ns else 0}", *self._light_words()]
        words += [f"SKY_REACH {SKY_REACH}", *_lens_words(camera)]
        out = {}
        for look in LOOKS:
            gloss = look in ("body", "window") or (look in _ROADS and self.world.weather.wetness > 0.05)
            out[look] = program(
                self._context, "surface", [*words, f"LOOK_{look.upper()}", *(["GLOSS"] if gloss else [])]
            )
        out["sky"] = program(self._context, "sky", words)
        out["glow"] = program(self._context, "glow", words)
        for each in out.values():
            for name, value in _lens_uniforms(camera).items():
                _set(each, name, value)
        return out

    def _light_words(self) -> list[str]:
        words = [f"STREET_LAMPS {float(self.world.light.street_lamps or bool(self.world.roofed))}"]
        if self._shadows is not None:
            words.append("SUN")
        if self._levels.lamps:
            words.append("LAMPS")
        return words

    def draw(
        self, target: moderngl.Framebuffer, programs: Programs, sheet: Sheet, moment: Moment, odom_SE3_ego: SE3
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """The sheet: (h, w, 4) uint8 red, green, blue; (h, w, 2) float32 of object id (as bits) and depth, m."""
        now = self._levels if not self.world.roofed else levels(self.world.light, self._roofed(float(moment.times[1])))
        near = self._cast.near(moment, now.lamps)
        still = copies_at(_STILL, moment)
        self._static.place(still)

        self._context.enable_only(moderngl.DEPTH_TEST)
        ego = odom_SE3_ego.translation
        if self._shadows is not None:
            self._shadows.draw(ego, now.direction, self._static, near, self._models)
        if now.lamps:
            self._lamplight.draw(ego, near.grouped(near.copies["lamps"][:, 0] > 0.0))
        self._glow.place(near.grouped(np.asarray(near.copies["lamps"].any(axis=1))), still, now.exposure)
        self._light_up(programs, now, moment, odom_SE3_ego)
        self._context.enable_only(moderngl.DEPTH_TEST)
        target.use()
        target.clear()
        for view in sheet.views:
            self._draw_view(target, programs, view, moment, near)
        size = (sheet.height, sheet.width)
        colour = np.frombuffer(target.read(components=4, alignment=1), np.uint8).reshape(*size, 4)
        what = np.frombuffer(target.read(components=2, attachment=1, dtype="i4", alignment=1), np.float32)
        return colour, what.reshape(*size, 2)

    def _draw_view(
        self, target: moderngl.Framebuffer, programs: Programs, view: View, moment: Moment, near: Near
    ) -> None:
        target.viewport = (0, view.top, view.width, view.height)
        odom_R_camera = moment.camera.rotation[1]
        for each in programs.values():
            _set(each, "face_R_camera", tuple(view.rotation.T.ravel()))
            _set(each, "face", (view.focal, view.focal, view.cx, view.cy))
            _set(each, "face_size", (view.width, view.height))
        parts = self._in_sight(view, moment)
        self._draw_actors(programs["body"], view, moment, near)
        for look in LOOKS:
            self._static.draw(programs[look], [part for part in parts if part.look == look])
        _set(programs["sky"], "odom_R_face", tuple((view.rotation @ odom_R_camera.T).ravel()))
        self._context.vertex_array(programs["sky"], []).render(vertices=3)
        self._glow.draw(target, programs["glow"])

    def _draw_actors(self, program: moderngl.Program, view: View, moment: Moment, near: Near) -> None:
        """Those in sight, the nearest first, which hide the rest; those alike that follow each other at once."""
        planes = _planes(view, moment)
        seen = ((near.middle - moment.camera.translation[1]) @ planes.T > -near.reach[:, None] - _WARPED).all(axis=1)
        order = np.flatnonzero(seen)[np.argsort(near.distance[seen], kind="stable")].tolist()
        looks = [(*near.of[i], detail_level(near.distance[i] - near.reach[i], view.focal)) for i in order]
        at = 0
        for look, run in groupby(looks):
            count = len(list(run))
            model = self._models.of(*look)
            model.place(near.copies[order[at : at + count]])
            model.draw(program, model.parts)
            at += count

    def _in_sight(self, view: View, moment: Moment) -> list[Part]:
        """Parts of the static world whose box is not wholly beside the view."""
        planes, eye = _planes(view, moment), moment.camera.translation[1]
        middle, half = self._bounds.mean(axis=1) - eye, 0.5 * np.ptp(self._bounds, axis=1)
        beside = middle @ planes.T + half @ np.abs(planes).T
        gap = np.linalg.norm(np.maximum(np.abs(middle) - half, 0.0), axis=1)
        return [self._static.parts[i] for i in np.flatnonzero((beside > -_WARPED).all(axis=1) & (gap < _FAR))]

    def _roofed(self, t: float) -> float:
        """0 under the sky .. 1 under a roof; a camera takes half a second to get used to either."""
        into = [min(t - start, end - t) for start, end in self.world.roofed]
        return min(max(0.5 + max(into, default=-1.0) / 0.5, 0.0), 1.0)

    def _light_up(self, programs: Programs, now: Levels, moment: Moment, odom_SE3_ego: SE3) -> None:
        beam_SE3_odom = odom_SE3_ego.inverse()
        rows = np.concatenate([beam_SE3_odom.rotation, (beam_SE3_odom.translation - _BEAM_FROM_EGO)[:, None]], axis=1)
        values = {
            "eye": tuple(moment.camera.translation[1]),
            "exposure": now.exposure,
            "sun_direction": tuple(now.direction),
            "sun_light": tuple(now.sun),
            "sky_light": tuple(now.sky),
            "horizon_light": tuple(now.horizon),
            "ground_light": tuple(now.ground),
            "wetness": self.world.weather.wetness,
            "noise_map": 0,
            "sky_map": 1,
            "static_shadow": 2,
            "moving_shadow": 3,
            "lamp_map": 4,
            "lamp_map_place": self._lamplight.place,
            **{f"beam_{axis}": tuple(row) for axis, row in zip("xyz", rows, strict=True)},
        }
        if self._shadows is not None:
            values["shadow_from_odom"] = tuple(self._shadows.matrix.T.ravel())
            self._shadows.bind(2, 3)
        self._noise.use(0)
        self._sky.use(1)
        self._lamplight.bind(4)
        for each in programs.values():
            for name, value in values.items():
                _set(each, name, value)


def _planes(view: View, moment: Moment) -> npt.NDArray[np.float64]:
    """(5, 3) unit normals, odom axes, of the sides of a view and of its front, pointing inwards."""
    face_R_odom = view.rotation @ moment.camera.rotation[1].T
    left, right = (-0.5 - view.cx) / view.focal, (view.width - 0.5 - view.cx) / view.focal
    top, bottom = (-0.5 - view.cy) / view.focal, (view.height - 0.5 - view.cy) / view.focal
    planes = np.array([[1, 0, -left], [-1, 0, right], [0, 1, -top], [0, -1, bottom], [0, 0, 1.0]]) @ face_R_odom
    return np.asarray(planes / np.linalg.norm(planes, axis=1, keepdims=True))


def _set(program: moderngl.Program, name: str, value: object) -> None:
    """A uniform, where the compiler has not left it out."""
    member = program.get(name, None)
    if isinstance(member, moderngl.Uniform):
        member.value = value[: member.array_length] if isinstance(value, list) else value


def _lens_words(camera: CameraSensor) -> list[str]:
    if isinstance(camera.intrinsics, KannalaBrandt):
        return ["KANNALA_BRANDT"]
    bends = any(value for name, value in asdict(camera.intrinsics).items() if name[0] in "kp")
    return ["DISTORTED"] if bends else []


def _lens_uniforms(camera: CameraSensor) -> dict[str, object]:
    lens = asdict(camera.intrinsics)
    return {
        "intrinsics": (lens["fx"], lens["fy"], lens["cx"], lens["cy"]),
        "radial": [lens.get(f"k{i}", 0.0) for i in range(1, 7)],
        "tangential": (lens.get("p1", 0.0), lens.get("p2", 0.0)),
        "limit": min(float(camera.intrinsics.max_angle), 3.1),
        "image_height": float(camera.height),
    }
