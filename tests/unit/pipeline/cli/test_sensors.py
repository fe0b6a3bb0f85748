"""`doctor --live`: a sensor that speaks, one that is silent, one whose clock is not what the rig says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from nodes.sources.live.driver import FeedSettings
from nodes.sources.live.imu_udp import encode_samples
from pipeline.cli.sensors import check_sensors
from pipeline.core.clock import ManualClock
from pipeline.core.messages import ImuSample

NOW_NS = 1_764_156_919_000_000_000
SAMPLE = ImuSample(angular_velocity=(0.0, 0.0, 0.0), linear_acceleration=(0.0, 0.0, 9.8))
RIG = """
version: 1
vehicle: test
sensors:
  - modality: imu
    name: box
    rate_hz: 100.0
    clock: {discipline: vehicle}
    extrinsic: {translation: [0, 0, 0], rotation_wxyz: [1, 0, 0, 0]}
"""


class Air:
    """A sample every 10 ms, stamped by a clock that is off."""

    def __init__(self, clock: ManualClock, offset_ns: int, silent: bool) -> None:
        self.losses: Counter[str] = Counter()
        self._clock, self._offset_ns, self._silent, self._n = clock, offset_ns, silent, 0

    def receive(self, timeout_s: float) -> bytes | None:
        if self._silent:
            self._clock.sleep_until(self._clock.now_ns() + round(timeout_s * 1e9))
            return None
        self._n += 1
        self._clock.sleep_until(NOW_NS + self._n * 10_000_000)
        stamp_ns = self._clock.now_ns() - 1_000_000 + self._offset_ns
        return encode_samples([SAMPLE], stamp_ns, 0, self._n)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("offset_ns", "silent", "verdict", "words"),
    [
        (0, False, "ok", "100.0 Hz of 100; arrival minus stamp 1.0 ms, varies by 0.0 ms"),
        (3_600_000_000_000, False, "wrong", "not the vehicle's"),
        (0, True, "wrong", "nothing within 1 s"),
    ],
)
def test_each_state_of_a_sensor(tmp_path: Path, offset_ns: int, silent: bool, verdict: str, words: str) -> None:
    (tmp_path / "rig.yaml").write_text(RIG)
    (tmp_path / "live.yaml").write_text("rig: rig.yaml\nsensors:\n  box: {driver: imu_udp}\n")
    clock = ManualClock()
    clock.sleep_until(NOW_NS)

    def open_feed(settings: FeedSettings) -> Air:
        return Air(clock, offset_ns, silent)

    (finding,) = check_sensors(tmp_path / "live.yaml", clock, open_feed, listen_ns=1_000_000_000)
    assert finding.verdict == verdict
    assert words in finding.text
