"""Labelled LiDAR sweeps of simulated worlds, for training the pillar network.

From each world sweeps of several makes of LiDAR are taken, mounted as on different vehicles, so that the network learns
shapes and not one beam table. Labels stand where an object was when its returns were measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.rig import Extrinsic, LidarModel, LidarSensor
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from fusion.detect.ground import GroundSettings, ground_grid
from fusion.training.sweeps import UNIT_M, LabelledSweep, write_part
from nodes.simulator.named import placed_world
from nodes.simulator.sensors.lidar import lidar_sweep
from nodes.simulator.sensors.raycast import Caster
from nodes.simulator.world.world import Actor, World
from nodes.weather.lidar import weathered_sweep
from pipeline.core.messages import PointCloud, Stamp
from pipeline.sync.motion import deskew

RANGE_M = 80.0  # half the side of the square whose points are kept: the network's, and its corners when it is turned
PER_WORLD = 24
_KNOT_NS = 10_000_000
_BEAMS = 256  # more than any LiDAR has
_FROM_AIR_M = 0.5  # nearer than the target by more: the return of fog or a drop, not of the target
_OWN_BODY = np.array([[-1.5, 4.2], [-1.5, 1.5]])  # x, y: returns of the vehicle itself, as SegmentSettings' own_body
_LIDARS: tuple[tuple[LidarModel, float], ...] = (
    ("vlp16", 100.0),
    ("", 120.0),  # 32 beams, evenly spread
    ("hdl64e", 120.0),
    ("pandar64", 200.0),
    ("vlp32c", 200.0),
    ("os1_64", 120.0),
)


def labelled_sweep(caster: Caster, lidar: LidarSensor, t: float, gap: float, rng: np.random.Generator) -> LabelledSweep:
    """The sweep that ends at ``t``, s, the one that ends ``gap`` before, and the labels."""
    world = caster.world
    now, time, actor = _in_ego(caster, lidar, t, t, rng)
    before, _, _ = _in_ego(caster, lidar, t - gap, t, rng)
    ground = ground_grid(now[:, 0], now[:, 1], now[:, 2], RANGE_M, GroundSettings())
    counts = np.bincount(actor[actor >= 0], minlength=len(world.actors))
    seconds = np.bincount(actor[actor >= 0], time[actor >= 0], minlength=len(world.actors)) / np.maximum(counts, 1)
    ego_SE3_odom = world.ego.pose(t).inverse()
    rows = [_box(a, t + float(seconds[i]), ego_SE3_odom) for i, a in enumerate(world.actors)]
    boxes = np.array(rows, np.float32).reshape(-1, 9)
    near = np.flatnonzero(np.abs(boxes[:, :2]).max(axis=1, initial=0.0) < RANGE_M)
    boxes = boxes[near]
    boxes[:, 2] -= _floor(ground, boxes)
    return LabelledSweep(
        _packed(now, ground),
        _packed(before, ground),
        gap,
        boxes,
        np.array([world.actors[i].class_id for i in near], np.int32),
        counts[near].astype(np.int32),
    )


def write_sweeps(
    world: Callable[[int], World],
    out: Path,
    parts: int,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
    per_world: int = PER_WORLD,
) -> None:
    """Fill ``out`` with one part per world, of ``per_world`` sweeps each, LiDARs in turn at random places and times.

    Parts that are there already are kept: a stopped run goes on where it was.

    Args:
        world: places the world of a part.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        path = out / f"{part:05}.npz"
        if not path.is_file():
            rng = np.random.default_rng([seed, part])
            caster = Caster(world(part))
            times = np.sort(rng.uniform(0.5, caster.world.duration, per_world))
            write_part(path, [_one(caster, i, float(t), rng) for i, t in enumerate(times)])
        progress(part + 1)


def training_world(first: int, part: int) -> World:
    """The world of a part, from seed ``first + part``: a random one, but every twelfth time road works, for random ones
    hold neither cones nor barriers."""
    seed = first + part
    return placed_world("construction", seed) if part % 12 == 5 else placed_world(f"random:{seed}", None)


