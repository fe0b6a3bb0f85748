"""The IMU's datagrams: batches, gaps by the counter, numbers that are none, garbage, and the packet replayer's."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.sources.live.driver import Raw
from nodes.sources.live.imu_udp import ImuUdp, ImuUdpSettings, encode_samples, parse_datagram
from nodes.sources.live.packet_replayer import drive_datagrams
from nodes.sources.open_drive import open_drive
from pipeline.core.clock import ManualClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import ImuSample

STILL = ImuSample(angular_velocity=(0.0, 0.0, 0.0), linear_acceleration=(0.0, 0.0, 9.75))
TURNING = ImuSample(angular_velocity=(0.0, 0.0, 0.5), linear_acceleration=(1.0, 0.0, 9.75))
LOST = ImuSample(angular_velocity=(float("nan"), 0.0, 0.0), linear_acceleration=(0.0, 0.0, 9.75))


class Datagrams:
    def __init__(self, data: list[bytes]) -> None:
        self.losses: Counter[str] = Counter()
        self._data = list(data)

    def receive(self, timeout_s: float) -> bytes | None:
        return self._data.pop(0) if self._data else None

    def close(self) -> None:
        pass


def read_all(imu: ImuUdp, tries: int = 100) -> list[Raw]:
    return [raw for raw in (imu.read(0.01) for _ in range(tries)) if raw is not None]


def driver(data: list[bytes]) -> ImuUdp:
    return ImuUdp(ImuUdpSettings(), Datagrams(data), ManualClock())


def test_each_sample_of_a_batch_has_its_time_and_number() -> None:
    top = 2**32 - 1
    found = read_all(driver([encode_samples([STILL, TURNING], 1_000, 10_000_000, top)]))
    assert [(r.sensor_ns, r.counter) for r in found] == [(1_000, top), (10_001_000, 0)]
    assert found[1].payload.angular_velocity == TURNING.angular_velocity
    assert found[1].payload.linear_acceleration == TURNING.linear_acceleration


def test_gaps_copies_other_imus_and_numbers_that_are_none() -> None:
    first, again = encode_samples([STILL, LOST], 0, 10, 5), encode_samples([STILL, LOST], 0, 10, 5)
    imu = driver([first, again, encode_samples([STILL], 50, 0, 10), encode_samples([STILL], 60, 0, 11, imu_id=3)])
    assert [raw.counter for raw in read_all(imu)] == [5, 10]
    assert imu.given_up == {"not_finite": 1, "lost_sample": 3}
    assert imu.losses == {"out_of_order": 1, "other_imu": 1}


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [(0, b"SLRD", "magic"), (4, b"\2", "version"), (6, b"\0\0", "count"), (30, b"\7", "CRC-32")],
)
def test_each_damaged_field_is_named(at: int, value: bytes, field: str) -> None:
    data = bytearray(encode_samples([TURNING], 0, 0, 0))
    data[at : at + len(value)] = value
    with pytest.raises(BadInput, match=f"datagram: {field}"):
        parse_datagram(bytes(data))
    with pytest.raises(BadInput, match="size"):
        parse_datagram(struct.pack("<4s", b"SLIM"))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing(data: bytes) -> None:
    assert read_all(driver([data, b"SLIM" + data]), 5) == []


@pytest.mark.drives
def test_a_drive_s_samples_through_the_packet_replayer() -> None:
    path = Path(__file__).resolve().parents[5].parent / "shared" / "drives" / "kitti_raw_0002"
    if not path.is_dir():
        pytest.skip("needs the recorded KITTI drive under ../shared/drives")
    drive = open_drive(path)
    topic = next(t for t in drive.topics if t.startswith("imu/"))
    sent = [m for m in drive.messages([topic]) if isinstance(m.payload, ImuSample)]
    found = read_all(driver([d.data for d in drive_datagrams(drive, topic, ImuUdpSettings())]))
    assert [raw.sensor_ns for raw in found] == [m.stamp.time_ns for m in sent]
    assert found[0].payload.linear_acceleration == pytest.approx(sent[0].payload.linear_acceleration, rel=1e-6)
