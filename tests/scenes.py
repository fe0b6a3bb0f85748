"""Small detection-level worlds for tests of fusion: objects at constant velocity, sensors with known noise."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from pipeline.core.messages import CLASSES, C, Detections, FrameSet, SensorSlot

PERIOD_NS = 100_000_000


@dataclasses.dataclass(frozen=True)
class Thing:
    """start (x, y, z) m and velocity (vx, vy) m/s at time 0, odom frame."""

    start: tuple[float, float, float]
    velocity: tuple[float, float]
    kind: str = "car"
    size: tuple[float, float, float] = (4.5, 1.9, 1.6)

    def at(self, seconds: float) -> np.ndarray:
        x, y, z = self.start
        return np.array([x + self.velocity[0] * seconds, y + self.velocity[1] * seconds, z])


@dataclasses.dataclass(frozen=True)
class Sensor:
    """sigma: position noise x, y, z, m. offset_ns: measured so much before the reference instant. bias: m, silent."""

    name: str
    modality: Literal["camera", "lidar", "radar"]
    sigma: tuple[float, float, float] = (0.2, 0.2, 0.1)
    offset_ns: int = 0
    detection: float = 1.0
    clutter: float = 0.0
    radial_sigma: float = float("nan")
    ambiguity: float = 0.0
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    score: float = 0.9


def detections(sensor: Sensor, things: list[Thing], seconds: float, rng: np.random.Generator) -> Detections:
    """What ``sensor`` sees at ``seconds`` minus its offset; ego = odom."""
    instant = seconds - sensor.offset_ns * 1e-9
    seen = [thing for thing in things if rng.random() < sensor.detection]
    position = np.array([thing.at(instant) for thing in seen]).reshape(-1, 3)
    velocity = np.array([thing.velocity for thing in seen]).reshape(-1, 2)
    position = position + rng.normal(size=position.shape) * sensor.sigma + sensor.bias
    false = rng.poisson(sensor.clutter)
    ghosts = rng.uniform([-60, -60, 0], [60, 60, 1], size=(false, 3))
    sight = position / np.linalg.norm(position, axis=1, keepdims=True)
    radial = (sight[:, :2] * velocity).sum(axis=1) + rng.normal(size=len(seen)) * sensor.radial_sigma
    radial = np.concatenate([radial, rng.uniform(-5, 5, size=false)])
    if sensor.ambiguity:
        radial = (radial + sensor.ambiguity / 2) % sensor.ambiguity - sensor.ambiguity / 2
    kinds = [CLASSES.index(thing.kind) for thing in seen] + rng.integers(0, C, size=false).tolist()
    sizes = np.array([thing.size for thing in seen] + [(1.0, 1.0, 1.0)] * false).reshape(-1, 3)
    n = len(kinds)
    class_score = np.zeros((n, C), dtype=np.float32)
    class_score[np.arange(n), kinds] = np.linspace(0.7, 1.0, n) if n else 0.0
    f4 = np.float32
    return Detections(
        sensor=sensor.name,
        modality=sensor.modality,
        origin=(0.0, 0.0, 0.0),
        position=np.concatenate([position, ghosts]).astype(f4),
        position_cov=np.tile(np.diag(np.square(sensor.sigma)), (n, 1, 1)).astype(f4),
        size=sizes.astype(f4),
        size_sigma=np.full((n, 3), 0.2, dtype=f4),
        yaw=np.full(n, np.nan, dtype=f4),
        yaw_sigma=np.full(n, 4.0, dtype=f4),
        velocity=np.full((n, 2), np.nan, dtype=f4),
        velocity_cov=np.full((n, 2, 2), np.nan, dtype=f4),
        radial_speed=radial.astype(f4),
        radial_sigma=np.full(n, sensor.radial_sigma, dtype=f4),
        radial_ambiguity=sensor.ambiguity,
        class_score=class_score,
        score=np.concatenate([np.full(len(seen), sensor.score), rng.uniform(0.1, 0.4, size=false)]).astype(f4),
        box2d=np.full((n, 4), np.nan, dtype=f4),
        time_offset_ns=np.full(n, -sensor.offset_ns, dtype=np.int32),
        points=np.full(n, 20, dtype=np.int32),
        embedding=np.zeros((n, 0), dtype=f4),
    )


def slot(sensor: Sensor, seen: Detections | None, missing: str = "") -> SensorSlot:
    return SensorSlot(sensor=sensor.name, modality=sensor.modality, missing=missing, detections=seen)


def frame_set(index: int, slots: list[SensorSlot]) -> FrameSet:
    return FrameSet(index=index, position=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0), slots=tuple(slots))


def drive(
    things: list[Thing], sensors: list[Sensor], frames: int, seed: int = 0, start: int = 0
) -> list[tuple[FrameSet, int]]:
    """Frame sets with their reference instants at 10 Hz."""
    rng = np.random.default_rng(seed)
    return [
        (
            frame_set(i, [slot(sensor, detections(sensor, things, i * 0.1, rng)) for sensor in sensors]),
            i * PERIOD_NS,
        )
        for i in range(start, start + frames)
    ]
