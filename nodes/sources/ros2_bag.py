"""ROS 2 bags (folder with metadata.yaml, .db3 or .mcap) as drives.

Topics are guessed by type and name; `syncline.yaml` in the bag's folder corrects the guesses (see `ros2_mapping`).
Mounting comes from /tf_static, intrinsics from CameraInfo, the ego pose from Odometry. sensor_ns is the header's stamp,
time_ns too (a cloud's: its last point's), arrival_ns is when the bag's recorder got the message. At opening the whole
bag is read once, for stamps and calibration; payloads are decoded when their turn comes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.rig import CameraSensor, Rig
from calibration.se3 import SE3
from nodes.sources import ros2_messages as decode
from nodes.sources.indexed import finite_points, usable_stamps
from nodes.sources.ros2_index import BagIndex, decode_cdr, raw_messages
from nodes.sources.ros2_mapping import TopicMapping, load_mapping, map_topics
from nodes.sources.ros2_rig import FrameTree, sensor
from pipeline.core.arrays import Payload
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message, Stamp

_log = logging.getLogger(__name__)

_SWEEP_SLACK_NS = 1_000_000_000  # a cloud's last point comes at most this long after its header's stamp


class Ros2BagDrive:
    """One ROS 2 bag.

    Raises:
        BadInput: no readable bag, a mapping that does not fit, a sensor without mounting or calibration, or a topic
            whose stamps cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mapping = load_mapping(path)
        self._unreadable: Counter[str] = Counter()
        self._reported: set[tuple[str, int]] = set()
        index = BagIndex(path)
        self._topics = map_topics(index.types, index.cloud_fields, self._mapping, path)
        if not self._topics:
            raise BadInput(path, "topics", "at least one that is a sensor's", sorted(index.types))
        self._ours = {theirs: f"{entry.kind}/{entry.sensor}" for theirs, entry in self._topics.items()}
        self._log_ns = {theirs: np.array(index.log_ns[theirs], dtype=np.int64) for theirs in self._topics}
        self._header_ns: dict[str, npt.NDArray[np.int64]] = {}
        self._usable: dict[str, npt.NDArray[np.bool_]] = {}
        for theirs, entry in self._topics.items():
            self._check_stamps(theirs, entry, np.array(index.header_ns[theirs], dtype=np.int64))
        tree = FrameTree(index.static_transforms, self._mapping, path)
        self._rig = Rig(
            vehicle=self._mapping.vehicle,
            sensors=tuple(
                sensor(theirs, entry, index, tree, path)
                for theirs, entry in self._topics.items()
                if entry.kind != "pose"
            ),
        )
        self._child_SE3_ego: dict[str, SE3] = {
            theirs: tree.ego_SE3(index.child_frame[theirs]).inverse()
            for theirs, entry in self._topics.items()
            if entry.kind == "pose"
        }

    @property
    def name(self) -> str:
        return self._path.stem

    @property
    def rig(self) -> Rig:
        return self._rig

    @property
    def start_ns(self) -> int:
        return min(int(self._header_ns[t][self._usable[t]].min()) for t in self._topics)

    @property
    def end_ns(self) -> int:
        """After the last stamp and the last arrival: the last sweep ends somewhere between."""
        stamps = max(int(self._header_ns[t][self._usable[t]].max()) for t in self._topics)
        return max(stamps, max(int(self._log_ns[t].max()) for t in self._topics)) + 1

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._ours.values())

    @property
    def counts(self) -> Mapping[str, int]:
        return {ours: int(self._usable[theirs].sum()) for theirs, ours in self._ours.items()}

    @property
    def unreadable(self) -> Mapping[str, int]:
        return dict(self._unreadable)

    def arrivals(self, topic: str) -> npt.NDArray[np.int64]:
        theirs = self._theirs(topic)
        return np.sort(self._log_ns[theirs][self._usable[theirs]])

    def messages(
        self, topics: Collection[str] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[Message]:
        chosen = set(self._topics) if topics is None else {self._theirs(topic) for topic in topics}
        first = -(2**62) if start_ns is None else start_ns
        last = 2**62 if end_ns is None else end_ns
        return (m for m in self._read(chosen, first, last) if first <= m.stamp.time_ns < last)

    def _theirs(self, ours: str) -> str:
        for theirs, name in self._ours.items():
            if name == ours:
                return theirs
        raise KeyError(f"no topic {ours!r} in {self._path}; it has {sorted(self._ours.values())}")

    def _read(self, chosen: set[str], first: int, last: int) -> Iterator[Message]:
        """Messages whose stamp may lie in [first, last); a cloud's is known only when it has been decoded."""
        wanted = {
            theirs: self._usable[theirs] & (header_ns >= first - _SWEEP_SLACK_NS) & (header_ns < last)
            for theirs, header_ns in self._header_ns.items()
            if theirs in chosen
        }
        count: Counter[str] = Counter()
        for theirs, kind, log_ns, raw in raw_messages(self._path, chosen):
            i = count[theirs]
            count[theirs] += 1
            if i >= len(wanted[theirs]) or not wanted[theirs][i]:
                continue
            header_ns = int(self._header_ns[theirs][i])
            try:
                payload, time_ns = self._payload(theirs, kind, raw, header_ns, f"{self._path} {theirs} message {i}")
                payload, lost = finite_points(payload, f"{theirs} message {i}")
            except BadInput as error:
                self._count(theirs, i, error.field, 1, error)
                continue
            if lost:
                self._count(theirs, i, "points not finite", lost, f"{theirs} message {i}: {lost} points are not finite")
            stamp = Stamp(sensor_ns=header_ns, arrival_ns=log_ns, time_ns=time_ns, sequence=i)
            yield Message(self._ours[theirs], stamp, payload)

    def _payload(self, theirs: str, kind: str, raw: bytes, header_ns: int, source: str) -> tuple[Payload, int]:
        """Payload and its time."""
        entry = self._topics[theirs]
        message = decode_cdr(raw, kind, source)
        if entry.kind == "lidar":
            return decode.sweep(message, entry, header_ns, source)
        decoders: dict[str, Callable[[], Payload]] = {
            "camera": lambda: decode.image(message, source, *self._size(entry.sensor)),
            "radar": lambda: decode.scan(message, entry, source),
            "imu": lambda: decode.imu(message),
            "gnss": lambda: decode.fix(message, source),
            "pose": lambda: decode.odometry(message, self._child_SE3_ego[theirs], source),
        }
        return decoders[entry.kind](), header_ns

    def _size(self, sensor: str) -> tuple[int, int]:
        camera = self._rig[sensor]
        assert isinstance(camera, CameraSensor)
        return camera.width, camera.height

    def _check_stamps(self, theirs: str, entry: TopicMapping, header_ns: npt.NDArray[np.int64]) -> None:
        times_ns = self._log_ns[theirs] if entry.stamp == "arrival" else header_ns
        try:
            usable = usable_stamps(times_ns, self._path)
        except BadInput as error:
            hint = "header stamps between 1990 and 2100; or `stamp: arrival` in the mapping"
            raise BadInput(self._path, theirs, hint, error.found) from error
        self._header_ns[theirs], self._usable[theirs] = times_ns, usable
        for i in np.flatnonzero(~usable):
            self._count(theirs, int(i), "stamp out of order or absurd", 1, f"{theirs} message {i}: {times_ns[i]} ns")

    def _count(self, theirs: str, i: int, reason: str, number: int, message: object) -> None:
        if (theirs, i) not in self._reported:
            self._reported.add((theirs, i))
            self._unreadable[f"{self._ours[theirs]} {reason}"] += number
            _log.warning("%s", message)
