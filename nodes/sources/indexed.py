"""`IndexedDrive`: what every dataset reader shares once it knows its streams, their stamps and how to load a frame."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from pipeline.core.arrays import Payload
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, PointCloud, RadarScan, Stamp
from pipeline.core.topics import topic_row
from pipeline.core.truth import TruthObjects

_log = logging.getLogger(__name__)

ASSUMED_LATENCY_NS = {
    "camera": 18_000_000,
    "lidar": 4_000_000,
    "radar": 9_000_000,
    "imu": 1_000_000,
    "wheel": 1_000_000,
    "gnss": 20_000_000,
    "pose": 1_000_000,
    "truth": 0,
}
"""Datasets keep no host arrival stamps: arrival_ns = time_ns + this, by the first part of the topic. Typical figures of
GMSL cameras, UDP LiDARs and CAN-FD radars; `Clock.has_arrival` is False in the rig: they are not measured."""

_EARLIEST_NS = 631_152_000 * 10**9  # 1990-01-01
_LATEST_NS = 4_102_444_800 * 10**9  # 2100-01-01


@dataclass(frozen=True)
class Stream:
    """One topic of a drive.

    Args:
        topic: such as `camera/front`.
        times_ns: (K,) int64 vehicle clock, as the files have them: the drive sorts out absurd and backward ones.
        load: frame number -> payload; raises BadInput where the frame cannot be read.
        source: the file or folder that the stamps came from, for messages.
        sigma_ns: 1-sigma uncertainty of the times.
        sensor_ns: (K,) int64 the device's own stamps, where times_ns are corrected ones.
    """

    topic: str
    times_ns: npt.NDArray[np.int64]
    load: Callable[[int], Payload]
    source: object
    sigma_ns: int = 0
    sensor_ns: npt.NDArray[np.int64] | None = None


class IndexedDrive:
    """A `Drive` over streams whose stamps are known and whose payloads are loaded one by one when their turn comes.

    Raises:
        BadInput: a stream none of whose stamps can be used, or no stream at all.
    """

    def __init__(self, name: str, rig: Rig, streams: Iterable[Stream]) -> None:
        self._name = name
        self._rig = rig
        self._streams = {stream.topic: stream for stream in streams}
        self._unreadable: Counter[str] = Counter()
        self._reported: set[tuple[str, int]] = set()
        if not self._streams:
            raise BadInput(name, "streams", "at least one", "none")
        self._usable = {topic: self._check_stamps(stream) for topic, stream in self._streams.items()}
        times = np.concatenate([s.times_ns[self._usable[s.topic]] for s in self._streams.values()])
        self._start_ns, self._end_ns = int(times.min()), int(times.max()) + 1

    @property
    def name(self) -> str:
        return self._name

    @property
    def rig(self) -> Rig:
        return self._rig

    @property
    def start_ns(self) -> int:
        return self._start_ns

    @property
    def end_ns(self) -> int:
        return self._end_ns

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._streams)

    @property
    def counts(self) -> Mapping[str, int]:
        return {topic: int(usable.sum()) for topic, usable in self._usable.items()}

    @property
    def unreadable(self) -> Mapping[str, int]:
        return dict(self._unreadable)

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        times_ns = self._streams[topic].times_ns[self._usable[topic]]
        return np.sort(times_ns) + ASSUMED_LATENCY_NS[topic.partition("/")[0]]

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        chosen = [self._streams[topic] for topic in (self._streams if topics is None else topics)]
        return self._read(chosen, _EARLIEST_NS if start_ns is None else start_ns, end_ns)

    def _read(self, streams: list[Stream], start_ns: int, end_ns: int | None) -> Iterator[Message]:
        order: list[tuple[int, str, int]] = []
        for stream in streams:
            latency = ASSUMED_LATENCY_NS[stream.topic.partition("/")[0]]
            wanted = self._usable[stream.topic] & (stream.times_ns >= start_ns)
            if end_ns is not None:
                wanted &= stream.times_ns < end_ns
            order += [(int(stream.times_ns[i]) + latency, stream.topic, int(i)) for i in np.flatnonzero(wanted)]
        for arrival_ns, topic, i in sorted(order):
            stream = self._streams[topic]
            try:
                payload, lost = finite_points(stream.load(i), f"{topic} frame {i}")
            except BadInput as error:
                self._count(topic, i, error.field, 1, error)
                continue
            if lost:
                self._count(topic, i, "points not finite", lost, f"{topic}: frame {i}: {lost} points are not finite")
            outside = int((payload.class_id < 0).sum()) if isinstance(payload, TruthObjects) else 0
            if outside and (topic, i) not in self._reported:
                self._reported.add((topic, i))
                self._unreadable[f"{topic} labels of no class"] += outside
            time_ns = int(stream.times_ns[i])
            stamp = Stamp(
                sensor_ns=time_ns if stream.sensor_ns is None else int(stream.sensor_ns[i]),
                arrival_ns=arrival_ns,
                time_ns=time_ns,
                sigma_ns=stream.sigma_ns,
                sequence=i,
            )
            yield Message(topic, stamp, payload)

    def _check_stamps(self, stream: Stream) -> npt.NDArray[np.bool_]:
        topic_row(stream.topic)  # raises where the table has no such topic
        usable = usable_stamps(stream.times_ns, stream.source)
        for i in np.flatnonzero(~usable):
            time_ns = int(stream.times_ns[i])
            fault = "out of order" if plausible(time_ns) else "absurd" if time_ns else "missing"
            message = f"{stream.source}: {stream.topic} frame {i}: stamp {fault}: {time_ns} ns"
            self._count(stream.topic, int(i), f"stamp {fault}", 1, message)
        return usable

    def _count(self, topic: str, i: int, reason: str, number: int, message: object) -> None:
        """Once per frame, however often the drive is read."""
        if (topic, i) not in self._reported:
            self._reported.add((topic, i))
            self._unreadable[f"{topic} {reason}"] += number
            _log.warning("%s", message)


def finite_points(payload: Payload, source: str) -> tuple[Payload, int]:
    """The payload without points that are no numbers, and how many those were.

    Raises:
        BadInput: a LiDAR sweep in which no point is left.
    """
    if not isinstance(payload, PointCloud | RadarScan):
        return payload, 0
    finite = np.isfinite(payload.xyz).all(axis=1)
    lost = int((~finite).sum())
    if isinstance(payload, PointCloud) and lost == len(finite):
        raise BadInput(source, "empty sweep", "at least one point", f"none of {lost} is finite" if lost else "none")
    return (msgspec.structs.replace(payload, points=payload.points[finite]) if lost else payload), lost


def plausible(times_ns: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether each time lies between 1990 and 2100; a unit slip (us taken for ms, ...) does not."""
    times = np.asarray(times_ns, dtype=np.int64)
    return np.asarray((times > _EARLIEST_NS) & (times < _LATEST_NS))


