"""Live LiDAR: what reading its packets costs, beside the time in which the sensor sends them.

CPU time of the driver alone, datagrams from memory; the limit is real time, so the ratio is the share of one core.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from nodes.sources.live.velodyne import Velodyne, VelodyneSettings
from nodes.sources.live.velodyne_encoder import encode_sweep
from nodes.sources.live.velodyne_packets import MODELS, ModelName
from pipeline.core.clock import ManualClock
from pipeline.core.messages import POINT

T0 = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
SWEEPS, REPEATS = 11, 7
MODEL_NAMES: tuple[ModelName, ...] = ("VLP-16", "HDL-32E")


class _Memory:
    """Datagrams from a list; the clock follows them."""

    losses: dict[str, int] = {}

    def __init__(self, packets: list[tuple[int, bytes]], clock: ManualClock) -> None:
        self._packets = iter(packets)
        self._clock = clock

    def receive(self, timeout_s: float) -> bytes | None:
        entry = next(self._packets, None)
        if entry is None:
            return None
        self._clock.sleep_until(entry[0])
        return entry[1]

    def close(self) -> None: ...


def run() -> list[dict[str, Any]]:
    rows = []
    for name in MODEL_NAMES:
        packets = street(name)
        costs = [cost_us(name, packets) for _ in range(REPEATS)]
        value = float(np.median(costs))
        limit = MODELS[name].packet_ns / 1e3
        rows.append(
            {
                "name": f"{name}, one packet, sweeps assembled",
                "value": value,
                "unit": "µs CPU",
                "limit": limit,
                "limit_name": "time in which the sensor sends it",
                "ratio": value / limit,
            }
        )
    return rows


def street(name: ModelName) -> list[tuple[int, bytes]]:
    """Packets of some sweeps in which every second firing returns."""
    model = MODELS[name]
    rng = np.random.default_rng(0)
    count = PERIOD_NS // model.cycle_ns * model.beams // 2
    turned, beam = rng.random(count), rng.integers(0, model.beams, count)
    azimuth, distance = np.pi - 2 * np.pi * turned, rng.uniform(3.0, 90.0, count)
    points = np.zeros(count, POINT)
    across = distance * np.cos(model.elevation[beam])
    points["x"], points["y"] = across * np.cos(azimuth), across * np.sin(azimuth)
    points["z"] = distance * np.sin(model.elevation[beam]) + model.height[beam]
    points["t_ns"] = (turned - 1.0) * PERIOD_NS
    return [
        (packet.time_ns + model.packet_ns, packet.data)
        for k in range(SWEEPS)
        for packet in encode_sweep(points, T0 + k * PERIOD_NS, model).packets
    ]


def cost_us(name: ModelName, packets: list[tuple[int, bytes]]) -> float:
    """CPU time per packet, µs."""
    clock = ManualClock(T0 - PERIOD_NS)
    driver = Velodyne(VelodyneSettings(model=name), _Memory(packets, clock), clock)
    started, sweeps = time.process_time(), 0
    while driver.read(3600.0) is not None:
        sweeps += 1
    assert sweeps == SWEEPS - 2, sweeps
    return (time.process_time() - started) / len(packets) * 1e6


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:45} {row['value']:8.1f} {row['unit']}  of {row['limit']:.0f} µs: {row['ratio']:.1%}")
