"""Which driver reads which sensor of the rig: one YAML per vehicle under `configs/live/`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from calibration.rig import CameraSensor, GnssSensor, ImuSensor, LidarSensor, RadarSensor, Rig, Sensor
from nodes.sources.live.camera import Camera, CameraSettings
from nodes.sources.live.driver import Driver, OpenFeed
from nodes.sources.live.imu_udp import ImuUdp, ImuUdpSettings
from nodes.sources.live.nmea import Nmea, NmeaSettings
from nodes.sources.live.radar_udp import RadarUdp, RadarUdpSettings
from nodes.sources.live.velodyne import Velodyne, VelodyneSettings
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings, load_yaml

LiveSensor: TypeAlias = CameraSettings | VelodyneSettings | RadarUdpSettings | NmeaSettings | ImuUdpSettings


class LiveConfig(Settings, frozen=True):
    """rig: YAML file, relative to this one. sensors: name in the rig -> its driver; the rig's others are not read."""

    rig: str
    sensors: dict[str, LiveSensor]


def load_live(path: Path) -> tuple[dict[str, LiveSensor], Rig]:
    """The drivers, and the rig of the sensors that have one.

    Raises:
        BadInput: a file that cannot be read, a sensor that the rig does not have or that its driver cannot read.
    """
    config = load_yaml(path, LiveConfig)
    if not config.sensors:
        raise BadInput(path, "sensors", "at least one", "none")
    rig = load_yaml(path.parent / config.rig, Rig)
    names = [sensor.name for sensor in rig.sensors]
    for name, settings in config.sensors.items():
        if name not in names:
            raise BadInput(path, f"sensors.{name}", f"a sensor of {config.rig}: {names}", name)
        _modality_fits(name, settings, rig[name], path)
    return config.sensors, Rig(vehicle=rig.vehicle, sensors=tuple(s for s in rig.sensors if s.name in config.sensors))


def open_driver(settings: LiveSensor, sensor: Sensor, clock: Clock, open_feed: OpenFeed) -> Driver:
    """Open a device.

    Args:
        open_feed: makes the datagrams of a sensor that is heard over a network; `pipeline.transport.feed.open_feed`.

    Raises:
        BadInput: settings that cannot work, an address that cannot be bound.
    """
    _modality_fits(sensor.name, settings, sensor, "driver")
    if isinstance(settings, CameraSettings):
        assert isinstance(sensor, CameraSensor)
        return Camera(settings, sensor, clock)
    if isinstance(settings, VelodyneSettings):
        return Velodyne(settings, open_feed(settings.receive), clock)
    if isinstance(settings, NmeaSettings):
        return Nmea(settings, open_feed(settings.receive), clock)
    if isinstance(settings, ImuUdpSettings):
        return ImuUdp(settings, open_feed(settings.receive), clock)
    return RadarUdp(settings, open_feed(settings.receive), clock)


def _modality_fits(name: str, settings: LiveSensor, sensor: Sensor, source: object) -> None:
    kinds = {
        CameraSettings: CameraSensor,
        VelodyneSettings: LidarSensor,
        RadarUdpSettings: RadarSensor,
        NmeaSettings: GnssSensor,
        ImuUdpSettings: ImuSensor,
    }
    if not isinstance(sensor, kinds[type(settings)]):
        raise BadInput(source, f"sensors.{name}", f"a driver for a {sensor.modality}", type(settings).__name__)
