"""What wheels throw up from a wet road: a plume of fine drops behind each vehicle that is quick enough.

The water that tyres pick up grows with speed, the share of it that is torn into mist with speed again; the wake drags
it along and it sinks and thins out. The extinction coefficient in a plume, 1/m, at x behind the tail, y across, z up:

    a = a0 wetness (v / 25 m/s)^2 (front area / 2.7 m2) exp(-x / l) exp(-y^2 / 2 s(x)^2) exp(-z / h(x)),  l = 0.35 s v

Of light, what is left behind an optical depth of tau is exp(-tau); of a laser pulse, which passes twice, exp(-2 tau).
The mist itself answers a pulse like a surface of reflectance pi a c / S over the length c of a pulse; S = 18.8 sr for
drops of water at 905 nm (O'Connor, Illingworth and Hogan 2004). Mist is not even: along a ray its density varies by
gusts. The form and a0, l, s and h are assumed, not fitted to recorded spray.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.world import World

Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[Any]  # float32 or float64

SAMPLES = 6
"""Of a plume along a ray."""
_THICK = 0.06  # a0, 1/m
_LINGERS_S = 0.35
_SLOWEST = 8.0  # m/s; more slowly, water drips from the tyre or is pushed aside
_CAR_M2 = 2.7  # of front
_LENGTHS = 3.0  # l; what hangs further behind is not drawn
_TALL = 4.0  # h
_WIDE = 2.0  # s
_PULSE_M = 1.0
_NEAR_M = 10.0  # nearer, a receiver is turned down so that an echo is no stronger than from there; assumed
_RATIO_SR = 18.8
_GUSTS = 1.3  # sigma of the logarithm of the density


class Plumes(NamedTuple):
    """Of K vehicles at one instant.

    tail: (K, 3) m, odom, on the road in the middle of the rear. back: (K, 2) unit vectors to where the plume hangs.
    drift: (K, 2) m/s of the tail. width, height: (K,) m of the vehicle. thick: (K,) 1/m at the tail. long: (K,) m.
    """

    tail: Floats
    back: Floats
    drift: Floats
    width: Floats
    height: Floats
    thick: Floats
    long: Floats

    def __bool__(self) -> bool:
        return len(self.tail) > 0


def plumes(world: World, t: float) -> Plumes:
    """Those of all vehicles, the ego's own among them; none on a dry road.  t: s."""
    boxes, ego = world.boxes(t), world.ego_box(t)
    drift = np.concatenate([world.motions.velocity(t).reshape(-1, 3)[:, :2], world.ego.velocity(t)[None, :2]])
    size = np.concatenate([world.sizes, np.array([world.ego_size])])
    ahead = np.concatenate([boxes.rotation[..., 0].reshape(-1, 3), ego.rotation[None, :, 0]])
    middle = np.concatenate([boxes.translation.reshape(-1, 3), ego.translation[None]])
    speed = np.hypot(drift[:, 0], drift[:, 1])
    wet = np.flatnonzero((speed > _SLOWEST) & (size[:, 1] > 1.0) & (world.weather.wetness > 0.0))
    size, speed, ahead = size[wet], speed[wet], ahead[wet]
    tail = middle[wet] - 0.5 * size[:, :1] * ahead
    tail[:, 2] -= 0.5 * size[:, 2]
    thick = _THICK * world.weather.wetness * (speed / 25.0) ** 2 * (size[:, 1] * size[:, 2] / _CAR_M2)
    back = -ahead[:, :2] / np.linalg.norm(ahead[:, :2], axis=1, keepdims=True)
    return Plumes(tail, back, drift[wet], size[:, 1], size[:, 2], thick, _LINGERS_S * speed)


class Mist(NamedTuple):
    """What N rays find of one plume in `SAMPLES` steps each.

    which: (N,) their numbers among all. at: (N, S) m along the ray; step: (N,) m. density: (N, S) 1/m.
    """

    which: npt.NDArray[np.int64]
    at: Float32
    step: Float32
    density: Float32


