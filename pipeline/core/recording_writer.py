"""Writing recordings; see `pipeline.core.recording`."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
import yaml

from calibration.rig import Rig
from pipeline.core import record_form
from pipeline.core.errors import BadInput
from pipeline.core.foxglove_view import rig_views
from pipeline.core.mcap_writer import Compression, McapWriter
from pipeline.core.messages import CameraImage, Message, PointCloud, RunInfo
from pipeline.core.record_form import Form
from pipeline.core.settings import Settings, convert
from pipeline.core.topics import topic_row

PROFILE = "syncline"
INFO_TOPIC = "run/info"
OURS = {"syncline": "1"}  # metadata of our channels; others in the file are views for other tools
SPANS = "syncline/topics"  # metadata record: per topic a `TopicSpan` as JSON
_CRC = "crc32"
_MAX_EARLY = 4096


class RecordingSettings(Settings, frozen=True):
    """chunk_bytes, chunk_s: a chunk is written when it holds this much or spans this long; a kill loses no more.

    compression: of everything but images that are compressed already; `auto` = lz4 for clouds and raw images (two
    thirds of zstd's time to write, a third to read, an eighth more space; docs/recording.md), zstd for the rest.
    """

    chunk_bytes: int = 4 << 20
    chunk_s: float = 1.0
    compression: Literal["auto", "zstd", "lz4", "none"] = "auto"


class TopicSpan(msgspec.Struct, kw_only=True):
    """What one topic's messages span: time_ns first to last, and log time - time_ns least to most."""

    first_ns: int
    last_ns: int
    least_lag_ns: int
    most_lag_ns: int


class RecordingWriter:
    """A recording being written.

    Args:
        path: a file that does not exist yet.
        info: the `run/info` message, which becomes the first one.

    Raises:
        BadInput: the file exists, or ``info`` is not a run/info message with a valid rig.
        OSError: from any method, when the disk is full or fails. `close` then still closes what was written.
    """

    def __init__(self, path: Path, info: Message, settings: RecordingSettings | None = None) -> None:
        rig = rig_of(info, path)
        self._settings = settings or RecordingSettings()
        chunk_bytes, chunk_ns = self._settings.chunk_bytes, round(self._settings.chunk_s * 1e9)
        self._file = McapWriter(path, chunk_bytes, chunk_ns, PROFILE, "syncline")
        self._channels: dict[tuple[str, str], int] = {}
        self._topics: dict[int, str] = {}
        self._roles: dict[str, str] = {}
        self._spans: dict[str, TopicSpan] = {}
        self._newest_ns: int | None = None  # log time of the newest data
        self._rig = rig
        self._early = [info]  # messages about the run wait for the first data, whose log time they take

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._file.size

    @property
    def open_bytes(self) -> int:
        """Bytes not yet in the file: what a kill would lose now."""
        return self._file.open_bytes

    @property
    def counts(self) -> Mapping[str, int]:
        """Messages in the file by topic; those in open chunks do not count."""
        counts: dict[str, int] = {}
        for channel, topic in self._topics.items():
            if self._file.counts[channel]:
                counts[topic] = counts.get(topic, 0) + self._file.counts[channel]
        return counts

    def write(self, message: Message) -> None:
        """Copy a message into the recording; its arrays may be reused afterwards."""
        role = self._role(message.topic)
        if role in ("sensor", "truth"):
            self._newest_ns = max(self._newest_ns or 0, message.stamp.arrival_ns)
        if self._early and role == "run" and len(self._early) < _MAX_EARLY:
            self._early.append(message)
            return
        self._begin()
        self._write(message)

    def _begin(self) -> None:
        """Write run/info, what other tools need to know of the rig, and what else came before the first data."""
        if not self._early:
            return
        (info, *rest), self._early = self._early, []
        time_ns = info.stamp.arrival_ns if self._newest_ns is None else self._newest_ns
        self._write(info)
        for topic, view in rig_views(self._rig, time_ns):
            channel = self._channel(topic, record_form.view_form(view), {})
            self._file.add(channel, 0, time_ns, time_ns, [view.encoded()], *self._lane(info))
        self._file.flush()
        for message in rest:
            self._write(message)

    def _write(self, message: Message) -> None:
        form, parts = record_form.encode(message)
        stamp = message.stamp
        log_time = stamp.arrival_ns
        if self._newest_ns is not None and self._role(message.topic) == "run":
            log_time = self._newest_ns
        channel = self._channel(message.topic, form, OURS)
        self._topics[channel] = message.topic
        self._file.add(channel, stamp.sequence, log_time, stamp.time_ns, parts, *self._lane(message))
        include(self._spans, message.topic, stamp.time_ns, log_time - stamp.time_ns)

    def flush(self, to_disk: bool = False) -> None:
        """Write open chunks out; ``to_disk``: and wait until the disk has them (power may fail then)."""
        self._file.flush(to_disk)

    def close(self) -> None:
        """Write what is open and the index. The file is closed even where that raises."""
        try:
            self._begin()
        finally:
            self._file.close(SPANS, span_texts(self._spans))

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _role(self, topic: str) -> str:
        if topic not in self._roles:
            self._roles[topic] = topic_row(topic).role
        return self._roles[topic]

    def _lane(self, message: Message) -> tuple[str, Compression]:
        """Each camera and each LiDAR in chunks of its own, images as they are; everything small together."""
        chosen = self._settings.compression
        large: Compression = "lz4" if chosen == "auto" else chosen
        if isinstance(message.payload, CameraImage):
            return message.topic, large if message.payload.encoding == "bgr8" else "none"
        if isinstance(message.payload, PointCloud):
            return message.topic, large
        return "rest", "zstd" if chosen == "auto" else chosen

    def _channel(self, topic: str, form: Form, metadata: dict[str, str]) -> int:
        key = (topic, form.schema_name)
        if key not in self._channels:
            self._channels[key] = self._file.add_channel(
                topic, form.encoding, form.schema_name, form.schema_encoding, form.schema, metadata
            )
        return self._channels[key]


def rig_of(info: Message, source: object) -> Rig:
    """The rig of a `run/info` message.

    Raises:
        BadInput: another kind of message, or its YAML is no rig.
    """
    if info.topic != INFO_TOPIC or not isinstance(info.payload, RunInfo):
        raise BadInput(source, INFO_TOPIC, "a RunInfo message", info.topic)
    try:
        document = yaml.safe_load(info.payload.rig_yaml)
    except yaml.YAMLError as error:
        raise BadInput(source, f"{INFO_TOPIC} rig_yaml", "YAML", error) from error
    return convert(document, Rig, f"{source}: {INFO_TOPIC} rig_yaml")


def include(spans: dict[str, TopicSpan], topic: str, time_ns: int, lag_ns: int) -> None:
    span = spans.get(topic)
    if span is None:
        spans[topic] = TopicSpan(first_ns=time_ns, last_ns=time_ns, least_lag_ns=lag_ns, most_lag_ns=lag_ns)
        return
    span.first_ns, span.last_ns = min(span.first_ns, time_ns), max(span.last_ns, time_ns)
    span.least_lag_ns, span.most_lag_ns = min(span.least_lag_ns, lag_ns), max(span.most_lag_ns, lag_ns)


def span_texts(spans: Mapping[str, TopicSpan]) -> dict[str, str]:
    """The spans as a metadata record's values; MCAP gives those no CRC, so one is among them."""
    texts = {topic: msgspec.json.encode(span).decode() for topic, span in spans.items()}
    return {**texts, _CRC: _crc_of(texts)}


def spans_of(texts: Mapping[str, str]) -> dict[str, TopicSpan] | None:
    """Inverse of `span_texts`; None where they are damaged."""
    rest = {topic: text for topic, text in texts.items() if topic != _CRC}
    if texts.get(_CRC) != _crc_of(rest):
        return None
    return {topic: msgspec.json.decode(text, type=TopicSpan) for topic, text in rest.items()}


def _crc_of(texts: Mapping[str, str]) -> str:
    return f"{zlib.crc32(repr(sorted(texts.items())).encode()):08x}"
