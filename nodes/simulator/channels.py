"""Every topic of a simulated drive: when its messages are made, by which stamps, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, GnssSensor, ImuSensor, LidarSensor, RadarSensor, Sensor
from nodes.simulator import truth
from nodes.simulator.instruments import Instruments
from nodes.simulator.sensors.clocks import BEHAVIOURS, StampTable, stamps
from nodes.simulator.sensors.inertial import (
    GnssSettings,
    ImuSettings,
    WheelSettings,
    gnss_fixes,
    imu_samples,
    wheel_speeds,
)
from pipeline.core.arrays import Payload

START_NS = 1_760_000_000_000_000_000
"""Vehicle clock at the start of every scenario: in October 2025."""

Make: TypeAlias = Callable[[int, float, np.random.Generator], Payload]
"""Message number, instant in s, and a generator of its own -> payload."""
Times: TypeAlias = npt.NDArray[np.int64]

_POSE_RATE_HZ = 100.0
_POSE_LATENCY_NS = 1_000_000
_PHASE = {"camera": 0.5, "lidar": 0.0, "radar": 0.7}  # of a period, by which a modality's instants come later


class Channel(NamedTuple):
    """One topic, K messages. t: (K,) float64 s since the start of the scenario, the instant that each is of. The rest:
    (K,) int64, as in `Stamp`."""

    topic: str
    t: npt.NDArray[np.float64]
    sensor_ns: Times
    arrival_ns: Times
    time_ns: Times
    sigma_ns: Times
    sequence: Times
    epoch: Times
    make: Make


def channels(instruments: Instruments, duration: float) -> list[Channel]:
    """All topics of a drive of ``duration`` seconds."""
    tables = {sensor.name: _stamps(instruments, sensor, duration) for sensor in instruments.rig.sensors}
    out = []
    for sensor in instruments.rig.sensors:
        table = tables[sensor.name]
        out.append(_measured(instruments, sensor, table))
        out.append(_sensor_truth(instruments, sensor, table, duration))
    lidars = instruments.rig.lidars
    labels = _seconds(tables[lidars[0].name]) if lidars else np.arange(0.1, duration, 0.1)  # where sweeps end
    seeing: tuple[Sensor, ...] = (*instruments.rig.cameras, *lidars, *instruments.rig.radars)
    out += [_visibility(instruments, sensor, tables[sensor.name]) for sensor in seeing]
    return [*out, *_on_vehicle_clock(instruments, duration, labels)]


def _stamps(instruments: Instruments, sensor: Sensor, duration: float) -> StampTable:
    """A sweep is of its end; the first one is a whole one."""
    period = 1.0 / sensor.rate_hz
    first = _PHASE.get(sensor.modality, 0.0) * period or period
    rng = instruments.drawn_once(f"clock of {sensor.name}")
    return stamps(sensor.clock, BEHAVIOURS[sensor.modality], START_NS, first, duration, sensor.rate_hz, rng)


def _seconds(table: StampTable) -> npt.NDArray[np.float64]:
    return np.asarray((table.true_ns - START_NS) * 1e-9)


def _measured(instruments: Instruments, sensor: Sensor, table: StampTable) -> Channel:
    """What a sensor of the rig gives; a GNSS receiver is silent where it sees no sky."""
    t = _seconds(table)
    keep = np.ones(len(t), bool)
    make: Make
    if isinstance(sensor, CameraSensor):
        make = _of_instant(partial(instruments.image, sensor))
    elif isinstance(sensor, LidarSensor):
        make = _of_instant(partial(instruments.sweep, sensor))
    elif isinstance(sensor, RadarSensor):
        make = _of_instant(partial(instruments.scan, sensor))
    else:
        samples = _inertial(instruments, sensor, t)
        keep = np.array([sample is not None for sample in samples], dtype=bool)
        make = _listed([sample for sample in samples if sample is not None])
    return Channel(
        topic=f"{sensor.modality}/{sensor.name}",
        t=t[keep],
        sensor_ns=table.sensor_ns[keep],
        arrival_ns=table.arrival_ns[keep],
        time_ns=table.time_ns[keep],
        sigma_ns=table.sigma_ns[keep],
        sequence=table.sequence[keep],
        epoch=table.epoch[keep],
        make=make,
    )


def _inertial(instruments: Instruments, sensor: Sensor, t: npt.NDArray[np.float64]) -> Sequence[Payload | None]:
    """All samples of a drive: their errors last, so they are made together."""
    world, rng = instruments.world, instruments.drawn_once(f"errors of {sensor.name}")
    if isinstance(sensor, ImuSensor):
        return imu_samples(world, instruments.mounted(sensor), t, ImuSettings(), rng)
    if isinstance(sensor, GnssSensor):
        return gnss_fixes(world, instruments.mounted(sensor), t, GnssSettings(), rng)
    return wheel_speeds(world, t, WheelSettings(), rng)


def _of_instant(make: Callable[[float, np.random.Generator], Payload]) -> Make:
    return lambda _, t, rng: make(t, rng)


def _listed(payloads: Sequence[Payload]) -> Make:
    return lambda i, _, __: payloads[i]


def _on_vehicle_clock(instruments: Instruments, duration: float, labels: npt.NDArray[np.float64]) -> Iterator[Channel]:
    """Dead reckoning and truth, whose stamps are exact."""
    poses = np.arange(0.0, duration, 1.0 / _POSE_RATE_HZ)
    yield _exact("pose/ego", poses, instruments.pose, _POSE_LATENCY_NS)
    yield _exact("truth/ego", poses[::10], partial(truth.ego, instruments.world))
    yield _exact("truth/objects", labels, instruments.objects)
    yield _exact("truth/behaviour", labels, instruments.behaviour)


def _visibility(instruments: Instruments, sensor: Sensor, table: StampTable) -> Channel:
    """At the sensor's own instants."""
    return _exact(f"truth/visibility/{sensor.name}", _seconds(table), partial(instruments.visibility, sensor))


def _sensor_truth(instruments: Instruments, sensor: Sensor, table: StampTable, duration: float) -> Channel:
    """Once a second: where the sensor really sits, and how wrong its clock is by then."""
    known = _seconds(table)

    def make(t: float) -> Payload:
        offset_ns = round(float(np.interp(t, known, table.clock_offset_ns)))
        return instruments.sensor(sensor, offset_ns, float(np.interp(t, known, table.clock_skew_ppb)))

    return _exact(f"truth/sensor/{sensor.name}", np.arange(0.0, duration, 1.0), make)


def _exact(topic: str, t: npt.NDArray[np.float64], make: Callable[[float], Payload], latency_ns: int = 0) -> Channel:
    time_ns = START_NS + np.rint(t * 1e9).astype(np.int64)
    none, count = np.zeros(len(t), np.int64), np.arange(len(t), dtype=np.int64)
    return Channel(topic, t, time_ns, time_ns + latency_ns, time_ns, none, count, none, lambda _, at, __: make(at))
