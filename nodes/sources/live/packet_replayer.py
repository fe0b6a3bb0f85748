"""Stands in for LiDARs, radars, GNSS receivers and IMUs: sends the datagrams of a drive, or of a capture, over UDP.

    python -m nodes.sources.live.packet_replayer out/record/run.mcap --live configs/live/rehearsal.yaml --drop 0.01
    python -m nodes.sources.live.packet_replayer capture.pcap --port 2368 --to 127.0.0.1:2368

A drive's sweeps and radar cycles are encoded for the drivers of a live configuration and sent to where those listen,
with stamps moved to now as by sensors that are set to the host's time. A capture goes out byte for byte. At another
rate than 1 a drive's stamps run that much too fast, which a clock model rightly takes for a broken clock: that is for
load, not for tests of time.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import ipaddress
import itertools
import logging
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from calibration.rig import LidarSensor
from nodes.sources.drive import Drive
from nodes.sources.live.camera import CameraSettings
from nodes.sources.live.config import load_live
from nodes.sources.live.imu_udp import ImuUdpSettings, encode_samples
from nodes.sources.live.nmea import NmeaSettings, encode_fix
from nodes.sources.live.pcap import read_pcap
from nodes.sources.live.radar_udp import RadarUdpSettings, encode_scan
from nodes.sources.live.velodyne import VelodyneSettings
from nodes.sources.live.velodyne_encoder import EncodedSweep, encode_sweep
from nodes.sources.open_drive import open_drive
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, GnssFix, ImuSample, PointCloud, RadarScan
from pipeline.core.settings import Settings

logger = logging.getLogger(__name__)

NetworkSensor: TypeAlias = VelodyneSettings | RadarUdpSettings | NmeaSettings | ImuUdpSettings
Send: TypeAlias = Callable[[bytes], object]

_LEAD_NS = 200_000_000


class Datagram(NamedTuple):
    """time_ns: when the device sends it."""

    time_ns: int
    data: bytes


class Faults(Settings, frozen=True):
    """What a bad network does, as probabilities per datagram; the same seed does the same.

    reorder: it changes places with the next one. corrupt: one of its bytes becomes another.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(0.0 <= p <= 1.0 for p in (self.drop, self.duplicate, self.reorder, self.corrupt)):
            raise ValueError("drop, duplicate, reorder, corrupt: expected probabilities")


def capture_datagrams(path: Path, begin_ns: int, port: int = 0) -> Iterator[Datagram]:
    """The datagrams to ``port`` in a pcap file, the first of them at ``begin_ns``. Raises BadInput where it is none."""
    shift_ns: int | None = None
    for time_ns, _, data in read_pcap(path, port):
        shift_ns = begin_ns - time_ns if shift_ns is None else shift_ns
        yield Datagram(time_ns + shift_ns, data)


def drive_datagrams(drive: Drive, topic: str, settings: NetworkSensor, shift_ns: int = 0) -> Iterator[Datagram]:
    """Messages of a LiDAR, radar, GNSS receiver or IMU as a driver of these settings hears them, ``shift_ns`` later.

    Raises:
        BadInput: the drive has no such topic.
    """
    if topic not in drive.topics:
        raise BadInput(drive.name, "topics", topic, list(drive.topics))
    if isinstance(settings, VelodyneSettings):
        return _lidar_datagrams(drive, topic, settings, shift_ns)
    if isinstance(settings, NmeaSettings):
        return _gnss_datagrams(drive, topic, settings, shift_ns)
    if isinstance(settings, ImuUdpSettings):
        return _imu_datagrams(drive, topic, settings, shift_ns)
    return _radar_datagrams(drive, topic, settings, shift_ns)


def _imu_datagrams(drive: Drive, topic: str, settings: ImuUdpSettings, shift_ns: int) -> Iterator[Datagram]:
    for message in drive.messages([topic]):
        if isinstance(message.payload, ImuSample):
            stamp = message.stamp
            data = encode_samples([message.payload], stamp.time_ns + shift_ns, 0, stamp.sequence, settings.imu_id)
            yield Datagram(stamp.arrival_ns + shift_ns, data)


def _gnss_datagrams(drive: Drive, topic: str, settings: NmeaSettings, shift_ns: int) -> Iterator[Datagram]:
    for message in drive.messages([topic]):
        if isinstance(message.payload, GnssFix):
            stamp = message.stamp
            data = encode_fix(message.payload, stamp.time_ns + shift_ns, settings.range_error_m)
            yield Datagram(stamp.arrival_ns + shift_ns, data)


def _radar_datagrams(drive: Drive, topic: str, settings: RadarUdpSettings, shift_ns: int) -> Iterator[Datagram]:
    for message in drive.messages([topic]):
        if isinstance(message.payload, RadarScan):
            stamp = message.stamp
            for data in encode_scan(message.payload, stamp.time_ns + shift_ns, stamp.sequence, settings.radar_id):
                yield Datagram(stamp.arrival_ns + shift_ns, data)


def _lidar_datagrams(drive: Drive, topic: str, settings: VelodyneSettings, shift_ns: int) -> Iterator[Datagram]:
    """Each packet goes when its last firing is over; an empty one follows the last sweep, since only that ends it."""
    sensor = drive.rig[topic.rpartition("/")[2]]
    turn_ns = sensor.sweep_ns if isinstance(sensor, LidarSensor) else 100_000_000
    packet_ns = settings.sensor_model().packet_ns
    end_ns = unsent = 0
    for message in drive.messages([topic]):
        if isinstance(message.payload, PointCloud):
            since_ns = message.stamp.time_ns + shift_ns - end_ns
            end_ns += since_ns
            sweep = _encoded(message.payload.points, end_ns, settings, min(turn_ns, since_ns))  # no overlap
            unsent += sweep.unsent
            yield from (Datagram(time_ns + packet_ns, data) for time_ns, data in sweep.packets)
    nothing = _encoded(np.empty(0, POINT), end_ns + turn_ns, settings, turn_ns).packets[0]
    yield Datagram(nothing.time_ns + packet_ns, nothing.data)
    if unsent:
        logger.warning("%s: %d points that a %s cannot see were left out", topic, unsent, settings.model)


