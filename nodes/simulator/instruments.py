"""`Instruments`: every sensor of a rig in a world, each where it really sits, and the truth about what it sees.

Scenes, ray-casting hierarchies and renderers are made when they are first needed: a process that plays one radar makes
no renderer.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property, lru_cache, partial

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, LidarSensor, RadarSensor, Rig, Sensor
from calibration.se3 import SE3
from nodes.simulator import truth
from nodes.simulator.field_of_view import in_view
from nodes.simulator.odometry import Odometry
from nodes.simulator.sensors.camera import CameraRenderer, Exposure, camera_image
from nodes.simulator.sensors.lidar import lidar_sweep, returns_on
from nodes.simulator.sensors.radar import radar_scan
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.sensors.render.scene import Scene
from nodes.simulator.sensors.spray import optical_depth, plumes
from nodes.simulator.sensors.visibility import Visibility
from nodes.simulator.settings import SimulationSettings
from nodes.simulator.world.world import World
from nodes.weather.camera import Exposure as Shot
from nodes.weather.camera import weathered_image
from nodes.weather.lidar import weathered_sweep
from nodes.weather.radar import weathered_scan
from pipeline.core.messages import CameraImage, EgoPose, PointCloud, RadarScan
from pipeline.core.truth import TruthBehaviour, TruthObjects, TruthSensor, TruthVisibility

_COARSE = 2  # pixels between rays that are followed through spray
_LABELLED_M = 120.0  # from the ego; what is further is no label


class Instruments:
    """All sensors of ``rig``. Times are seconds since the start of the scenario.

    Not to be shared by threads: a renderer belongs to the thread that made it.
    """

    def __init__(self, world: World, rig: Rig, settings: SimulationSettings) -> None:
        self.world = world
        self.rig = rig
        self.settings = settings
        self._mounted = {sensor.name: self._place(sensor) for sensor in rig.sensors}
        self._renderers: dict[str, CameraRenderer] = {}
        self._sweep = lru_cache(maxsize=2)(self._cast_sweep)
        self._sweeps = False  # whether this process plays a LiDAR
        self._exposure = lru_cache(maxsize=2)(self._draw)  # weather that is injected later asks for the depth again

    # --- what sensors give

    def image(self, camera: CameraSensor, t: float, rng: np.random.Generator) -> CameraImage:
        """One exposure; ``t`` is the middle of that of the middle row."""
        exposure = self._exposure(camera.name, t)
        speed = float(np.linalg.norm(self.world.ego.velocity(t)))
        shot = Shot(camera.intrinsics.fx, exposure.seconds, speed)
        depth = along_ray(exposure, camera)
        spray = self._spray(camera, t, depth)
        seen = weathered_image(exposure.image_bgr, depth, self.world.weather, rng, shot, spray)
        return camera_image(exposure._replace(image_bgr=seen), rng)

    def sweep(self, lidar: LidarSensor, t: float, rng: np.random.Generator) -> PointCloud:
        """One sweep that ends at ``t``. Its noise belongs to the sweep, whoever asks; ``rng`` is for the weather."""
        self._sweeps = True
        cloud, _ = self._sweep(lidar, t)
        points = weathered_sweep(cloud.points, self.world.weather, lidar.max_range_m, rng)
        return PointCloud(points=points)

    def scan(self, radar: RadarSensor, t: float, rng: np.random.Generator) -> RadarScan:
        """One cycle whose middle is at ``t``."""
        clear = radar_scan(self.caster, radar, t, rng, self._mounted[radar.name])
        points = weathered_scan(clear.points, self.world.weather, rng)
        return RadarScan(points=points, ambiguity_mps=clear.ambiguity_mps)

    def pose(self, t: float) -> EgoPose:
        """Dead reckoning."""
        return self.odometry.message(t)

    def depth(self, camera: str, t: float) -> npt.NDArray[np.float32]:
        """(H, W) float32 metres along the rays of an exposure, inf for the sky."""
        sensor = self.rig[camera]
        assert isinstance(sensor, CameraSensor), f"{camera} is no camera"
        return along_ray(self._exposure(camera, t), sensor)

    # --- what is true

    def objects(self, t: float) -> TruthObjects:
        """Labels around the ego, with the returns of the first LiDAR where a sweep of it ends at ``t``."""
        which = self._labelled(t)
        points = None
        if self.rig.lidars:
            points = self._returns(self.rig.lidars[0], which, t)
        looking = self.rig.cameras or self.rig.lidars
        shares = self._shares(looking, which, t).max(axis=0) if looking else None
        return truth.objects(self.world, which, t, self.odometry.odom_SE3_world(t), points, shares)

    def behaviour(self, t: float) -> TruthBehaviour:
        return truth.behaviour(self.world, self._labelled(t), t, self.odometry.odom_SE3_world(t))

    def visibility(self, sensor: Sensor, t: float) -> TruthVisibility:
        """What one camera, LiDAR or radar could see of each label."""
        which = self._labelled(t)
        boxes = None
        if isinstance(sensor, CameraSensor):
            boxes = truth.image_boxes(self.world, which, t, self._world_SE3(sensor, t).inverse(), sensor)
        return truth.visibility(self.world, which, sensor.name, self._shares((sensor,), which, t)[0], boxes)

    def sensor(self, sensor: Sensor, clock_offset_ns: int, clock_skew_ppb: float) -> TruthSensor:
        """Where a sensor really sits, and how wrong its clock is."""
        mounted = self._mounted[sensor.name]
        return TruthSensor(
            sensor=sensor.name,
            clock_offset_ns=clock_offset_ns,
            clock_skew_ppb=clock_skew_ppb,
            translation=tuple(mounted.translation.tolist()),
            rotation_wxyz=tuple(mounted.quaternion.tolist()),
        )

    # --- made once

    @cached_property
    def caster(self) -> Caster:
        return Caster(self.world)

    @cached_property
    def _visibility(self) -> Visibility:
        return Visibility(self.caster)

    @cached_property
    def odometry(self) -> Odometry:
        return Odometry(self.world.ego, self.world.duration, self.settings.odometry, self.drawn_once("odometry"))

    def mounted(self, sensor: Sensor) -> SE3:
        """``ego_SE3_sensor`` as it really is."""
        return self._mounted[sensor.name]

    def drawn_once(self, what: str) -> np.random.Generator:
        """For errors that last a whole drive: the same for the same seed and ``what``."""
        return np.random.default_rng([self.world.seed, zlib.crc32(what.encode())])

    @cached_property
    def _scene(self) -> Scene:
        return Scene(self.world)

    def _place(self, sensor: Sensor) -> SE3:
        """``ego_SE3_sensor`` as it really is: near where the rig says."""
        rng = self.drawn_once(f"place of {sensor.name}")
        error = np.concatenate(
            [
                rng.normal(0.0, self.settings.mounting.position, 3),
                rng.normal(0.0, self.settings.mounting.angle, 3),
            ]
        )
        return sensor.ego_SE3_sensor @ SE3.exp(error)

    def _draw(self, camera: str, t: float) -> Exposure:
        sensor = self.rig[camera]
        assert isinstance(sensor, CameraSensor), f"{camera} is no camera"
        if camera not in self._renderers:
            self._renderers[camera] = CameraRenderer(self.world, sensor, self._scene)
        return self._renderers[camera].frame(t, ego_SE3_camera=self._mounted[camera])

    def _returns(self, lidar: LidarSensor, which: npt.NDArray[np.int64], t: float) -> npt.NDArray[np.int32]:
        """(K,) on each of actors ``which``. Who plays the LiDAR too casts the sweep once for both; who does not, casts
        no more of it than is needed. Both count the same."""
        if self._sweeps:
            _, of_point = self._sweep(lidar, t)
            counts = np.bincount(of_point[of_point >= 0], minlength=len(self.world.actors))[which]
        else:
            counts = returns_on(self.caster, lidar, t, self._luck(lidar, t), which, self._mounted[lidar.name])
        return counts.astype(np.int32)

    def _cast_sweep(self, lidar: LidarSensor, t: float) -> tuple[PointCloud, npt.NDArray[np.int32]]:
        return lidar_sweep(self.caster, lidar, t, self._luck(lidar, t), self._mounted[lidar.name])

    def _luck(self, lidar: LidarSensor, t: float) -> np.random.Generator:
        """The noise of the sweep that ends at ``t``, whoever asks."""
        return np.random.default_rng([self.world.seed, round(t * 1e6), zlib.crc32(lidar.name.encode())])

    def _spray(self, camera: CameraSensor, t: float, depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
        """(H / 2, W / 2) optical depth of spray before what is seen; None where there is none."""
        cloud = plumes(self.world, t)
        if not cloud:
            return None
        seen, some = self._world_SE3(camera, t), slice(None, None, _COARSE)
        ray = (_rays(camera)[some, some].reshape(-1, 3) @ seen.rotation.T).astype(np.float32)
        reach = np.maximum(depth[some, some], 0.0)
        return optical_depth(cloud, seen.translation, ray, reach.reshape(-1)).reshape(reach.shape)

    def _labelled(self, t: float) -> npt.NDArray[np.int64]:
        """Indices in the world of the actors that are labelled at ``t``."""
        away = self.world.motions.pose(t).translation - self.world.ego.position(t)
        return np.flatnonzero(np.einsum("kj,kj->k", away, away) < _LABELLED_M**2)

    def _shares(self, sensors: Sequence[Sensor], which: npt.NDArray[np.int64], t: float) -> npt.NDArray[np.float32]:
        """(sensors, K) what each could see of actors ``which``."""
        eyes = [(self._world_SE3(sensor, t), partial(in_view, sensor)) for sensor in sensors]
        return self._visibility.shares(t, eyes, which).astype(np.float32)

    def _world_SE3(self, sensor: Sensor, t: float) -> SE3:
        return self.world.ego.pose(t) @ self._mounted[sensor.name]


def along_ray(exposure: Exposure, camera: CameraSensor) -> npt.NDArray[np.float32]:
    """(H, W) metres from the camera, from metres along the optical axis."""
    return np.asarray(exposure.depth * _stretch(camera), np.float32)


@lru_cache(maxsize=16)
def _stretch(camera: CameraSensor) -> npt.NDArray[np.float32]:
    """(H, W) length of a pixel's ray for one metre along the axis."""
    return np.asarray(1.0 / _rays(camera)[..., 2], np.float32)


@lru_cache(maxsize=16)
def _rays(camera: CameraSensor) -> npt.NDArray[np.float64]:
    """(H, W, 3) unit vectors of the pixels, camera frame."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64))
    return camera.intrinsics.unproject(np.stack([u, v], axis=-1).reshape(-1, 2)).reshape(*u.shape, 3)
