"""Faults at detection level: the same names, severities and units as drives have, as changes of what is drawn.

A silent fault stays silent: no stated covariance, stamp or score says anything of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, LidarSensor, RadarSensor
from calibration.se3 import SE3
from fusion.training.clips import MISSING, FaultSpan
from nodes.simulator.world.environment import Weather
from nodes.sources.faults.table import FaultKind
from nodes.weather.air import extinction

FloatArray = npt.NDArray[Any]  # float32 or float64
Sensor = CameraSensor | LidarSensor | RadarSensor

_TEN_S = 10.0
_SHIFT_M = 2.0  # of MultiCorrupt's miscalibration
_DB_PER_KM = 0.23e-3  # as 1/m
_ECHOES = 12.0  # LiDAR clusters that dense fog or snow near the sensor makes, a frame; assumed
_REFLECTIVITY_OVER_REFERENCE = 5.0  # a body's 50 % against the 10 % target for which a LiDAR's range is stated


@dataclass
class Effects:
    """What all faults together do to one sensor, at T messages.

    source: frame whose payload is delivered. missing: index into `MISSING`. lag: s, silent; late: s, told by the stamp.
    extinction: 1/m of light. radar_loss: per metre, one way, as 1/m of power. dimmed: off the log height of an object
    in the image. glare: rad around the sun. beams: share of the returns that is left. half_view: rad around ahead.
    noise_db: raised radar floor. clutter: false alarms a frame more, in a radar or LiDAR; near_echoes: from drops and
    flakes, in a LiDAR only. dirt: (D, 3) discs u, v, radius in shares of the image's width, that lie over it where
    `dirty`. turned: rad about the vertical, by which the sensor has come loose. mounting: believed_SE3_true of the
    sensor, in its own frame.
    """

    source: npt.NDArray[np.int64]
    missing: npt.NDArray[np.uint8]
    lag: FloatArray
    late: FloatArray
    extinction: FloatArray
    radar_loss: FloatArray
    dimmed: FloatArray
    glare: FloatArray
    beams: FloatArray
    half_view: FloatArray
    noise_db: FloatArray
    clutter: FloatArray
    near_echoes: FloatArray
    dirty: npt.NDArray[np.bool_]
    turned: FloatArray
    dirt: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    mounting: SE3 = field(default_factory=SE3.identity)

    @staticmethod
    def none(frames: int) -> Effects:
        zero = np.zeros((10, frames))
        return Effects(
            np.arange(frames), np.zeros(frames, np.uint8), lag=zero[0], late=zero[1], extinction=zero[2],
            radar_loss=zero[3], dimmed=zero[4], glare=zero[5], beams=np.ones(frames), half_view=np.full(frames, np.pi),
            noise_db=zero[6], clutter=zero[7], near_echoes=zero[8], dirty=np.zeros(frames, bool),
            turned=zero[9],
        )  # fmt: skip


@dataclass(frozen=True)
class When:
    """The frames of one fault: on (T,), time since the clip's start (T,) s, and its own random numbers."""

    on: npt.NDArray[np.bool_]
    time: FloatArray
    sensor: Sensor
    rng: np.random.Generator

    def cycle(self, seconds: float) -> npt.NDArray[np.bool_]:
        """(T,) the middle ``seconds`` of every ten, as on a drive."""
        from_middle = np.abs(np.mod(self.time, _TEN_S) - 0.5 * _TEN_S)
        return self.on & ((2.0 * from_middle < seconds) | (seconds >= _TEN_S))


def effects_of(spans: Sequence[FaultSpan], sensor: Sensor, weather: Weather, times: FloatArray, seed: int) -> Effects:
    """All that befalls one sensor: the world's own weather and ``spans``, of which those of other sensors are left out.

    Raises:
        KeyError: a fault of that name has no model at detection level.
    """
    effects = Effects.none(len(times))
    _air(effects, weather, np.ones(len(times), bool))
    for number, span in enumerate(spans):
        if span.sensor == sensor.name:
            on = np.zeros(len(times), bool)
            on[span.start : span.end] = True
            rng = np.random.default_rng([seed, number, *span.name.encode()])
            EFFECTS[span.name](effects, span.amount, When(on, times - times[0], sensor, rng))
    return effects


