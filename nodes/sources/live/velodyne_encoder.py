"""The way back: a sweep as the packets that a Velodyne would have sent, for the packet replayer and the tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nodes.sources.live.velodyne_packets import (
    BLOCKS,
    DISTANCE_M,
    FLAG,
    HOUR_US,
    PACKET,
    RETURNS,
    SINGLE_RETURN,
    TURN,
    Array,
    Axes,
    Model,
)

_NEAR_BEAM_RAD = np.deg2rad(1.0)
_MAX_UNITS = 65_535


class EncodedPacket(NamedTuple):
    """time_ns: of its first firing."""

    time_ns: int
    data: bytes


class EncodedSweep(NamedTuple):
    """packets: in order of time. unsent: points near no beam, out of range, or behind another one of their firing."""

    packets: tuple[EncodedPacket, ...]
    unsent: int


def encode_sweep(
    points: Array,
    end_ns: int,
    model: Model,
    *,
    sweep_ns: int = 100_000_000,
    cut_deg: float = 180.0,
    axes: Axes = "x_forward",
) -> EncodedSweep:
    """One turn of an ideal sensor that turns evenly and ends, with its last firing, at ``end_ns``.

    Each point goes to the beam that is nearest in elevation and to the firing that is nearest in azimuth; of several
    the nearest point is seen. The turn has as many packets as fit in ``sweep_ns``, evenly spread.

    Args:
        points: (N,) of POINT, t_ns relative to ``end_ns``; it matters only at the cut, where azimuth is ambiguous.
    """
    firings = sweep_ns // model.packet_ns * BLOCKS * model.sequences
    if firings <= 0:
        return EncodedSweep((), len(points))
    slot, distance, sendable = _slots(points, model, firings, sweep_ns, cut_deg, axes)
    nearest_last = np.argsort(-distance[sendable], kind="stable")
    slot, order = slot[sendable][nearest_last], np.flatnonzero(sendable)[nearest_last]
    units = np.zeros(firings * model.beams, "<u2")
    reflectivity = np.zeros(firings * model.beams, "u1")
    units[slot] = np.rint(distance[order] / DISTANCE_M)
    reflectivity[slot] = np.rint(np.clip(points["intensity"][order], 0.0, 1.0) * 255.0)

    packets = np.zeros(firings // (BLOCKS * model.sequences), PACKET)
    returns = packets["blocks"]["returns"]
    returns["distance"] = units.reshape(-1, BLOCKS, RETURNS)
    returns["reflectivity"] = reflectivity.reshape(-1, BLOCKS, RETURNS)
    blocks = np.arange(firings // model.sequences)
    azimuth = np.rint(cut_deg * 100.0 + TURN * blocks / len(blocks)) % TURN
    packets["blocks"]["flag"] = FLAG
    packets["blocks"]["azimuth"] = azimuth.reshape(-1, BLOCKS)
    last_ns = end_ns - model.last_firing_ns
    times_ns = [last_ns - sweep_ns * i // len(packets) for i in reversed(range(len(packets)))]
    packets["time_us"] = [(time_ns + 500) // 1_000 % HOUR_US for time_ns in times_ns]
    packets["mode"], packets["product"] = SINGLE_RETURN[0], model.product
    encoded = tuple(EncodedPacket(t, p.tobytes()) for t, p in zip(times_ns, packets, strict=True))
    return EncodedSweep(encoded, len(points) - int(np.count_nonzero(units)))


def _slots(
    points: Array, model: Model, firings: int, sweep_ns: int, cut_deg: float, axes: Axes
) -> tuple[Array, Array, Array]:
    """(N,) firing slot (sequence * B + beam), distance from the beam's origin in m, and whether it can be sent."""
    x, y = points["x"].astype(np.float64), points["y"].astype(np.float64)
    ahead, right = (x, -y) if axes == "x_forward" else (y, x)
    across = np.hypot(ahead, right)
    slopes = (points["z"][:, None] - model.height.astype("<f4")) / np.maximum(across, 1e-6).astype("<f4")[:, None]
    beam = np.abs(slopes - np.tan(model.elevation).astype("<f4")).argmin(axis=1)  # of (N, B)
    rise = points["z"] - model.height[beam]
    distance = np.hypot(across, rise)
    on_beam = np.abs(np.arctan2(rise, across) - model.elevation[beam]) <= _NEAR_BEAM_RAD
    sendable = on_beam & (distance >= DISTANCE_M) & (distance <= _MAX_UNITS * DISTANCE_M)

    turned = (np.arctan2(right, ahead) / (2 * np.pi) - cut_deg / 360.0) % 1.0
    by_time = 1.0 + points["t_ns"] / sweep_ns
    turned -= np.rint(turned - by_time)  # the cut is the end of the turn, or its beginning
    sequence = np.rint(turned * firings - beam * (model.firing_ns / model.cycle_ns))
    return np.clip(sequence, 0, firings - 1).astype(np.int64) * model.beams + beam, distance, sendable