def mist(
    cloud: Plumes,
    k: int,
    start: Floats,
    ray: Floats,
    reach: Float32,
    late: Floats | float = 0.0,
    phase: Float32 | None = None,
) -> Mist:
    """Of plume ``k`` in front of what rays meet.

    Args:
        start: (N, 3) or (3,) m, odom. ray: (N, 3) unit vectors. reach: (N,) m to what each meets, inf for the sky.
        late: (N,) or () s after the instant of the plumes. phase: (N,) where in each step the sample lies, 0..1; None:
            in its middle.
    """
    origin = np.broadcast_to(start - cloud.tail[k], ray.shape)
    (bx, by), (vx, vy), late = cloud.back[k], cloud.drift[k], np.asarray(late)
    ox, oy = origin[:, 0] - vx * late, origin[:, 1] - vy * late
    turned = np.stack([bx * ox + by * oy, -by * ox + bx * oy, origin[:, 2]]).astype(np.float32)  # x to the back
    way = np.stack([bx * ray[:, 0] + by * ray[:, 1], -by * ray[:, 0] + bx * ray[:, 1], ray[:, 2]]).astype(np.float32)
    length = _LENGTHS * cloud.long[k]
    side, top = _WIDE * _spread(cloud.width[k], length), _TALL * _rise(cloud.height[k], length)
    low, high = np.array([0.0, -side, 0.0], np.float32), np.array([length, side, top], np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        one, other = (low[:, None] - turned) / way, (high[:, None] - turned) / way
    entry = np.maximum(np.fmax.reduce(np.fmin(one, other)), np.float32(0.0))
    leave = np.minimum(np.fmin.reduce(np.fmax(one, other)), reach)
    which = np.flatnonzero(leave > entry)
    entry, step = entry[which], (leave[which] - entry[which]) / SAMPLES
    within = np.full(len(which), 0.5, np.float32) if phase is None else phase[which]
    at = entry[:, None] + step[:, None] * (np.arange(SAMPLES, dtype=np.float32) + within[:, None])
    x, y, z = (turned[i, which, None] + at * way[i, which, None] for i in range(3))
    spread, rise = _spread(cloud.width[k], x), _rise(cloud.height[k], x)
    power = x / np.float32(cloud.long[k]) + 0.5 * (y / spread) ** 2 + np.maximum(z, 0.0) / rise
    return Mist(which, at, step, np.asarray(np.float32(cloud.thick[k]) * np.exp(-power), np.float32))


def optical_depth(cloud: Plumes, start: Floats, ray: Floats, reach: Float32) -> Float32:
    """(N,) of all plumes between the starts of rays and what they meet: of light, exp(-depth) is left.

    Args: as of `mist`.
    """
    depth = np.zeros(len(ray), np.float32)
    for k in range(len(cloud.tail)):
        part = mist(cloud, k, start, ray, reach)
        depth[part.which] += part.density.sum(axis=1) * part.step
    return depth


def gusts(rng: np.random.Generator, n: int) -> Float32:
    """(n, S) by how much denser than on average mist is where each of n pulses meets it."""
    normal = rng.standard_normal((n, SAMPLES), np.float32)
    return np.asarray(np.exp(np.float32(_GUSTS) * normal - np.float32(0.5 * _GUSTS**2)))


def echo(part: Mist, gust: Float32) -> tuple[Float32, Float32, Float32]:
    """What a plume answers to pulses, at the step that answers most strongly.

    Args:
        gust: (N, S) of these pulses.

    Returns:
        (N,) m where; (N,) reflectance of a surface that would answer as strongly from there, what is lost on the way to
        it taken off; (N,) optical depth of the whole plume.
    """
    passed = part.density * gust * part.step[:, None]
    through = np.cumsum(passed, axis=1)
    back = np.float32(np.pi / _RATIO_SR) * part.density * gust * np.minimum(part.step, _PULSE_M)[:, None]
    back *= np.exp(-2.0 * (through - 0.5 * passed))
    back *= np.minimum(part.at / np.float32(_NEAR_M), 1.0) ** 2
    best = np.argmax(back / part.at**2, axis=1)[:, None]
    where, answer = np.take_along_axis(part.at, best, axis=1)[:, 0], np.take_along_axis(back, best, axis=1)[:, 0]
    return where, answer, through[:, -1]


def _spread(width: float, x: Any) -> Any:
    return np.float32(0.35 * width) + np.float32(0.04) * x


def _rise(height: float, x: Any) -> Any:
    return np.float32(0.2 * height) + np.float32(0.04) * x