def _air(effects: Effects, weather: Weather, on: npt.NDArray[np.bool_]) -> None:
    """Light is lost as in `nodes.weather.air`; a 77 GHz radar loses about 1.1 R^0.7 dB/km in rain (ITU-R P.838-3)."""
    light = extinction(weather)
    effects.extinction += light * on
    effects.radar_loss += _DB_PER_KM * 1.1 * weather.rain_mm_h**0.7 * on
    effects.near_echoes += _ECHOES * (1.0 - np.exp(-20.0 * light)) * on


def _fog(e: Effects, visibility_m: float, when: When) -> None:
    _air(e, Weather(visibility_m=visibility_m), when.on)


def _rain(e: Effects, mm_h: float, when: When) -> None:
    _air(e, Weather(rain_mm_h=mm_h), when.on)


def _snow(e: Effects, mm_h: float, when: When) -> None:
    _air(e, Weather(snow_mm_h=mm_h), when.on)


def _dark(e: Effects, stops: float, when: When) -> None:
    e.dimmed += 0.04 * stops**1.7 * when.on  # gain hides the first stops, noise takes the rest; assumed


def _glare(e: Effects, degrees: float, when: When) -> None:
    e.glare[when.on] = np.radians(degrees)


def _dirt(e: Effects, share: float, when: When) -> None:
    e.dirty |= when.on
    radius, covered = 0.08, 0.0
    discs: list[list[float]] = []
    while covered < share and len(discs) < 200:  # random discs overlap: 1 - prod(1 - area)
        r = radius * when.rng.uniform(0.6, 1.6)
        discs.append([when.rng.uniform(0, 1), when.rng.uniform(0, 1), r])
        height = when.sensor.height / when.sensor.width if isinstance(when.sensor, CameraSensor) else 1.0
        covered = 1.0 - (1.0 - covered) * (1.0 - np.pi * r * r / height)
    e.dirt = np.concatenate([e.dirt, np.array(discs).reshape(-1, 3)])


def _blur(e: Effects, share: float, when: When) -> None:
    width = when.sensor.width if isinstance(when.sensor, CameraSensor) else 640
    e.dimmed += np.log(np.hypot(1.0, share * width / 2.0)) * when.on  # a disc of d px leaves details of d / 2


def _beam_loss(e: Effects, left: float, when: When) -> None:
    beams = when.sensor.beams if isinstance(when.sensor, LidarSensor) and when.sensor.beams else 32
    e.beams[when.on] *= min(1.0, left / beams)


def _fov_cut(e: Effects, degrees: float, when: When) -> None:
    e.half_view[when.on] = np.minimum(e.half_view[when.on], np.radians(degrees) / 2)


def _crosstalk(e: Effects, share: float, when: When) -> None:
    e.clutter += 60.0 * share * when.on  # of the points; three of them close together make a cluster. Assumed


def _interference(e: Effects, decibel: float, when: When) -> None:
    e.noise_db += decibel * when.on


def _clutter(e: Effects, returns: float, when: When) -> None:
    e.clutter += 0.5 * returns * when.on  # single returns; the detector's least score keeps every other one


def _dead(e: Effects, seconds: float, when: When) -> None:
    e.missing[when.cycle(seconds)] = MISSING.index("silent")


def _frozen(e: Effects, seconds: float, when: When) -> None:
    frozen = when.cycle(seconds)
    for frame in np.flatnonzero(frozen).tolist():
        if frame and frozen[frame - 1]:
            e.source[frame] = e.source[frame - 1]


def _stale(e: Effects, probability: float, when: When) -> None:
    late = when.on & (when.rng.random(len(when.on)) < probability)
    for frame in np.flatnonzero(late).tolist():
        e.source[frame] = e.source[max(frame - 1, 0)]


def _lost(e: Effects, probability: float, when: When) -> None:
    e.missing[when.on & (when.rng.random(len(when.on)) < probability)] = MISSING.index("no_message")


