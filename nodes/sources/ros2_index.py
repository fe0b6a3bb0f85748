"""Reading a ROS 2 bag: its raw messages, and what one pass over it tells."""

from __future__ import annotations

import logging
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from nodes.sources.encoded_image import image_form
from nodes.sources.ros2_mapping import CLOUD, INFO
from pipeline.core.errors import BadInput

_log = logging.getLogger(__name__)

_TYPES = get_typestore(Stores.ROS2_HUMBLE)  # the layout of these messages is the same in every distribution since
_TF_STATIC = "/tf_static"


def is_ros2(path: Path) -> bool:
    """A bag's folder, a .db3 file, or an .mcap file that says ROS 2 in its header (ours say otherwise)."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file()
    if path.suffix == ".db3":
        return path.is_file()
    if path.suffix == ".mcap" and path.is_file():
        with path.open("rb") as file:
            start = file.read(64)  # magic (8), record: opcode (1), length (8), profile: length (4) and text
        return start[21:25] == b"ros2"
    return False


class BagIndex:
    """What one pass over the bag tells: types, stamps, and the first message of each kind of calibration."""

    def __init__(self, path: Path) -> None:
        self.types: dict[str, str] = {}
        self.log_ns: defaultdict[str, list[int]] = defaultdict(list)
        self.header_ns: defaultdict[str, list[int]] = defaultdict(list)
        self.cloud_fields: dict[str, tuple[str, ...]] = {}
        self.frame: dict[str, str] = {}
        self.child_frame: dict[str, str] = {}
        self.camera_info: dict[str, Any] = {}
        self.image_size: dict[str, tuple[int, int]] = {}
        self.static_transforms: list[Any] = []
        for topic, kind, log_ns, raw in raw_messages(path, None):
            self.types[topic] = kind
            if topic == _TF_STATIC:
                self.static_transforms += decode_cdr(raw, kind, f"{path} {topic}").transforms
                continue
            self.log_ns[topic].append(log_ns)
            self.header_ns[topic].append(_header_stamp_ns(raw))
            if topic not in self.frame and kind in _TYPES.types and len(self.log_ns[topic]) < 10:
                self._learn(topic, kind, raw, f"{path} {topic}")

    def _learn(self, topic: str, kind: str, raw: bytes, source: str) -> None:
        """From the first message of a topic that can be read; an unreadable one is counted when its turn comes."""
        try:
            message = decode_cdr(raw, kind, source)
            if kind == CLOUD:
                self.cloud_fields[topic] = tuple(field.name for field in message.fields)
            elif kind == INFO:
                self.camera_info[topic] = message
            elif hasattr(message, "encoding"):
                self.image_size[topic] = (message.width, message.height)
            elif hasattr(message, "format"):
                self.image_size[topic] = image_form(message.data.tobytes(), source)[1:]
        except BadInput as error:
            _log.warning("%s", error)
            return
        if hasattr(message, "header"):
            self.frame[topic] = message.header.frame_id
            self.child_frame[topic] = getattr(message, "child_frame_id", "")


def raw_messages(path: Path, topics: set[str] | None) -> Iterator[tuple[str, str, int, bytes]]:
    """(topic, type, log time ns, bytes) in order of log time; None = all topics.

    Raises:
        BadInput: no bag, or damaged: what was read before the damage has been given.
    """
    try:
        with Reader(path) as reader:
            connections = [c for c in reader.connections if topics is None or c.topic in topics]
            for connection, log_ns, raw in reader.messages(connections) if connections else ():
                yield connection.topic, connection.msgtype, log_ns, bytes(raw)
    except Exception as error:  # rosbags lets through whatever its storage readers stumble over
        raise BadInput(path, "bag", "a whole ROS 2 bag", error) from error


def decode_cdr(raw: bytes, kind: str, source: str) -> Any:
    try:
        return _TYPES.deserialize_cdr(raw, kind)
    except SerdeError as error:
        raise BadInput(source, "message", f"CDR of a {kind}", error) from error


def _header_stamp_ns(raw: bytes) -> int:
    """The stamp of a message that begins with a std_msgs/Header, without decoding the rest; 0 where it is too short."""
    if len(raw) < 12:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return int(seconds) * 10**9 + int(nanoseconds)
