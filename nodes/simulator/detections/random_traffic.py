"""Traffic at random on one road, for clips: simple, quick, and enough to learn association from.

A road of constant curvature with lanes both ways, some lorries with trailers, parked cars, people on the pavements and
across the road, houses. Nobody reacts to anybody but by keeping the distance that there is; lane changes and braking
happen by themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.simulator.scenario.trailer import BEHIND, TRACTOR, TRAILER
from nodes.simulator.world.mesh import Mesh, box
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World

FloatArray = npt.NDArray[Any]  # float32 or float64

_LANE_M = 3.5
_STEP_S = 0.25
_MOVING = ("sedan", "hatchback", "suv", "van", "pickup", "box_truck", "lorry", "bus", "motorcycle", TRACTOR)
_MOVING_SHARE = np.array([0.28, 0.14, 0.18, 0.08, 0.06, 0.07, 0.05, 0.04, 0.06, 0.04])
_PEOPLE = 9.0  # on a pavement of 200 m, in the densest traffic
_AHEAD_M = (-40.0, 160.0)  # where traffic is at the start, along the road from the vehicle


def random_traffic(seed: int, duration: float) -> World:
    """A world of its own for every seed; ``duration`` in s."""
    rng = np.random.default_rng([seed, 5])
    times = np.arange(0.0, duration + _STEP_S, _STEP_S)
    curvature = float(rng.choice([0.0, rng.uniform(-1, 1) / 150.0]))
    speed = rng.uniform(0.0, 16.0)
    lanes = int(rng.integers(1, 4))
    density = rng.uniform(0.3, 1.0)
    actors: list[Actor] = []

    def add(
        name: str, s: FloatArray, d: FloatArray, backward: bool = False, turn: float = 0.0, towed_by: int = 0
    ) -> None:
        of = shape(name)
        motion = _along(times, s, d, curvature, backward, turn)
        paint = tuple(int(v) for v in rng.integers(20, 235, 3))
        number = len(actors) + 1
        actors.append(Actor(number, of.kind, of.size, name, paint, motion, (), towed_by))  # type: ignore[arg-type]
        if name == TRACTOR:  # on a bend this gentle the trailer runs in the tractor's track
            behind = 0.5 * of.size[0] + BEHIND - 0.5 * shape(TRAILER).size[0]
            add(TRAILER, s + behind * (1.0 if backward else -1.0), d, backward, towed_by=number)

    for lane in range(-lanes, lanes):
        backward = lane >= 0
        flow = max(speed + rng.normal(0.0, 2.0), 0.0) if not backward else rng.uniform(3.0, 16.0)
        s = _AHEAD_M[0] + rng.uniform(0.0, 20.0)
        while s < _AHEAD_M[1]:
            name = str(rng.choice(_MOVING, p=_MOVING_SHARE))
            length = shape(name).size[0] + (2.0 * BEHIND if name == TRACTOR else 0.0)  # room on both sides of it
            s += length / 2
            if rng.random() < density and not (lane == -1 and abs(s) < 12.0 + length):
                own = np.maximum(flow + _wander(times, 1.5, rng), 0.0)
                along = s + np.cumsum(own) * _STEP_S * (-1.0 if backward else 1.0)
                across = np.full(len(times), (lane + 0.5) * _LANE_M) + 0.3 * _wander(times, 0.5, rng)
                if not backward and rng.random() < 0.1 and lanes > 1:
                    start, to = rng.uniform(1.0, duration), (lane + 0.5 + (1 if lane < -1 else -1)) * _LANE_M
                    across += (to - across) / (1.0 + np.exp(-2.0 * (times - start)))
                add(name, along, across, backward)
            s += length / 2 + rng.uniform(6.0, 45.0)
    kerb = lanes * _LANE_M + 1.2
    still = np.zeros(len(times))
    for side in (-1.0, 1.0):
        s = _AHEAD_M[0]
        while s < _AHEAD_M[1] + speed * duration:
            s += rng.uniform(6.5, 30.0)
            if rng.random() < 0.5 * density:
                add(str(rng.choice(_MOVING[:5])), s + still, side * kerb + still, side > 0)
        for _ in range(int(rng.poisson(_PEOPLE * density))):
            pace = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.0, 1.8))
            start = rng.uniform(_AHEAD_M[0], _AHEAD_M[1])
            add("adult", start + pace * times, side * (kerb + rng.uniform(1.5, 3.5)) + 0.2 * _wander(times, 0.5, rng),
                pace < 0)  # fmt: skip
    for _ in range(int(rng.poisson(2.0))):
        pace = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 2.0))
        across = -np.sign(pace) * (kerb + 2.0) + pace * (times - rng.uniform(0.0, 8.0))
        add("adult", rng.uniform(20.0, 90.0) + still, across, turn=np.sign(pace) * np.pi / 2)
    for _ in range(int(rng.poisson(1.0))):
        add(
            "bicycle",
            rng.uniform(10.0, 80.0) + rng.uniform(2.5, 6.0) * times,
            -(kerb - 1.8) + 0.2 * _wander(times, 0.5, rng),
        )
    ego = _along(times, speed * times, np.full(len(times), -0.5 * _LANE_M), curvature)
    return World(f"traffic-{seed}", seed, duration, ego, tuple(actors), _houses(kerb, curvature, rng))


def _along(
    times: FloatArray, s: FloatArray, d: FloatArray, curvature: float, backward: bool = False, turn: float = 0.0
) -> Motion:
    """Along the road at arc length ``s`` and ``d`` to its left, m; on an arc of constant curvature."""
    x, y, heading = _on_road(s, d, curvature)
    return Motion(times, np.stack([x, y, np.zeros(len(x))], axis=1), heading + (np.pi if backward else 0.0) + turn)


def _on_road(s: FloatArray, d: FloatArray, curvature: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    bend = curvature if abs(curvature) > 1e-9 else 1e-9
    heading = bend * s
    return np.sin(heading) / bend - d * np.sin(heading), (1 - np.cos(heading)) / bend + d * np.cos(heading), heading


def _wander(times: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random function of time, zero at the start."""
    phase, rate = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.05, 0.5, 3)
    waves = np.sin(np.outer(times, 2 * np.pi * rate) + phase) - np.sin(phase)
    return np.asarray(sigma / np.sqrt(3.0) * waves.sum(axis=1))


def _houses(kerb: float, curvature: float, rng: np.random.Generator) -> Mesh:
    meshes = []
    for side in (-1.0, 1.0):
        s = -120.0
        while s < 500.0:
            long = rng.uniform(8.0, 30.0)
            s += long / 2
            if rng.random() < 0.7:
                d = side * (kerb + rng.uniform(6.0, 18.0) + 5.0)
                x, y, _ = _on_road(np.array([s]), np.array([d]), curvature)
                meshes.append(box((long, 8.0, 7.0), "brick", (150, 90, 80), centre=(float(x[0]), float(y[0]))))
            s += long / 2 + rng.uniform(2.0, 20.0)
    return Mesh.joined(meshes)
