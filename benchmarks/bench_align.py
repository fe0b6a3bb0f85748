"""Alignment: messages per second and time per frame set, of the algorithm and of the node with real detections.

    python -m benchmarks align

Twelve sensors at 10 Hz with jitter, counts of their streams, and poses at 100 Hz for the node. The limit of the
algorithm is the cheapest thing that could be called alignment: a dictionary per period, filled and emptied.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic, LidarSensor, RadarSensor, Rig, Sensor
from nodes.align import Align, AlignSettings
from pipeline.core.messages import C, Detections, EgoPose, Message, Stamp, StreamStatus
from pipeline.sync.align import Aligner, AlignerSettings

MS = 1_000_000
PERIOD = 100 * MS
START = 1_700_000_000_000_000_000
SENSORS = 12
TARGET_RATE, TARGET_SET = 50_000, 200.0


def stamps(sets: int) -> list[tuple[str, Stamp]]:
    """Of all sensors, in order of arrival."""
    rng = random.Random(0)
    out = []
    for n in range(sets):
        for s in range(SENSORS):
            time_ns = START + n * PERIOD + s * 4 * MS + rng.randrange(MS)
            arrival_ns = time_ns + 15 * MS + int(rng.expovariate(1 / (5 * MS)))
            stamp = Stamp(sensor_ns=time_ns, arrival_ns=arrival_ns, time_ns=time_ns, sigma_ns=50_000, sequence=n)
            out.append((f"s{s}", stamp))
    return sorted(out, key=lambda item: item[1].arrival_ns)


def seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """Median of the processor time of a run: others share this machine."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def by_dictionary(items: list[tuple[str, Stamp]]) -> int:
    frames: dict[int, dict[str, Stamp]] = {}
    complete = 0
    for sensor, stamp in items:
        key = stamp.time_ns // PERIOD
        slots = frames.setdefault(key, {})
        slots[sensor] = stamp
        if len(slots) == SENSORS:
            complete += len(frames.pop(key))
    return complete


def by_aligner(items: list[tuple[str, Stamp]], counts: bool) -> int:
    aligner = Aligner({f"s{s}": PERIOD for s in range(SENSORS)}, AlignerSettings(reference="s0"))
    out = 0
    for n, (sensor, stamp) in enumerate(items):
        aligner.push(sensor, stamp, None)
        if counts and n % 24 == 0:
            aligner.stream_status(sensor, 0, StreamStatus(sent=stamp.sequence + 1, watermark_ns=stamp.arrival_ns))
        out += len(aligner.advance())
    return out + len(aligner.finish())


def rig() -> Rig:
    mount = Extrinsic(translation=(1.0, 0.0, 1.5), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))
    lens = Pinhole(fx=500, fy=500, cx=320, cy=240)
    sensors: list[Sensor] = [LidarSensor(name="s0", extrinsic=mount)]
    sensors += [
        CameraSensor(name=f"s{s}", extrinsic=mount, width=640, height=480, intrinsics=lens) for s in range(1, 7)
    ]
    sensors += [RadarSensor(name=f"s{s}", extrinsic=mount) for s in range(7, SENSORS)]
    return Rig(vehicle="bench", sensors=tuple(sensors))


def detections(sensor: str, modality: Any, count: int = 30) -> Detections:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((count, *shape), np.float32)

    return Detections(
        sensor=sensor,
        modality=modality,
        origin=(1.0, 0.0, 1.5),
        position=zeros(3),
        position_cov=np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)),
        size=zeros(3),
        size_sigma=zeros(3),
        yaw=zeros(),
        yaw_sigma=zeros(),
        velocity=zeros(2),
        velocity_cov=zeros(2, 2),
        radial_speed=zeros(),
        radial_sigma=zeros(),
        class_score=zeros(C),
        score=zeros(),
        box2d=zeros(4),
        time_offset_ns=np.zeros(count, np.int32),
        points=np.zeros(count, np.int32),
        embedding=np.zeros((count, 64), np.float32),
    )


def node_messages(sets: int) -> list[Message]:
    car = rig()
    seen = {s.name: detections(s.name, s.modality) for s in car.sensors}
    out = [Message(f"detections/{name}", stamp, seen[name]) for name, stamp in stamps(sets)]
    for n in range(sets * 10 + 40):
        time_ns = START + (n - 20) * 10 * MS
        stamp = Stamp(sensor_ns=time_ns, arrival_ns=time_ns + MS, time_ns=time_ns, sequence=n)
        out.append(
            Message("pose/ego", stamp, EgoPose(position=(n * 0.1, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))
        )
    return sorted(out, key=lambda m: m.stamp.arrival_ns)


def by_node(messages: list[Message]) -> int:
    node = Align(AlignSettings(), rig())
    return sum(m.topic == "frames" for message in messages for m in node.step(message, 0))


def run() -> list[dict[str, Any]]:
    sets = 2000
    items = stamps(sets)
    bare = seconds(lambda: by_dictionary(items))
    plain = seconds(lambda: by_aligner(items, counts=False))
    counted = seconds(lambda: by_aligner(items, counts=True))
    node_sets = 200
    messages = node_messages(node_sets)
    node = seconds(lambda: by_node(messages), repeats=3)

    def row(name: str, value: float, unit: str, limit: float, limit_name: str) -> dict[str, Any]:
        return {
            "name": name,
            "value": value,
            "unit": unit,
            "limit": limit,
            "limit_name": limit_name,
            "ratio": value / limit,
        }

    return [
        row("aligner", len(items) / plain, "messages/s", len(items) / bare, "a dictionary per period"),
        row("aligner with stream counts", len(items) / counted, "messages/s", TARGET_RATE, "target: at least"),
        row("frame set of 12 sensors", plain / sets * 1e6, "us", TARGET_SET, "target: at most"),
        row(
            "align node, 12 x 30 detections, poses", node / node_sets * 1e6, "us/frame set", 100_000, "period at 10 Hz"
        ),
        row("align node", len(messages) / node, "messages/s", SENSORS * 10 + 100, "what such a car sends"),
    ]


if __name__ == "__main__":
    for line in run():
        print(
            f"{line['name']:40s} {line['value']:12,.1f} {line['unit']:14s} {line['limit_name']}: {line['limit']:,.0f}"
        )
