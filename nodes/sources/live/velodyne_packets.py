"""Data packets of Velodyne's VLP-16, Puck Hi-Res and HDL-32E: 1206 bytes of UDP payload, little-endian.

Layout, beam tables and firing times are those of the makers' manuals (VLP-16 User Manual 63-9243, chapters 9.2 to 9.5;
HDL-32E User's Manual 63-9113): twelve blocks, each a flag, an azimuth in hundredths of a degree, clockwise from above,
and 32 returns of distance (2 mm) and reflectivity; then microseconds past the hour, return mode, product. A block of a
sensor with 16 beams holds two firing sequences.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT

Array: TypeAlias = np.ndarray
Axes: TypeAlias = Literal["x_forward", "y_forward"]
ModelName: TypeAlias = Literal["VLP-16", "Puck Hi-Res", "HDL-32E"]

BLOCKS, RETURNS = 12, 32
TURN = 36_000
"""A full turn in azimuth units, hundredths of a degree."""
DISTANCE_M = 0.002
HOUR_US = 3_600_000_000
FLAG = 0xEEFF  # bytes FF EE
SINGLE_RETURN, DUAL_RETURN = (0x37, 0x38), 0x39

RETURN = np.dtype([("distance", "<u2"), ("reflectivity", "u1")])
BLOCK = np.dtype([("flag", "<u2"), ("azimuth", "<u2"), ("returns", RETURN, RETURNS)])
_HEADS = struct.Struct("<" + "HH96x" * BLOCKS + "IBB")  # the same without the returns, for one packet at a time
_FLAGS = [FLAG] * BLOCKS
PACKET = np.dtype([("blocks", BLOCK, BLOCKS), ("time_us", "<u4"), ("mode", "u1"), ("product", "u1")])


class Model(NamedTuple):
    """Geometry and timing of one kind of sensor, B beams in the order in which they fire.

    product: its factory byte. elevation: (B,) float64 rad. height: (B,) float64 m, of a beam's origin over the
    sensor's. firing_ns: from one laser to the next. cycle_ns: from one firing sequence to the next.
    """

    name: str
    product: int
    elevation: Array
    height: Array
    firing_ns: int
    cycle_ns: int

    @property
    def beams(self) -> int:
        return len(self.elevation)

    @property
    def sequences(self) -> int:
        """Firing sequences in a block."""
        return RETURNS // self.beams

    @property
    def block_ns(self) -> int:
        return self.sequences * self.cycle_ns

    @property
    def packet_ns(self) -> int:
        return BLOCKS * self.block_ns

    @property
    def last_firing_ns(self) -> int:
        """From the first firing of a packet to its last."""
        return self.packet_ns - self.cycle_ns + (self.beams - 1) * self.firing_ns

    @property
    def rings(self) -> npt.NDArray[np.uint32]:
        """(B,) number of each beam counted upwards from the lowest."""
        return np.argsort(np.argsort(self.elevation)).astype(np.uint32)

    def firing_offsets_ns(self) -> npt.NDArray[np.int64]:
        """(32,) int64: when each return of a block was fired, from the first of them."""
        sequence, beam = np.divmod(np.arange(RETURNS), self.beams)
        return np.asarray(sequence * self.cycle_ns + beam * self.firing_ns)

    def with_elevation(self, degrees: tuple[float, ...], source: object = "elevation_deg") -> Model:
        """The model with a calibrated beam table in place of the nominal one.

        Raises:
            BadInput: not one finite angle within +-90 degrees per beam.
        """
        table = np.deg2rad(np.asarray(degrees, np.float64))
        if table.shape != (self.beams,) or not (np.abs(table) < np.pi / 2).all():
            raise BadInput(source, "elevation_deg", f"{self.beams} angles within +-90", degrees)
        return self._replace(elevation=table)


def _interleaved(low: float, high: float, step: float, pairs: int) -> Array:
    """Elevations of two banks that fire in turn, from the lowest beam of each upwards."""
    return np.deg2rad(np.stack([low + step * np.arange(pairs), high + step * np.arange(pairs)], axis=1).ravel())


def _heights(mm: tuple[float, ...]) -> Array:
    """A beam's origin in the VLP-16 family: the upper bank mirrors the lower one, in the opposite order."""
    lower = np.array(mm)
    return np.stack([lower, -lower[::-1]], axis=1).ravel() * 1e-3


