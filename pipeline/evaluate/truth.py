"""Labels as a function of time: interpolated to the instant that is scored, never guessed across long holes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.messages import Message, TruthObjects
from pipeline.evaluate.boxes import Boxes, FloatArray, IntArray, wrapped


class TruthTrack:
    """All `truth/objects` messages of a run.

    At an instant between two label frames, the nearest frame says which objects there are; each is moved to the instant
    along a straight line (heading along the shorter arc) to its own place in the other frame, where that has the same
    identity; else at its labelled velocity; else it stays. Frames further apart than ``limit_ns`` are not bridged.

    Args:
        messages: in any order; of two with the same time the later one holds. Of two objects with one identity in one
            frame the first counts.
        limit_ns: widest hole between label frames to interpolate across.
    """

    def __init__(self, messages: Sequence[Message], limit_ns: int) -> None:
        frames = {m.stamp.time_ns: _once(m.payload) for m in messages if isinstance(m.payload, TruthObjects)}
        self.times_ns: IntArray = np.array(sorted(frames), dtype=np.int64)
        self._frames = [frames[int(t)] for t in self.times_ns]
        self._limit_ns = limit_ns

    def __len__(self) -> int:
        return len(self.times_ns)

    @property
    def has_identities(self) -> bool:
        return any(bool((frame.object_id >= 0).any()) for frame in self._frames)

    @property
    def typical_period_ns(self) -> int:
        """Median time between label frames; 0 with fewer than two."""
        return int(np.median(np.diff(self.times_ns))) if len(self.times_ns) > 1 else 0

    def nearest(self, time_ns: int) -> int:
        """Index of the label frame nearest in time (the earlier of two at the same distance)."""
        return int(np.abs(self.times_ns - time_ns).argmin())

    def at(self, time_ns: int, frame: int | None = None) -> tuple[Boxes, IntArray]:
        """Objects at ``time_ns`` as boxes, and the LiDAR returns of each (-1 unknown).

        frame: label frame that says which objects there are; default the nearest.
        """
        here = self.nearest(time_ns) if frame is None else frame
        labels = self._frames[here]
        boxes = Boxes.of_truth(labels)
        offset_ns = time_ns - int(self.times_ns[here])
        points = labels.lidar_points.astype(np.int64)
        if offset_ns == 0 or len(boxes) == 0:
            return boxes, points
        moved = boxes.moved(offset_ns / 1e9)
        other = here + (1 if offset_ns > 0 else -1)
        if not 0 <= other < len(self):
            return moved, points
        span_ns = int(self.times_ns[other] - self.times_ns[here])
        if abs(span_ns) > self._limit_ns:
            return moved, points
        return _towards(boxes, moved, Boxes.of_truth(self._frames[other]), offset_ns / span_ns), points


def _once(labels: TruthObjects) -> TruthObjects:
    """Without the rows whose identity an earlier row has."""
    _, first = np.unique(labels.object_id, return_index=True)
    rows = np.union1d(first, np.flatnonzero(labels.object_id < 0))
    if len(rows) == len(labels.object_id):
        return labels
    return TruthObjects(**{field: getattr(labels, field)[rows] for field in labels.__struct_fields__})


def _towards(start: Boxes, otherwise: Boxes, end: Boxes, fraction: float) -> Boxes:
    """Boxes of ``start`` on their way to the same identity in ``end``; rows without one come from ``otherwise``."""
    known = np.flatnonzero(start.identity >= 0)
    _, rows, columns = np.intersect1d(start.identity[known], end.identity, return_indices=True)
    rows = known[rows]
    position, yaw = otherwise.position.copy(), otherwise.yaw.copy()
    position[rows] = _lerp(start.position[rows], end.position[columns], fraction)
    yaw[rows] = start.yaw[rows] + fraction * wrapped(end.yaw[columns] - start.yaw[rows])
    return start.replaced(position=position, yaw=yaw)


def _lerp(a: FloatArray, b: FloatArray, fraction: float) -> FloatArray:
    return a + fraction * (b - a)
