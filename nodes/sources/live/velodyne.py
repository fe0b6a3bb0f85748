"""Velodyne LiDARs over UDP: packets in, whole sweeps out."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nodes.sources.live.driver import DatagramDriver, Datagrams, DriverSettings, FeedSettings, Raw
from nodes.sources.live.velodyne_packets import (
    BLOCK,
    BLOCKS,
    HOUR_US,
    MODELS,
    TURN,
    Array,
    Axes,
    DataPacket,
    Model,
    ModelName,
    parse_packet,
    points_of,
)
from pipeline.core.clock import Clock
from pipeline.core.messages import PointCloud

HOUR_NS = HOUR_US * 1_000
_MAX_HOLE_NS = 25_000_000
_MAX_SWEEP_NS = 300_000_000
_STEP_BACK_NS = 1_000_000_000


class VelodyneSettings(DriverSettings, frozen=True, tag_field="driver", tag="velodyne"):
    """One sensor.

    cut_deg: azimuth at which a sweep ends and the next begins; 180 = behind, where the seam does the least harm.
    axes: `x_forward` (x where azimuth is 0, y left) or `y_forward` (the maker's); as the rig's extrinsic means it.
    elevation_deg: calibrated elevation of each laser in firing order; empty = the maker's table.
    stamp_marks: which firing a packet's time is of; `last` for HDL-32E firmware as of the manual of 2012.
    """

    model: ModelName = "VLP-16"
    receive: FeedSettings = FeedSettings()
    cut_deg: float = 180.0
    axes: Axes = "x_forward"
    elevation_deg: tuple[float, ...] = ()
    stamp_marks: Literal["first", "last"] = "first"

    def __post_init__(self) -> None:
        if not 0.0 <= self.cut_deg < 360.0:
            raise ValueError(f"cut_deg: expected 0..360, got {self.cut_deg}")
        self.sensor_model()

    def sensor_model(self) -> Model:
        model = MODELS[self.model]
        return model.with_elevation(self.elevation_deg) if self.elevation_deg else model


class Velodyne(DatagramDriver):
    """Driver; sensor_ns = the last firing of a sweep, of the hour that is nearest to the host's time.

    losses, of packets: ``malformed ...`` by what was wrong, ``lost_packets`` by their times, ``duplicate`` and
    ``out_of_order`` ones, which are not used. given_up, of sweeps: ``broken_sweep`` lacks more than 25 ms, ``no_turn``
    did not come round in 0.3 s, ``empty_sweep`` had no return at all.
    """

    def __init__(self, settings: VelodyneSettings, datagrams: Datagrams, clock: Clock) -> None:
        super().__init__(f"velodyne {settings.receive.address}", datagrams, clock)
        self._settings = settings
        self._model = settings.sensor_model()
        self._hours = HourClock()
        self._sweeps = Sweeps(self._model, round(settings.cut_deg * 100), self._counts, self._given_up)

    def _take(self, data: bytes, arrival_ns: int) -> Raw | None:
        packet = parse_packet(data, self._model)
        packet_ns = self._hours.ns(packet.time_us, arrival_ns)
        if self._settings.stamp_marks == "last":
            packet_ns -= self._model.last_firing_ns
        sweep = self._sweeps.add(packet, packet_ns)
        if sweep is None:
            return None
        points, end_ns = points_of(sweep.blocks, sweep.block_ns, self._model, self._settings.axes)
        if not len(points):
            self._given_up["empty_sweep"] += 1
            return None
        return Raw(end_ns, arrival_ns, PointCloud(points=points))


class HourClock:
    """Microseconds past the hour -> int64 ns since 1970.

    The first time is of the hour that brings it nearest to the host's clock; from then on the hour is the one that fits
    the time passed since the packet before. So a sensor whose clock was never set, and may be half an hour off, rolls
    over once an hour and not whenever it drifts past the half.
    """

    def __init__(self) -> None:
        self._minus_host_ns = 0

    def ns(self, time_us: int, arrival_ns: int) -> int:
        expected_ns = arrival_ns + self._minus_host_ns
        hours = (expected_ns - time_us * 1_000 + HOUR_NS // 2) // HOUR_NS
        time_ns = time_us * 1_000 + hours * HOUR_NS
        self._minus_host_ns = time_ns - arrival_ns
        return time_ns


class Sweep(NamedTuple):
    """blocks: (K,) BLOCK in order of time. block_ns: (K,) int64, of each one's first firing."""

    blocks: Array
    block_ns: npt.NDArray[np.int64]


class Sweeps:
    """Cuts the stream of blocks where the azimuth passes the cut. Holds less than 0.3 s of them.

    Packets that are lost or not used are counted in ``packets``, sweeps in ``given_up``; the turn before the first cut
    is neither.
    """

    def __init__(self, model: Model, cut: int, packets: Counter[str], given_up: Counter[str]) -> None:
        self._packets = packets
        self._given_up = given_up
        self._model = model
        self._cut = cut
        self._offsets_ns = np.arange(BLOCKS) * model.block_ns
        self._held: list[tuple[int, int, bytes]] = []  # packet's time, number of its first block, its blocks
        self._complete = False  # from its beginning on
        self._last_ns: int | None = None
        self._turned = 0  # of the last block, from the cut

    def add(self, packet: DataPacket, packet_ns: int) -> Sweep | None:
        """The sweep that this packet completes, if it does."""
        if not self._in_time(packet_ns):
            return None
        turned = [(azimuth - self._cut) % TURN for azimuth in packet.azimuth]
        before = self._turned if self._held else turned[0]
        self._turned = turned[-1]
        passed = (k for k, (a, b) in enumerate(pairwise((before, *turned))) if b - a < -TURN // 2)
        at = next(passed, None)
        if at is None:
            self._held.append((packet_ns, 0, packet.blocks))
            if packet_ns - self._held[0][0] > _MAX_SWEEP_NS:
                self._break("no_turn")
            return None
        cut = at * BLOCK.itemsize
        self._held.append((packet_ns, 0, packet.blocks[:cut]))
        sweep = self._sweep() if self._complete else None
        self._held, self._complete = [(packet_ns, at, packet.blocks[cut:])], True
        return sweep

    def _sweep(self) -> Sweep:
        """All that is held."""
        times = [ns + self._offsets_ns[at : at + len(blocks) // BLOCK.itemsize] for ns, at, blocks in self._held]
        return Sweep(np.frombuffer(b"".join(blocks for _, _, blocks in self._held), BLOCK), np.concatenate(times))

    def _in_time(self, packet_ns: int) -> bool:
        """Whether the packet follows the last one; counts what is missing between them."""
        since_ns = 0 if self._last_ns is None else packet_ns - self._last_ns - self._model.packet_ns
        if -_STEP_BACK_NS < since_ns < -self._model.packet_ns // 2:
            self._packets["duplicate" if packet_ns == self._last_ns else "out_of_order"] += 1
            return False
        if not -_STEP_BACK_NS < since_ns <= _MAX_HOLE_NS:
            self._break("broken_sweep")
        elif missing := round(since_ns / self._model.packet_ns):
            self._packets["lost_packets"] += missing
        self._last_ns = packet_ns
        return True

    def _break(self, reason: str) -> None:
        """Give up the sweep; the next one begins at the next cut."""
        self._given_up[reason] += self._complete
        self._held, self._complete = [], False