def usable_stamps(times_ns: npt.NDArray[np.int64], source: object) -> npt.NDArray[np.bool_]:
    """(K,) bool: the stamps that are plausible and in order.

    Raises:
        BadInput: there is none.
    """
    usable = plausible(times_ns)
    if not usable.any():
        found = f"{times_ns[0]} ns" if len(times_ns) else "no stamp"
        raise BadInput(source, "timestamps", "times between 1990 and 2100", found)
    usable[usable] = longest_increasing(times_ns[usable])
    return usable


def longest_increasing(times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(K,) bool: the longest strictly increasing subsequence of times, of several the one with the smaller steps.

    One stamp that jumps ahead costs itself only, not all that follow it. Fredman (1975), patience sorting.
    """
    times = times_ns.tolist()
    tails: list[int] = []  # smallest last time of an increasing run of each length
    by_length: list[list[int]] = []  # frames at which a run of that length can end
    for i, time_ns in enumerate(times):
        place = bisect_left(tails, time_ns)
        tails[place : place + 1] = [time_ns]
        if place == len(by_length):
            by_length.append([])
        by_length[place].append(i)
    keep = np.zeros(len(times), dtype=bool)
    at, time_ns = len(times), tails[-1] + 1 if tails else 0
    for candidates in reversed(by_length):
        at = max((i for i in candidates if i < at and times[i] < time_ns), key=times.__getitem__)
        time_ns = times[at]
        keep[at] = True
    return keep


def ns_from_seconds(seconds: Iterable[float]) -> npt.NDArray[np.int64]:
    """UNIX seconds as float64 -> int64 ns, rounded to the microsecond that float64 resolves; what int64 ns cannot hold
    (after the year 2262) is cut off there."""
    return np.array([round(min(max(s, -9e9), 9e9) * 1e6) * 1000 for s in seconds], dtype=np.int64)


def ns_from_us(microseconds: Iterable[int]) -> npt.NDArray[np.int64]:
    """Whole UNIX microseconds -> int64 ns, cut off like `ns_from_seconds`."""
    return np.array([min(max(us, -9 * 10**15), 9 * 10**15) * 1000 for us in microseconds], dtype=np.int64)
