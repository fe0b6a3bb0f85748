"""A drive for fault tests of whole runs: small payloads that say what they are, and stamps with faults in them.

It is written as a recording, so that every process of a run opens it by its path as it would any drive.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Clock, Extrinsic, LidarSensor, RadarSensor, Rig
from nodes.sources.stamp import Stamper, StampSettings
from pipeline.core.arrays import Payload
from pipeline.core.messages import (
    POINT,
    RADAR_POINT,
    CameraImage,
    EgoPose,
    Message,
    PointCloud,
    RadarScan,
    RunInfo,
    Stamp,
)
from pipeline.core.recording import RecordingWriter
from pipeline.core.settings import to_yaml

MS = 1_000_000
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
HEIGHT, WIDTH, POINTS, RETURNS = 90, 160, 2000, 6  # images and sweeps are larger than what a bus sends inline
PERIOD_NS = {"camera/front": 100 * MS, "lidar/top": 100 * MS, "radar/bumper": 50 * MS, "pose/ego": 10 * MS}
DELAY_NS = {"camera/front": 18 * MS, "lidar/top": 4 * MS, "radar/bumper": 9 * MS, "pose/ego": MS}


class StampFault(NamedTuple):
    """``kind``: duplicated, reordered, or jumped (the device's clock steps by 7 s), in [start, end) s of the drive."""

    topic: str
    kind: str
    start_s: float
    end_s: float


def rig() -> Rig:
    mount = Extrinsic(translation=(1.0, 0.0, 1.5), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
    ahead = Extrinsic(translation=(1.0, 0.0, 1.5), rotation_wxyz=(0.5, -0.5, 0.5, -0.5))
    lens = Pinhole(fx=100.0, fy=100.0, cx=(WIDTH - 1) / 2, cy=(HEIGHT - 1) / 2)
    return Rig(
        vehicle="stubborn",
        sensors=(
            CameraSensor(name="front", extrinsic=ahead, width=WIDTH, height=HEIGHT, rate_hz=10.0, intrinsics=lens),
            LidarSensor(name="top", extrinsic=mount, rate_hz=10.0),
            RadarSensor(name="bumper", extrinsic=mount, rate_hz=20.0),
        ),
    )


def payload(topic: str, key: int) -> Payload:
    """What the ``key``-th measurement of a topic holds: noise that no other one has."""
    rng = np.random.default_rng([key, *topic.encode()])
    if topic.startswith("camera/"):
        data = np.repeat(rng.integers(90, 110, HEIGHT * WIDTH, np.uint8), 3)  # grey, so that there is nothing to see
        return CameraImage(height=HEIGHT, width=WIDTH, encoding="bgr8", data=data)
    if topic.startswith("lidar/"):
        points = np.zeros(POINTS, POINT)
        points["x"], points["y"], points["z"] = *rng.uniform(-30.0, 30.0, (2, POINTS)), -1.5  # the bare road
        points["t_ns"] = np.linspace(-50 * MS, 0, POINTS)
        return PointCloud(points=points)
    if topic.startswith("radar/"):
        returns = np.zeros(RETURNS, RADAR_POINT)
        returns["x"], returns["y"] = rng.uniform(5.0, 80.0, RETURNS), rng.uniform(-5.0, 5.0, RETURNS)
        return RadarScan(points=returns)
    return EgoPose(position=(key * 0.1, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), linear_velocity=(10.0, 0.0, 0.0))


def write_drive(path: Path, seconds: float, faults: list[StampFault]) -> dict[tuple[str, int, int], int]:
    """Write the drive; returns by topic, epoch and sequence which measurement a message holds."""
    keys: dict[tuple[str, int, int], int] = {}
    messages: list[Message] = []
    for topic in PERIOD_NS:
        stream = list(_measured(topic, seconds, [f for f in faults if f.topic == topic]))
        keys |= {(topic, message.stamp.epoch, message.stamp.sequence): key for key, message in stream}
        messages += _spoiled([message for _, message in stream], [f for f in faults if f.topic == topic])
    messages.sort(key=lambda message: message.stamp.arrival_ns)
    info = RunInfo(drive="stubborn", version="1", rig_yaml=to_yaml(rig()), graph_yaml="")
    stamp = Stamp(sensor_ns=START, arrival_ns=START, time_ns=START, sequence=0)
    with RecordingWriter(path, Message("run/info", stamp, info)) as writer:
        for message in messages:
            writer.write(message)
    return keys


def _measured(topic: str, seconds: float, faults: list[StampFault]) -> Iterator[tuple[int, Message]]:
    """What the driver of one sensor gives: stamped by a clock of its own, which now and then jumps."""
    rng = random.Random(topic)
    stamper = Stamper(topic, Clock(discipline="free" if topic != "pose/ego" else "vehicle"), StampSettings())
    step_ns = 0
    pending = [fault for fault in faults if fault.kind == "jumped"]
    for key in range(round(seconds * SECOND) // PERIOD_NS[topic]):
        true_ns = START + key * PERIOD_NS[topic]
        if pending and (true_ns - START) / SECOND >= pending[0].start_s:
            step_ns += 7 * SECOND if topic != "pose/ego" else 0
            pending.pop(0)
        arrival_ns = true_ns + DELAY_NS[topic] + int(rng.expovariate(1 / MS))
        for message in stamper.take(payload(topic, key), true_ns + step_ns, arrival_ns):
            if message.topic == topic:
                yield key, message


def _spoiled(stream: list[Message], faults: list[StampFault]) -> list[Message]:
    """Said twice, or out of order, while a fault holds."""
    rng = random.Random(str(faults))
    out = list(stream)
    for index, message in enumerate(stream):
        now = (message.stamp.arrival_ns - START) / SECOND
        for fault in faults:
            if not fault.start_s <= now < fault.end_s:
                continue
            if fault.kind == "duplicated" and rng.random() < 0.3:
                later = msgspec.structs.replace(message.stamp, arrival_ns=message.stamp.arrival_ns + 3 * MS)
                out.append(Message(message.topic, later, message.payload))
            elif fault.kind == "reordered" and index % 2 and rng.random() < 0.8:
                before, after = out[index - 1], out[index]
                out[index - 1] = _arriving(before, after.stamp.arrival_ns)
                out[index] = _arriving(after, before.stamp.arrival_ns)
    return out


def _arriving(message: Message, arrival_ns: int) -> Message:
    return Message(message.topic, msgspec.structs.replace(message.stamp, arrival_ns=arrival_ns), message.payload)
