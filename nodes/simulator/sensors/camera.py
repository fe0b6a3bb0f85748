"""A simulated camera: what it sees of a world through its lens and rolling shutter, and what its sensor makes of it.

`CameraRenderer.frame` is exact in geometry: every row at its own time, every pixel along its own ray. `camera_image`
adds what a sensor does to it, and JPEG. Fog, rain, dirt and faults come in between and are not made here.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor
from calibration.se3 import SE3
from nodes.simulator.sensors.render.cast import Moment
from nodes.simulator.sensors.render.levels import film, levels
from nodes.simulator.sensors.render.scene import Scene
from nodes.simulator.sensors.render.views import Sheet
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.world import World
from pipeline.core.messages import CameraImage

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)
_FULL_WELL = 5_000.0  # electrons at white, at the gain of a bright day
_READ_NOISE = 2.2  # electrons
_REDUCTION = 0.2  # exponent
_VIGNETTING = 0.16  # loss in the corner
_SHORTEST_S, _LONGEST_S = 0.2e-3, 25e-3
_BLUR = np.array([0.06, 0.88, 0.06])  # of lens and pixel
_MOSAIC = np.array([0.18, 0.64, 0.18])
_SHIFTS = 128  # places on the tile of noise, down and across


class Exposure(NamedTuple):
    """What falls on the sensor, before its noise.

    image_bgr: (H, W, 3) uint8. depth: (H, W) float32 metres along the optical axis, inf where there is sky; behind the
    image plane of a fisheye it is negative. object_id: (H, W) int32, -1 where the world stands still or there is sky.
    Where the lens sees nothing: black, inf, -1. gain: of the sensor over that of a bright day, 1 or more.
    """

    image_bgr: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    object_id: npt.NDArray[np.int32]
    gain: float = 1.0

    @property
    def seconds(self) -> float:
        """For how long the sensor exposes."""
        return min(_SHORTEST_S * self.gain, _LONGEST_S)


class CameraRenderer:
    """Draws one camera's frames. Cameras of the same world share a `Scene`, which must stay in one thread.

    Raises:
        BadInput: OpenGL with EGL is not there; says what to install.
    """

    def __init__(self, world: World, sensor: CameraSensor, scene: Scene | None = None) -> None:
        self._world, self._sensor = world, sensor
        self._scene = scene if scene is not None else Scene(world)
        self._sheet = Sheet(sensor)
        self._target = self._scene.target(self._sheet.width, self._sheet.height)
        self._programs = self._scene.programs(sensor)
        self._gain = max(levels(world.light).gain, 1.0)

    def frame(self, t: float, odom_SE3_ego: Motion | None = None, ego_SE3_camera: SE3 | None = None) -> Exposure:
        """One exposure.

        Args:
            t: seconds, middle of the exposure of the middle row; row v is exposed readout * ((v + .5) / H - .5) later.
            odom_SE3_ego: how the ego vehicle moves, where not as `World.ego`.
            ego_SE3_camera: where the camera really sits, where not as its rig says.
        """
        ego = odom_SE3_ego if odom_SE3_ego is not None else self._world.ego
        mounted = ego_SE3_camera if ego_SE3_camera is not None else self._sensor.ego_SE3_sensor
        times = t + self._sensor.readout_ns * 1e-9 * np.array([-0.5, 0.0, 0.5])
        odom_SE3_egos = ego.pose(times)
        moment = Moment(times, odom_SE3_egos @ mounted)
        colours, what = self._scene.draw(self._target, self._programs, self._sheet, moment, odom_SE3_egos[1])
        nowhere = float(np.array(-1, np.int32).view(np.float32))
        what = self._sheet.nearest(what, (nowhere, float("inf")))
        return Exposure(
            image_bgr=np.asarray(cv2.cvtColor(self._sheet.colours(colours), cv2.COLOR_RGBA2BGR), np.uint8),
            depth=np.ascontiguousarray(what[..., 1]),
            object_id=np.ascontiguousarray(what[..., 0]).view(np.int32),
            gain=self._gain,
        )


def camera_image(exposure: Exposure, rng: np.random.Generator) -> CameraImage:
    """The exposure as the sensor gives it: blur of the optics, vignetting, shot and read noise, JPEG."""
    height, width = exposure.image_bgr.shape[:2]
    soft = cv2.sepFilter2D(exposure.image_bgr, -1, _BLUR, _BLUR)
    noise = cv2.multiply(cv2.LUT(soft, _noise_sigma(exposure.gain)), _grain(height, width, rng))
    image = cv2.add(cv2.multiply(soft, _vignette(height, width), dtype=cv2.CV_32F), noise, dst=noise)
    data = cv2.imencode(".jpg", cv2.convertScaleAbs(np.maximum(image, 0.0, out=image)), _JPEG)[1].reshape(-1)
    exposure_ns = round(1e9 * exposure.seconds)
    return CameraImage(height=height, width=width, encoding="jpeg", data=data, exposure_ns=exposure_ns)


@functools.lru_cache(maxsize=8)
def _vignette(height: int, width: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) float32 share of the light that arrives: falls with the square of the distance from the middle."""
    v, u = np.mgrid[:height, :width] + 0.5
    r2 = ((2 * u / width - 1) ** 2 + (2 * v / height - 1) ** 2) / 2
    return np.repeat((1.0 - _VIGNETTING * r2)[..., None], 3, axis=-1).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _noise_sigma(gain: float) -> npt.NDArray[np.float32]:
    """(256,) float32 noise of each grey level, 1 sigma in grey levels.

    A camera first exposes longer, then amplifies; the electrons at white are that many fewer. Shot noise is Poisson's.
    It arises before the film's curve, which lifts or hides it. What an image processor's noise reduction leaves of it
    shrinks as the amplification grows.
    """
    amplified = max(gain * _SHORTEST_S / _LONGEST_S, 1.0)
    white = _FULL_WELL / amplified
    light = np.geomspace(1e-5, 8.0, 4000)
    spread = np.sqrt(light * white + _READ_NOISE**2) / white
    sigma = 127.5 * (film(light + spread) - film(np.maximum(light - spread, 0.0)))
    left = sigma * amplified**-_REDUCTION
    return np.asarray(np.interp(np.arange(256), 255.0 * film(light), left), np.float32)


def _grain(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """(H, W, 3) float32 noise for a sigma of 1: a place on a tile that ``rng`` picks."""
    tile = _grain_tile(height + _SHIFTS, width + _SHIFTS)
    down, right = rng.integers(_SHIFTS, size=2).tolist()
    return tile[down : down + height, right : right + width]


@functools.lru_cache(maxsize=4)
def _grain_tile(height: int, width: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) float32. White noise of each pixel, spread by the interpolation of a mosaic of colours: neighbours and
    the three channels share some of it."""
    rng = np.random.default_rng(21)
    white = rng.standard_normal((height, width, 3), np.float32)
    shared = 0.8 * rng.standard_normal((height, width, 1), np.float32) + 0.6 * white
    return np.asarray(cv2.sepFilter2D(shared, -1, _MOSAIC, _MOSAIC), np.float32)
