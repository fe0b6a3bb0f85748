"""Faults of the mounting: the rig that the pipeline is told, which differs from where the sensors sit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from calibration.rig import Extrinsic, Rig
from calibration.se3 import SE3, FloatArray
from nodes.sources.faults.fault import Fault

_SHIFT_M = 2.0  # forward, back or sideways; MultiCorrupt


def believed_rig(rig: Rig, faults: Sequence[tuple[int, Fault]], seed: int) -> Rig:
    """The rig with the mounting of the faults' sensors wrong; signs and axes by the seed."""
    for number, fault in faults:
        if fault.kind.stage != "mounting":
            continue
        for name in fault.sensors:
            rng = np.random.default_rng([seed, number, *name.encode()])
            sensor = rig[name]
            true = sensor.ego_SE3_sensor
            turn, shift = mounting_error(fault, rng)
            wrong = SE3(turn @ true.rotation, true.translation + shift)  # turned in its place
            extrinsic = Extrinsic.from_se3(wrong, method=sensor.extrinsic.method)
            changed = msgspec.structs.replace(sensor, extrinsic=extrinsic)
            rig = msgspec.structs.replace(rig, sensors=tuple(changed if s.name == name else s for s in rig.sensors))
    return rig


def mounting_error(fault: Fault, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """(3, 3) rotation by the fault's angle about each ego axis, with random signs; (3,) shift, m, none unless
    `miscalibrated`."""
    turns = rng.choice([-1.0, 1.0], 3) * np.radians(fault.amount)
    shift = np.zeros(3)
    if fault.kind.name == "miscalibrated":
        shift[int(rng.integers(2))] = rng.choice([-1.0, 1.0]) * _SHIFT_M
    return SE3.exp(np.concatenate([np.zeros(3), turns])).rotation, shift
