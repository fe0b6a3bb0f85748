"""Stands in for a LiDAR or a radar: sends the datagrams of a capture, or of a drive, over UDP.

    python -m nodes.sources.live.packet_replayer capture.pcap --port 2368 --to 127.0.0.1:2368
    python -m nodes.sources.live.packet_replayer DRIVE --topic lidar/top --model VLP-16 --to 127.0.0.1:2368
    python -m nodes.sources.live.packet_replayer DRIVE --topic radar/front --to 127.0.0.1:5600 --drop 0.01

A capture goes out byte for byte. A drive's sweeps are encoded as a Velodyne would send them, its radar cycles in our
own format, with stamps moved to now as by a sensor that is set to the host's time. At another rate than 1 the stamps
run that much too fast, which a clock model rightly takes for a broken clock: that is for load, not for tests of time.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import logging
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from calibration.rig import LidarSensor
from nodes.sources.drive import Drive
from nodes.sources.live.pcap import read_pcap
from nodes.sources.live.radar_udp import encode_scan
from nodes.sources.live.velodyne_encoder import encode_sweep
from nodes.sources.live.velodyne_packets import MODELS, Axes, Model
from nodes.sources.open_drive import open_drive
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import BadInput
from pipeline.core.messages import POINT, PointCloud, RadarScan
from pipeline.core.settings import Settings

logger = logging.getLogger(__name__)

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


def drive_datagrams(
    drive: Drive,
    topic: str,
    *,
    shift_ns: int = 0,
    model: Model = MODELS["VLP-16"],
    cut_deg: float = 180.0,
    axes: Axes = "x_forward",
    radar_id: int = 0,
) -> Iterator[Datagram]:
    """A LiDAR's or radar's messages as its datagrams, all times moved by ``shift_ns``.

    Raises:
        BadInput: not a LiDAR or radar that the drive has.
    """
    if topic in drive.topics and topic.startswith("radar/"):
        return _radar_datagrams(drive, topic, shift_ns, radar_id)
    if topic in drive.topics and topic.startswith("lidar/"):
        return _lidar_datagrams(drive, topic, shift_ns, model, cut_deg, axes)
    have = [t for t in drive.topics if t.startswith(("lidar/", "radar/"))]
    raise BadInput(drive.name, "topic", f"one of {have}", topic)


def _radar_datagrams(drive: Drive, topic: str, shift_ns: int, radar_id: int) -> Iterator[Datagram]:
    for message in drive.messages([topic]):
        if isinstance(message.payload, RadarScan):
            stamp = message.stamp
            for data in encode_scan(message.payload, stamp.time_ns + shift_ns, stamp.sequence, radar_id):
                yield Datagram(stamp.arrival_ns + shift_ns, data)


def _lidar_datagrams(
    drive: Drive, topic: str, shift_ns: int, model: Model, cut_deg: float, axes: Axes
) -> Iterator[Datagram]:
    """Each packet goes when its last firing is over; an empty one follows the last sweep, since only that ends it."""
    sensor = drive.rig[topic.rpartition("/")[2]]
    turn_ns = sensor.sweep_ns if isinstance(sensor, LidarSensor) else 100_000_000
    end_ns = unsent = 0
    for message in drive.messages([topic]):
        if isinstance(message.payload, PointCloud):
            since_ns = message.stamp.time_ns + shift_ns - end_ns
            end_ns += since_ns
            sweep_ns = min(turn_ns, since_ns)  # sweeps must not overlap
            sweep = encode_sweep(message.payload.points, end_ns, model, sweep_ns=sweep_ns, cut_deg=cut_deg, axes=axes)
            unsent += sweep.unsent
            yield from (Datagram(time_ns + model.packet_ns, data) for time_ns, data in sweep.packets)
    none = encode_sweep(np.empty(0, POINT), end_ns + turn_ns, model, sweep_ns=turn_ns, cut_deg=cut_deg, axes=axes)
    yield Datagram(none.packets[0].time_ns + model.packet_ns, none.packets[0].data)
    if unsent:
        logger.info("%s: %d points that a %s cannot see were left out", topic, unsent, model.name)


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


def replay(
    datagrams: Iterable[Datagram], send: Callable[[bytes], object], clock: Clock, begin_ns: int, rate: float = 1.0
) -> int:
    """Send each datagram when it is due; returns how many were sent.

    Args:
        begin_ns: host time at which what is of ``begin_ns`` is sent.
        rate: seconds of the datagrams' time per second; 0 = as fast as it goes.
    """
    count = 0
    for datagram in datagrams:
        if rate:
            clock.sleep_until(begin_ns + round((datagram.time_ns - begin_ns) / rate))
        send(datagram.data)
        count += 1
    return count


@contextlib.contextmanager
def udp_sender(address: str, allow_remote: bool = False) -> Iterator[Callable[[bytes], int]]:
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
    parser = argparse.ArgumentParser(description="Send the datagrams of a capture or a drive, as a sensor would.")
    parser.add_argument("source", type=Path, help="classic pcap file, or a drive")
    parser.add_argument("--to", default="127.0.0.1:2368", help="HOST:PORT")
    parser.add_argument("--allow-remote", action="store_true", help="to another machine than this one")
    parser.add_argument("--port", type=int, default=0, help="of a capture: only datagrams to this port")
    parser.add_argument("--topic", default="", help="of a drive: such as lidar/top or radar/front")
    parser.add_argument("--model", choices=list(MODELS), default="VLP-16")
    parser.add_argument("--radar-id", type=int, default=0)
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
        with udp_sender(args.to, args.allow_remote) as send:
            begin_ns = clock.now_ns() + _LEAD_NS
            datagrams = _named(args, begin_ns)
            count = replay(disturbed(datagrams, faults, done), send, clock, begin_ns, args.rate)
    except (BadInput, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"sent {count} datagrams" + "".join(f", {number} {what}" for what, number in sorted(done.items()) if number))
    return 0


def _named(args: argparse.Namespace, begin_ns: int) -> Iterator[Datagram]:
    """What the command line names, beginning at ``begin_ns``."""
    if args.source.suffix in (".pcap", ".cap", ".dump"):
        return capture_datagrams(args.source, begin_ns, args.port)
    drive = open_drive(args.source)
    shift_ns = begin_ns - drive.start_ns
    return drive_datagrams(drive, args.topic, shift_ns=shift_ns, model=MODELS[args.model], radar_id=args.radar_id)


if __name__ == "__main__":
    sys.exit(main())
