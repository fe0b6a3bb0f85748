"""Worlds and cameras for training: one placed world, which is dear, seen in many ways, which is cheap.

Of each variant the weather, the light and the camera are drawn anew, and often the driver through whose eyes it is
seen; classes that traffic seldom has are put in. Who stands in whose way does not matter here: pictures do not move.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from calibration.camera import Pinhole
from calibration.rig import CameraSensor, Extrinsic
from calibration.se3 import SE3
from nodes.simulator.named import placed_world
from nodes.simulator.scenario.draw import draw
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.shapes import shape
from nodes.simulator.world.world import Actor, World
from pipeline.core.errors import BadInput

WIDTH, HEIGHT = 640, 360

_OTHER_DRIVER = 0.5  # share of variants
_DRIVES_M = 15.0
_RECAST = {"lorry": (("bus", 0.5),), "sedan": (("motorcycle", 0.1), ("bicycle", 0.05)), "suv": (("pickup", 0.2),)}
_ADDED = (
    "cones",
    "cones",
    "barriers",
    "bus",
    "motorcycle",
    "motorcycle",
    "bicycle",
    "bicycle",
    "adult",
    "adult",
    "child",
    "child",
    "lorry",
    "box_truck",
    "semi_trailer",
    "semi_trailer",
    "excavator",
    "wheel_loader",
    "sedan",
    "suv",
    "van",
)
_FEWEST, _MOST = 10, 28
_ORANGE = (230, 90, 20)
_CLEAR_M = 1.2  # between what is put in and the sides of others
_MOMENTS = np.linspace(0.0, 20.0, 41)
_LOOKS_AHEAD = SE3.from_quaternion((0.5, -0.5, 0.5, -0.5), (0.0, 0.0, 0.0))  # ego_SE3_camera
_WEATHER_SEEDS = 1_000_003
_FAR_OFF = 1_000_000_007


def training_world(seed: int) -> World:
    """The random scenario of a seed; where its traffic would collide, that of a seed far off. Placed ones are kept."""
    while True:
        with contextlib.suppress(BadInput):
            return placed_world(f"random:{seed}", None)
        seed += _FAR_OFF


def variant(world: World, number: int) -> World:
    """The same road and traffic under another sky, from another seat, with more kinds of road users."""
    rng = np.random.default_rng([world.seed, number, 5])
    sky = draw(_WEATHER_SEEDS + 16 * world.seed + number)
    actors = [_recast(actor, rng) for actor in world.actors]
    ego = world.ego
    if rng.random() < _OTHER_DRIVER:
        drivers = [a for a in actors if a.kind in ("car", "truck", "bus") and _way(a.motion) > _DRIVES_M]
        drivers = [a for a in drivers if a.shape != "tractor"]  # its seat would be in its trailer
        if drivers:
            driver = drivers[rng.integers(len(drivers))]
            ego, actors = driver.motion, [a for a in actors if a is not driver]
    actors += _added(ego, actors, rng)
    return replace(world, ego=ego, actors=tuple(actors), weather=sky.weather, light=sky.light)


def drawn_camera(name: str, rng: np.random.Generator) -> CameraSensor:
    """A camera as cars have them: any field of view from 38 to 105 degrees, most of them looking ahead."""
    focal = 0.5 * WIDTH / np.tan(0.5 * np.radians(rng.uniform(38.0, 105.0)))
    yaw = rng.normal(0.0, 0.06) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)
    high = rng.uniform(1.2, 2.1) if rng.random() < 0.85 else rng.uniform(2.1, 3.2)
    tilt = SE3.exp(np.array([0.0, 0.0, 0.0, rng.normal(0.0, 0.045), 0.0, rng.normal(0.0, 0.015)]))
    place = SE3.from_yaw(yaw, (rng.uniform(-0.3, 1.9), rng.uniform(-0.5, 0.5), high))
    return CameraSensor(
        name=name,
        extrinsic=Extrinsic.from_se3(place @ _LOOKS_AHEAD @ tilt),
        width=WIDTH,
        height=HEIGHT,
        intrinsics=Pinhole(fx=focal, fy=focal, cx=0.5 * WIDTH - 0.5, cy=0.5 * HEIGHT - 0.5),
        readout_ns=int(rng.uniform(0.0, 25e6)) if rng.random() < 0.7 else 0,
    )


def _recast(actor: Actor, rng: np.random.Generator) -> Actor:
    """Another body that fits where this one goes, now and then."""
    for name, chance in _RECAST.get(actor.shape, ()):
        if rng.random() < chance:
            of = shape(name)
            return actor._replace(kind=of.kind, size=of.size, shape=name)
    return actor


def _added(ego: Motion, actors: list[Actor], rng: np.random.Generator) -> list[Actor]:
    """Things and road users that stand beside the ego's way."""
    number = max((actor.object_id for actor in actors), default=0) + 1
    paths = np.array([actor.motion.position(_MOMENTS)[:, :2] for actor in actors] + [ego.position(_MOMENTS)[:, :2]])
    reach = np.array([0.5 * float(np.hypot(*actor.size[:2])) for actor in actors] + [2.5])
    out: list[Actor] = []
    for _ in range(int(rng.integers(_FEWEST, _MOST))):
        kind = _ADDED[rng.integers(len(_ADDED))]
        for name, place, yaw in _row(kind, ego, rng):
            of = shape(name)
            near = np.linalg.norm(paths - place, axis=2) < (reach + 0.5 * of.size[1] + _CLEAR_M)[:, None]
            if not near.any():
                red, green, blue = rng.integers(10, 240, 3).tolist()
                paint = _ORANGE if kind in ("cones", "barriers") else (red, green, blue)
                stands = Motion.standing((*place, 0.0), yaw, 20.0)
                out.append(Actor(number + len(out), of.kind, of.size, name, paint, stands))
    return out


def _row(kind: str, ego: Motion, rng: np.random.Generator) -> list[tuple[str, npt.NDArray[np.float64], float]]:
    """(shape, (2,) place, yaw) of what is put down together, beside where the ego comes along."""
    pose = ego.pose(float(rng.uniform(0.0, 20.0)))
    side = float(rng.choice([-1.0, 1.0])) * float(rng.uniform(2.0, 9.0))
    start = float(rng.uniform(-5.0, 40.0))
    drift = float(rng.normal(0.0, 0.1))
    yaw = float(pose.yaw)
    if kind in ("cones", "barriers"):
        count, gap = int(rng.integers(2, 9)), float(rng.uniform(2.0, 6.0))
        name, turned = ("cone", 0.0) if kind == "cones" else ("barrier", float(rng.choice([0.0, 0.5 * np.pi])))
    else:
        count = int(rng.integers(1, 4)) if kind in ("adult", "child") else 1
        gap, name = float(rng.uniform(1.0, 3.0)), kind
        turned = float(rng.uniform(-np.pi, np.pi)) if count > 1 or rng.random() < 0.3 else float(rng.choice([0, np.pi]))
    places = [pose @ np.array([start + gap * k, side + drift * gap * k, 0.0]) for k in range(count)]
    return [(name, place[:2], yaw + turned) for place in places]


def _way(motion: Motion) -> float:
    """m from where a body is at first to where it is at last."""
    return float(np.linalg.norm(motion.position(20.0) - motion.position(0.0)))