MODELS: dict[ModelName, Model] = {
    "VLP-16": Model(
        "VLP-16",
        product=0x22,
        elevation=_interleaved(-15.0, 1.0, 2.0, 8),
        height=_heights((11.2, 9.7, 8.1, 6.6, 5.1, 3.7, 2.2, 0.7)),
        firing_ns=2_304,
        cycle_ns=55_296,
    ),
    "Puck Hi-Res": Model(
        "Puck Hi-Res",
        product=0x24,
        elevation=_interleaved(-10.0, 2.0 / 3.0, 4.0 / 3.0, 8),
        height=_heights((7.4, 6.5, 5.5, 4.6, 3.7, 2.7, 1.8, 0.9)),
        firing_ns=2_304,
        cycle_ns=55_296,
    ),
    "HDL-32E": Model(
        "HDL-32E",
        product=0x21,
        elevation=_interleaved(-92.0 / 3.0, -28.0 / 3.0, 4.0 / 3.0, 16),
        height=np.zeros(32),
        firing_ns=1_152,
        cycle_ns=46_080,
    ),
}


class DataPacket(NamedTuple):
    """A packet that can be used. time_us: past the hour, of the first firing. azimuth, blocks (the bytes of a BLOCK
    each): of its blocks, in order of time."""

    time_us: int
    azimuth: tuple[int, ...]
    blocks: bytes


def parse_packet(data: bytes, model: Model) -> DataPacket:
    """One UDP payload.

    Raises:
        BadInput: not such a packet; the field says in which respect, one of a fixed few.
    """
    if len(data) != PACKET.itemsize:
        raise BadInput("packet", "size", f"{PACKET.itemsize} bytes", len(data))
    *heads, time_us, mode, product = _HEADS.unpack(data)
    flags, azimuth = heads[::2], tuple(heads[1::2])
    if mode == DUAL_RETURN:
        raise BadInput("packet", "dual return", "a sensor set to one return, strongest or last", "dual return")
    if mode not in SINGLE_RETURN:
        raise BadInput("packet", "return mode", "0x37 or 0x38", hex(mode))
    if product != model.product:
        raise BadInput("packet", "product", f"{hex(model.product)}, {model.name}", hex(product))
    if flags != _FLAGS:
        raise BadInput("packet", "block flag", hex(FLAG), [hex(f) for f in flags])
    turn = sum((b - a) % TURN for a, b in pairwise(azimuth))
    if max(azimuth) >= TURN or turn >= TURN:
        raise BadInput("packet", "azimuth", "less than one turn, clockwise", azimuth)
    if time_us >= HOUR_US:
        raise BadInput("packet", "time", "microseconds within an hour", time_us)
    return DataPacket(time_us, azimuth, data[: BLOCKS * BLOCK.itemsize])


def points_of(blocks: Array, block_ns: Array, model: Model, axes: Axes) -> tuple[Array, int]:
    """Blocks in order of time -> their returns.

    Every firing has its own time and, as the sensor turns on between two blocks, its own azimuth (manual, 9.4, 9.5).

    Args:
        blocks: (K,) BLOCK. block_ns: (K,) int64, of each block's first firing. axes: `x_forward` = azimuth 0 along +x,
            y left, as most drivers give it; `y_forward` = azimuth 0 along +y, x right, as the maker draws it.

    Returns:
        (N,) POINT, t_ns relative to the last firing; and that firing's time.
    """
    offsets_ns = model.firing_offsets_ns()
    end_ns = int(block_ns[-1]) + int(offsets_ns[-1])
    distance = blocks["returns"]["distance"].ravel()
    returned = np.flatnonzero(distance)
    block, firing = np.divmod(returned, RETURNS)
    beam = firing % model.beams
    rho = distance[returned] * DISTANCE_M
    turned = blocks["azimuth"][block] + (offsets_ns / model.block_ns)[firing] * _advance(blocks["azimuth"])[block]
    azimuth, elevation = np.deg2rad(turned * (360.0 / TURN)), model.elevation[beam]
    ahead, right = rho * np.cos(elevation) * np.cos(azimuth), rho * np.cos(elevation) * np.sin(azimuth)
    points = np.empty(len(rho), POINT)
    points["x"], points["y"] = (ahead, -right) if axes == "x_forward" else (right, ahead)
    points["z"] = rho * np.sin(elevation) + model.height[beam]
    points["intensity"] = blocks["returns"]["reflectivity"].ravel()[returned] / 255.0
    points["t_ns"] = block_ns[block] + offsets_ns[firing] - end_ns
    points["ring"] = model.rings[beam]
    return points, end_ns


def _advance(azimuth: Array) -> npt.NDArray[np.float64]:
    """(K,) float64: how far each block turns, until the next begins.

    The last one, and one that is followed by a gap (lost packets, or a field of view that was narrowed), turns like the
    others.
    """
    steps = np.mod(np.diff(azimuth.astype(np.int64)), TURN).astype(np.float64)
    usual = float(np.median(steps)) if len(steps) else 0.0
    steps[steps > 2.0 * usual] = usual
    return np.append(steps, usual)
