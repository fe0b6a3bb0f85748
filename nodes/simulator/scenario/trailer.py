"""Semi-trailers: a body of its own on the tractor's fifth wheel, whose axles follow it without slipping sideways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nodes.simulator.scenario.mover import Hitch, Mover
from nodes.simulator.scenario.path import FloatArray
from nodes.simulator.scenario.traffic import Log
from nodes.simulator.world.bodies.trucks import TRAILER_TAIL
from nodes.simulator.world.shapes import shape

TRACTOR, TRAILER = "tractor", "semi_trailer"
BEHIND = 9.2
"""How far a trailer reaches beyond the rear end of its tractor, m."""

_KINGPIN = 1.5  # m behind the trailer's front
_FIFTH_WHEEL = 0.42  # m ahead of the tractor's rear axle
_BEFORE, _STEP = 60.0, 0.25  # m of road over which a trailer has found its angle before the start


def hitched(tractor: Mover) -> Mover:
    """The trailer behind a tractor. Others see it where the tractor's path leads; `trace` says where it really was."""
    of = shape(TRAILER)
    trailer = Mover(
        f"{tractor.label}.trailer", TRAILER, of.kind, of.size, TRAILER_TAIL * of.size[0], tractor.path, tractor.s,
        tractor.speed, tractor.wanted, tractor.driver, tractor.lane, tractor.offset,
    )  # fmt: skip
    trailer.hitch = Hitch(tractor, _drawbar() - _FIFTH_WHEEL, _angle_at_start(tractor))
    trailer.keep_up()
    return trailer


def trace(log: Log, movers: Sequence[Mover]) -> None:
    """Write into ``log`` where every trailer went."""
    for k, trailer in enumerate(movers):
        if trailer.hitch is None:
            continue
        tractor = trailer.hitch.tractor
        lead = next(i for i, mover in enumerate(movers) if mover is tractor)
        x, y = _fifth_wheel(log.x[:, lead], log.y[:, lead], log.yaw[:, lead])
        angle = _drawn(x, y, trailer.hitch.angle)
        log.x[:, k], log.y[:, k] = x - _drawbar() * np.cos(angle), y - _drawbar() * np.sin(angle)
        log.yaw[:, k], log.speed[:, k], log.acceleration[:, k] = angle, log.speed[:, lead], log.acceleration[:, lead]


def _drawbar() -> float:
    """From the middle of the trailer's axles to the kingpin, m."""
    return (1.0 - TRAILER_TAIL) * shape(TRAILER).size[0] - _KINGPIN


def _fifth_wheel(x: FloatArray, y: FloatArray, yaw: FloatArray) -> tuple[FloatArray, FloatArray]:
    return x + _FIFTH_WHEEL * np.cos(yaw), y + _FIFTH_WHEEL * np.sin(yaw)


def _angle_at_start(tractor: Mover) -> float:
    """As if the tractor had come along its path at the offset that it has at the start."""
    place = tractor.path.at(tractor.s + np.arange(-_BEFORE, 0.5 * _STEP, _STEP))
    x, y = place.x - tractor.offset * np.sin(place.heading), place.y + tractor.offset * np.cos(place.heading)
    return float(_drawn(*_fifth_wheel(x, y, place.heading), float(place.heading[0]))[-1])


def _drawn(x: FloatArray, y: FloatArray, angle: float) -> FloatArray:
    """(T,) rad, heading of what is drawn by a point that goes through x, y (T,), without jumps; at first ``angle``.

    Along each straight step the angle between the two falls as that of a tractrix:
    tan(a / 2) -> tan(a / 2) exp(-step / drawbar).
    """
    out = np.full(len(x), angle)
    for i, (dx, dy) in enumerate(zip(np.diff(x), np.diff(y), strict=True), start=1):
        step = float(np.hypot(dx, dy))
        off = (np.arctan2(dy, dx) - out[i - 1] + np.pi) % (2.0 * np.pi) - np.pi if step > 0.0 else 0.0
        out[i] = out[i - 1] + off - 2.0 * np.arctan(np.tan(0.5 * off) * np.exp(-step / _drawbar()))
    return out