def _delay(e: Effects, milliseconds: float, when: When) -> None:
    period = 1.0 / when.sensor.rate_hz  # the newest message that is there is so much older, in whole periods
    e.late += np.ceil(1e-3 * milliseconds / period - 0.5) * period * when.on


def _clock_step(e: Effects, milliseconds: float, when: When) -> None:
    e.lag += 1e-3 * milliseconds * when.on  # stamped ahead: what is said to be now was measured before


def _clock_drift(e: Effects, ppm: float, when: When) -> None:
    since = when.time - (when.time[when.on][0] if when.on.any() else 0.0)
    e.lag += 1e-6 * ppm * np.maximum(since, 0.0) * when.on


def _miscalibrated(e: Effects, degrees: float, when: When) -> None:
    direction = when.rng.normal(size=3)
    _turn(e, degrees, _SHIFT_M * direction / np.linalg.norm(direction), when)


def _misaligned(e: Effects, degrees: float, when: When) -> None:
    _turn(e, degrees, np.zeros(3), when)


def _loosening(e: Effects, degrees: float, when: When) -> None:
    """By the amount in ten seconds from the fault's start on, and no further after its end."""
    since = np.cumsum(when.on) * float(np.median(np.diff(when.time))) if len(when.time) > 1 else np.zeros(1)
    e.turned += when.rng.choice([-1.0, 1.0]) * np.radians(degrees) * since / _TEN_S


def _turn(e: Effects, degrees: float, shift: FloatArray, when: When) -> None:
    signs = np.where(when.rng.random(3) < 0.5, -1.0, 1.0)
    e.mounting = SE3.exp([*shift, *(np.radians(degrees) * signs)]) @ e.mounting


EFFECTS: dict[str, Callable[[Effects, float, When], None]] = {
    "fog": _fog,
    "rain": _rain,
    "snow": _snow,
    "dark": _dark,
    "glare": _glare,
    "dirt": _dirt,
    "blur": _blur,
    "motion_blur": _blur,
    "beam_loss": _beam_loss,
    "fov_cut": _fov_cut,
    "crosstalk": _crosstalk,
    "interference": _interference,
    "clutter": _clutter,
    "frozen": _frozen,
    "stale": _stale,
    "miscalibrated": _miscalibrated,
    "misaligned": _misaligned,
    "loosening": _loosening,
    "clock_step": _clock_step,
    "clock_drift": _clock_drift,
    "dead": _dead,
    "missing": _lost,
    "packet_loss": _lost,
    "delay": _delay,
}
"""A mounting holds for the whole clip, whatever its span says. Faults of single messages that the aligner undoes
(duplicate, reorder, bandwidth) and of other sensors have no model here."""
ONLY_DRAWN = (
    FaultKind("loosening", "sensor", ("camera", "lidar", "radar"), "degrees in ten seconds", (0.5, 1.5, 3), 0, 45,
        "the sensor slowly turns about the vertical; the rig does not know", "silent drift of a mounting; assumed"),
)  # fmt: skip
"""Faults that are drawn but cannot be put on a drive. Those of training (`random_faults`) do not hold them."""


def seen_through_air(distance: FloatArray, extinction: FloatArray, max_range_m: float) -> FloatArray:
    """(N,) share of a LiDAR's returns from a body that are still strong enough.

    A return is seen where it is as strong as that of a 10 % target at the greatest range: P ~ rho exp(-2 a R) / R^2.
    Bodies reflect 50 %, spread by a factor of two about it.
    """
    strength = np.log(_REFLECTIVITY_OVER_REFERENCE) - 2 * extinction * distance - 2 * np.log(distance / max_range_m)
    return np.asarray(np.where(extinction > 0, 1.0 / (1.0 + np.exp(-strength / 0.4)), 1.0))


def radar_loss(distance: FloatArray, per_metre: FloatArray, noise_db: FloatArray) -> FloatArray:
    """(N,) off the log-odds of being found: 0.25 per dB lost, more at range, where less can be spared. Assumed."""
    decibel = noise_db + 4.343 * 2 * per_metre * distance
    return np.asarray(0.25 * decibel * np.clip(distance / 50.0, 0.3, 2.0))