def _one(caster: Caster, i: int, t: float, rng: np.random.Generator) -> LabelledSweep:
    model, range_m = _LIDARS[i % len(_LIDARS)]
    turn = SE3.exp(np.concatenate([np.zeros(3), rng.normal(0.0, [0.004, 0.01, 0.3])]))
    place = np.array([rng.uniform(0.2, 1.6), rng.normal(0.0, 0.2), rng.uniform(1.55, 2.3)])
    lidar = LidarSensor(
        name="lidar",
        model=model,
        beams=0 if model else 32,
        max_range_m=range_m,
        extrinsic=Extrinsic.from_se3(SE3(turn.rotation, place)),
    )
    return labelled_sweep(caster, lidar, t, float(rng.choice([0.1, 0.2, 0.3])), rng)


def _in_ego(
    caster: Caster, lidar: LidarSensor, t_end: float, t: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """(N, 4) x, y, z, beam of a sweep in the ego frame at ``t``, when each was measured, s from ``t_end``, and (N,)
    whose it is, -1 unknown."""
    cloud, actor = lidar_sweep(caster, lidar, t_end, rng)
    clear = cloud.points.copy()
    clear["ring"] += (np.arange(len(clear)) * _BEAMS).astype(np.uint32)  # weather keeps it: tells which points are left
    points = weathered_sweep(clear, caster.world.weather, lidar.max_range_m, rng)
    number, ring = points["ring"] // _BEAMS, points["ring"] % _BEAMS
    moved = sum((points[axis] - clear[axis][number]) ** 2 for axis in ("x", "y", "z"))
    actor = np.where(moved > _FROM_AIR_M**2, -1, np.maximum(actor[number], -1)).astype(np.int32)
    end_ns, now_ns = round(t_end * 1e9), round(t * 1e9)
    knots = np.arange(end_ns - lidar.sweep_ns - _KNOT_NS, end_ns + 2 * _KNOT_NS, _KNOT_NS)
    poses = Trajectory(knots, caster.world.ego.pose(knots * 1e-9))
    stamp = Stamp(sensor_ns=end_ns, arrival_ns=end_ns, time_ns=end_ns, sequence=0)
    xyz = deskew(PointCloud(points=points), stamp, lidar.ego_SE3_sensor, poses)
    if now_ns != end_ns:
        xyz = ((caster.world.ego.pose(t).inverse() @ caster.world.ego.pose(t_end)) @ xyz).astype(np.float32)
    rows = np.column_stack([xyz, ring.astype(np.float32)]).astype(np.float32)
    own = ((xyz[:, :2] > _OWN_BODY[:, 0]) & (xyz[:, :2] < _OWN_BODY[:, 1])).all(axis=1)
    kept = (np.abs(xyz[:, :2]) < RANGE_M).all(axis=1) & ~own
    return rows[kept], points["t_ns"][kept] * 1e-9, actor[kept]


def _box(actor: Actor, t: float, ego_SE3_odom: SE3) -> list[float]:
    pose = ego_SE3_odom @ actor.box(t)
    velocity = ego_SE3_odom.rotate(actor.motion.velocity(t))
    return [*pose.translation.tolist(), *actor.size, float(pose.yaw), float(velocity[0]), float(velocity[1])]


def _floor(ground: npt.NDArray[np.float32], xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N,) height of the ground under points (N, 2+), the nearest cell's."""
    cells = len(ground)
    row, column = ((xy[:, :2] + RANGE_M) * (cells / (2 * RANGE_M))).astype(np.int64).clip(0, cells - 1).T
    return np.asarray(ground[row, column], np.float32)


def _packed(points: npt.NDArray[np.float32], ground: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    above = points.copy()
    above[:, 2] -= _floor(ground, points)
    above[:, :3] /= UNIT_M
    return np.rint(above).clip(-32000, 32000).astype(np.int16)