def _encoded(points: np.ndarray, end_ns: int, settings: VelodyneSettings, sweep_ns: int) -> EncodedSweep:
    return encode_sweep(
        points, end_ns, settings.sensor_model(), sweep_ns=sweep_ns, cut_deg=settings.cut_deg, axes=settings.axes
    )


def disturbed(datagrams: Iterable[Datagram], faults: Faults, done: Counter[str]) -> Iterator[Datagram]:
    """The datagrams as they come through a bad network; ``done`` counts what was done to them."""
    chance = random.Random(faults.seed)
    held: list[Datagram] = []
    for datagram in datagrams:
        if chance.random() < faults.drop:
            done["drop"] += 1
            continue
        if datagram.data and chance.random() < faults.corrupt:
            done["corrupt"] += 1
            data = bytearray(datagram.data)
            data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
            datagram = datagram._replace(data=bytes(data))
        twice = chance.random() < faults.duplicate
        done["duplicate"] += twice
        if not held and chance.random() < faults.reorder:
            done["reorder"] += 1
            held = [datagram] * (1 + twice)
            continue
        yield from [datagram] * (1 + twice)
        yield from (late._replace(time_ns=datagram.time_ns) for late in held)
        held = []
    yield from held


def replay(streams: Iterable[tuple[Iterable[Datagram], Send]], clock: Clock, begin_ns: int, rate: float = 1.0) -> int:
    """Send the datagrams of each stream to where it goes, when they are due; returns how many were sent.

    Args:
        begin_ns: host time at which what is of ``begin_ns`` is sent.
        rate: seconds of the datagrams' time per second; 0 = as fast as it goes.
    """
    queues = [zip(datagrams, itertools.repeat(send), strict=False) for datagrams, send in streams]
    count = 0
    for datagram, send in heapq.merge(*queues, key=lambda entry: entry[0].time_ns):
        if rate:
            clock.sleep_until(begin_ns + round((datagram.time_ns - begin_ns) / rate))
        send(datagram.data)
        count += 1
    return count


@contextlib.contextmanager
def udp_sender(address: str, allow_remote: bool = False) -> Iterator[Send]:
    """Sends to HOST:PORT.

    Raises:
        BadInput: no such address, or not this machine without ``allow_remote``: packets of a made-up LiDAR must not
            reach a vehicle by mistake.
    """
    host, _, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(socket.gethostbyname(host))
        to = (str(ip), int(port))
    except (OSError, ValueError) as error:
        raise BadInput("packet replayer", "to", "HOST:PORT", f"{address}: {error}") from error
    if not ip.is_loopback and not allow_remote:
        raise BadInput("packet replayer", "to", "a loopback address, or --allow-remote", address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield lambda data: sender.sendto(data, to)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Send the datagrams of a drive or a capture, as sensors would.")
    parser.add_argument("source", type=Path, help="a drive, or a classic pcap file")
    parser.add_argument("--live", type=Path, help="of a drive: the live configuration whose drivers are to hear it")
    parser.add_argument("--to", default="127.0.0.1:2368", help="of a capture: HOST:PORT to send to")
    parser.add_argument("--port", type=int, default=0, help="of a capture: only datagrams to this port")
    parser.add_argument("--allow-remote", action="store_true", help="to another machine than this one")
    parser.add_argument("--rate", type=float, default=1.0, help="times real time; 0 = as fast as it goes")
    for fault in ("drop", "duplicate", "reorder", "corrupt"):
        parser.add_argument(f"--{fault}", type=float, default=0.0, help="probability per datagram")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    args = parser.parse_args(arguments)
    clock = SystemClock()
    done: Counter[str] = Counter()
    try:
        faults = Faults(
            drop=args.drop, duplicate=args.duplicate, reorder=args.reorder, corrupt=args.corrupt, seed=args.seed
        )
        with contextlib.ExitStack() as sockets:
            begin_ns = clock.now_ns() + _LEAD_NS
            streams = [
                (disturbed(datagrams, faults, done), sockets.enter_context(udp_sender(address, args.allow_remote)))
                for datagrams, address in _named(args, begin_ns)
            ]
            count = replay(streams, clock, begin_ns, args.rate)
    except (BadInput, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"sent {count} datagrams" + "".join(f", {number} {what}" for what, number in sorted(done.items()) if number))
    return 0


def _named(args: argparse.Namespace, begin_ns: int) -> list[tuple[Iterator[Datagram], str]]:
    """What the command line names, beginning at ``begin_ns``, and where it goes."""
    if args.live is None:
        return [(capture_datagrams(args.source, begin_ns, args.port), args.to)]
    drive = open_drive(args.source)
    drivers, rig = load_live(args.live)
    streams = []
    for name, settings in drivers.items():
        if isinstance(settings, CameraSettings) or settings.receive.transport != "udp":
            logger.warning("%s: only what is heard over UDP is replayed", name)
            continue
        datagrams = drive_datagrams(drive, f"{rig[name].modality}/{name}", settings, begin_ns - drive.start_ns)
        streams.append((datagrams, settings.receive.address.replace("0.0.0.0:", "127.0.0.1:")))
    return streams


if __name__ == "__main__":
    sys.exit(main())
