"""`syncline doctor --live`: is there anything from each sensor, at which rate, and what is its clock worth?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calibration.rig import Sensor
from nodes.sources.live.config import LiveSensor, load_live, open_driver
from nodes.sources.live.driver import Driver, OpenFeed, Raw
from pipeline.cli.findings import Finding
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput

_LISTEN_NS = 3_000_000_000
_POLL_S = 0.05
_ENOUGH = 0.8  # of the rig's rate


def check_sensors(path: Path, clock: Clock, open_feed: OpenFeed, listen_ns: int = _LISTEN_NS) -> Iterator[Finding]:
    """Listen to every sensor of a live configuration, one after the other.

    Raises:
        BadInput: the configuration itself is wrong.
    """
    drivers, rig = load_live(path)
    for name, settings in drivers.items():
        yield _check(rig[name], settings, clock, open_feed, listen_ns)


def _check(sensor: Sensor, settings: LiveSensor, clock: Clock, open_feed: OpenFeed, listen_ns: int) -> Finding:
    subject = f"sensor {sensor.name}"
    try:
        driver = open_driver(settings, sensor, clock, open_feed)
    except BadInput as error:
        return Finding(subject, "wrong", str(error))
    try:
        came = list(_listen(driver, clock, listen_ns))
        lost = {**driver.losses, **driver.given_up}
    finally:
        driver.close()
    counted = "".join(f", {what} {count}" for what, count in lost.items())
    if not came:
        return Finding(subject, "wrong", f"nothing within {listen_ns / 1e9:.0f} s{counted}")
    rate_hz = len(came) * 1e9 / listen_ns
    delay_ms = np.array([raw.arrival_ns - raw.sensor_ns for raw in came]) / 1e6
    text = f"{rate_hz:.1f} Hz of {sensor.rate_hz:g}; arrival minus stamp {np.median(delay_ms):.1f} ms,"
    text += f" varies by {np.ptp(delay_ms):.1f} ms; clock: {sensor.clock.discipline}{counted}"
    odd = sensor.clock.discipline == "vehicle" and not -5.0 < np.median(delay_ms) < 1000.0
    if odd:
        text += "; a clock that far from the host's is not the vehicle's"
    return Finding(subject, "wrong" if odd else "ok" if rate_hz >= _ENOUGH * sensor.rate_hz else "note", text)


def _listen(driver: Driver, clock: Clock, listen_ns: int) -> Iterator[Raw]:
    end_ns = clock.now_ns() + listen_ns
    while clock.now_ns() < end_ns:
        raw = driver.read(_POLL_S)
        if raw is not None:
            yield raw
