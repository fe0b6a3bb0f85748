"""Fuse: frame sets in, scenes out, one for each, once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable, Sequence

import msgspec
import numpy as np

from fusion.fuser import Fuser
from fusion.heads.heads import Heads
from pipeline.core.heads import WeatherHead
from pipeline.core.messages import CalibrationState, FrameSet, Message, Progress, Scene, Stamp

_log = logging.getLogger(__name__)

MISALIGNED = "misaligned"  # as the graph names it
_HOLD_NS = 1_000_000_000
_KEPT = 64


class Fuse:
    """A node around any `Fuser`.

    Frame sets may come more than once (a link that retries): an index not above the last one is dropped and counted in
    `duplicates`. An index that is missing is not waited for, since the aligner has already waited as long as it may:
    the tracks coast over the longer interval, `skipped` counts the frame sets that never came, and the scene says so.

    The scene's stamp holds no time of this machine: sensor_ns = time_ns = reference instant, arrival_ns = the frame
    set's, sequence = index; so a replay writes the same bytes.

    What a monitor says on `calibration/<camera>` counts from ``_HOLD_NS`` after the picture that it speaks of, so that
    it does not hang on which message comes first: a camera under alarm is "misaligned" in the scene.

    Args:
        pass_over: epoch and index of the frame sets that the run which is followed never got to fuse.
        heads: read each scene; what they say stands in it and goes out on `heads/*`.
    """

    def __init__(self, fuser: Fuser, pass_over: Collection[tuple[int, int]] = (), heads: Heads | None = None) -> None:
        self._fuser = fuser
        self._pass_over = pass_over
        self._heads = heads
        self._last: tuple[int, int] | None = None  # epoch and index of the newest frame set
        self._said: dict[str, deque[tuple[int, bool]]] = {}  # by camera: time and alarm, newest last
        self.duplicates = 0
        self.skipped = 0

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        frames = message.payload
        if isinstance(frames, CalibrationState):
            said = self._said.setdefault(message.source, deque(maxlen=_KEPT))
            said.append((message.stamp.time_ns, frames.alarm))
            return
        if not isinstance(frames, FrameSet):
            raise TypeError(f"fuse takes frame sets, not {type(frames).__name__} on {message.topic}")
        place = (message.stamp.epoch, frames.index)
        if self._last is not None and place <= self._last:
            self.duplicates += 1
            return
        skipped = 0
        if self._last is not None and place[0] == self._last[0] and place not in self._pass_over:
            skipped = frames.index - self._last[1] - 1
        if skipped:
            self.skipped += skipped
            _log.warning("frame sets %d to %d never came", frames.index - skipped, frames.index - 1)
        stamp = Stamp(
            sensor_ns=message.stamp.time_ns,
            arrival_ns=message.stamp.arrival_ns,
            time_ns=message.stamp.time_ns,
            sequence=frames.index,
            epoch=message.stamp.epoch,
        )
        progress = Message("progress", stamp, Progress(reference_ns=message.stamp.time_ns, index=frames.index))
        if place in self._pass_over:
            yield progress
            return
        self._last = place
        try:
            scene = self._fuser.step(frames, message.stamp.time_ns)
        except Exception:
            yield progress  # the instant is over all the same: what feeds the run must not wait for it
            raise
        scene = self._with_alarms(scene, message.stamp.time_ns)
        if skipped:
            scene = scene.updated(skipped=skipped)
        if self._heads is not None:
            scene = scene.updated(heads=self._heads.step(scene, stamp.time_ns, stamp.epoch))
        yield Message("scene", stamp, scene)
        if scene.heads is not None:
            yield Message("heads/tracks", stamp, scene.heads)
        if self._heads is not None and len(scene.weather):
            yield Message("heads/weather", stamp, WeatherHead(index=scene.index, probability=scene.weather))
        yield progress

    def _with_alarms(self, scene: Scene, time_ns: int) -> Scene:
        """The scene, with cameras under alarm named as misaligned."""
        alarmed = {camera for camera, said in self._said.items() if _held(said, time_ns)}
        if not alarmed & set(scene.sensors):
            return scene
        judged = len(scene.sensor_fault) == len(scene.sensors)
        fault = scene.sensor_fault if judged else ("",) * len(scene.sensors)
        health = scene.sensor_health if judged else np.ones(len(scene.sensors), np.float32)
        ails = np.array([sensor in alarmed for sensor in scene.sensors])
        return msgspec.structs.replace(
            scene,
            sensor_fault=tuple(MISALIGNED if a else f for a, f in zip(ails.tolist(), fault, strict=True)),
            sensor_health=np.where(ails, np.float32(0.0), health).astype(np.float32),
        )

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        self._fuser.close()
        return []


def _held(said: Sequence[tuple[int, bool]], time_ns: int) -> bool:
    """The newest of what was said early enough to count at that instant."""
    counting = [alarm for said_ns, alarm in said if said_ns + _HOLD_NS <= time_ns]
    return bool(counting) and counting[-1]
