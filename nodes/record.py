"""Record: writes what it hears to disk. A full disk ends the recording, never what is already in it."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

from pipeline.core import wire
from pipeline.core.clock import Clock, SystemClock
from pipeline.core.messages import FrameSet, Message, Progress
from pipeline.core.recording import INFO_TOPIC, RecordingSettings, RecordingWriter
from pipeline.core.settings import Settings
from pipeline.core.topics import topic_row

logger = logging.getLogger(__name__)


class RecordSettings(Settings, frozen=True):
    """What is recorded, and how much may be lost.

    roles: of the topics table. max_bytes: a new file is begun beyond it; 0 = never. flush_s: what came longer ago than
    this is in the file. sync_s: and what came longer ago than this is on the disk, should the power fail; 0 = left to
    the system. min_free_bytes: recording ends while the disk still has this much. hold_bytes: how much may come before
    run/info, with which every recording begins.
    """

    roles: tuple[str, ...] = ("sensor", "derived", "truth", "run")
    format: RecordingSettings = RecordingSettings()
    max_bytes: int = 0
    flush_s: float = 1.0
    sync_s: float = 0.0
    min_free_bytes: int = 64 << 20
    hold_bytes: int = 256 << 20


class Record:
    """Node that records.

    Args:
        path: file to write, which must not exist; further parts are named path_001, path_002, ...
        first_part: how many parts there are already, written by a recorder that died.
        clock: how old what is not yet written may become, is measured on the host's clock.

    received, written, lost: messages by topic; received = written + lost once the node has finished. Lost are those
    that found no place on the disk (reason ``not_written``) or came too long before run/info (``early``).
    """

    def __init__(
        self,
        path: Path,
        settings: RecordSettings | None = None,
        clock: Clock | None = None,
        first_part: int = 0,
    ) -> None:
        self._path = path
        self._settings = settings or RecordSettings()
        self._clock = clock or SystemClock()
        self._info: Message | None = None
        self._held: deque[tuple[int, Message]] = deque()
        self._held_bytes = 0
        self._writer: RecordingWriter | None = None
        self._first_part = first_part
        self._parts: list[Path] = []
        self._failed = False
        self._flushed_ns = self._synced_ns = self._clock.now_ns()
        self.received: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.lost: Counter[tuple[str, str]] = Counter()

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        """Record one message. Raises OSError once, when the disk is full or fails; from then on it only counts."""
        row = topic_row(message.topic)
        progress = _progress(message)
        if not row.recorded or row.role not in self._settings.roles or self._repeats_info(message):
            return progress
        self.received[message.topic] += 1
        if message.topic == INFO_TOPIC:
            self._info = message
            self._write([message, *(held for _, held in self._held)])
            self._held.clear()
        elif self._info is None:
            self._hold(message)
        else:
            self._write([message])
        return progress

    def tick(self, now_ns: int) -> Iterable[Message]:
        self._write([])
        return []

    def finish(self) -> Iterable[Message]:
        """Close the recording. Where run/info never came there is none: without its rig it would be of no use."""
        try:
            self._close()
        finally:
            for _, held in self._held:
                self.lost[held.topic, "early"] += 1
            for topic, count in self.received.items():
                missing = count - self.written[topic] - self.lost[topic, "early"]
                if missing:
                    self.lost[topic, "not_written"] = missing
            if self.lost:
                logger.error("%s: %d messages are not in it: %s", self._path, self.lost.total(), dict(self.lost))
            logger.info("%s: %d messages in %d files", self._path, self.written.total(), len(self._parts))
        return []

    def _repeats_info(self, message: Message) -> bool:
        return message.topic == INFO_TOPIC and self._info is not None

    def _hold(self, message: Message) -> None:
        """Keep a copy until run/info comes; the oldest give way."""
        data = wire.encode_bytes(message)
        self._held.append((len(data), wire.decode(message.topic, data)))
        self._held_bytes += len(data)
        while self._held_bytes > self._settings.hold_bytes:
            size, oldest = self._held.popleft()
            self._held_bytes -= size
            self.lost[oldest.topic, "early"] += 1

    def _write(self, messages: Iterable[Message]) -> None:
        """Write, flush and split; where the disk fails, close what is there and let the error out."""
        if self._failed or self._info is None:
            return
        try:
            for message in messages:
                writer = self._writer or self._open(self._info)
                if message is not self._info:
                    writer.write(message)
                if 0 < self._settings.max_bytes <= writer.size + writer.open_bytes:
                    self._close()
            self._flush()
        except OSError as error:
            self._failed = True
            logger.error("%s: recording ends: %s", self._path, error)
            with contextlib.suppress(OSError):
                self._close()
            raise

    def _open(self, info: Message) -> RecordingWriter:
        number = self._first_part + len(self._parts)
        path = self._path if not number else self._path.with_stem(f"{self._path.stem}_{number:03}")
        self._writer = RecordingWriter(path, info, self._settings.format)
        self._parts.append(path)
        return self._writer

    def _flush(self) -> None:
        now_ns = self._clock.now_ns()
        settings = self._settings
        if self._writer is None or now_ns - self._flushed_ns < settings.flush_s * 1e9:
            return
        self._flushed_ns = now_ns
        to_disk = 0 < settings.sync_s * 1e9 <= now_ns - self._synced_ns
        self._writer.flush(to_disk)
        if to_disk:
            self._synced_ns = now_ns
        free = shutil.disk_usage(self._path.parent).free
        if free < settings.min_free_bytes:
            raise OSError(
                errno.ENOSPC, f"only {free} bytes free, {settings.min_free_bytes} are to be left", str(self._path)
            )

    def _close(self) -> None:
        """End the file that is open, and count what is in it."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        finally:
            counts = Counter(writer.counts)
            if len(self._parts) > 1:
                del counts[INFO_TOPIC]  # every part has the same one
            self.written += counts


def _progress(message: Message) -> list[Message]:
    """A frame set comes after the data that it was made of: so far has everything been taken in."""
    if not isinstance(message.payload, FrameSet):
        return []
    done = Progress(reference_ns=message.stamp.time_ns, index=message.payload.index)
    return [Message("progress/record", message.stamp, done)]
