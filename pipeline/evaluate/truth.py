"""Labels as a function of time: interpolated to the instant that is scored, never guessed across long holes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from pipeline.core.arrays import array_specs
from pipeline.core.labels import held_ns
from pipeline.core.messages import Message
from pipeline.core.truth import TruthObjects
from pipeline.evaluate.boxes import Boxes, IntArray, wrapped


class TruthTrack:
    """All `truth/objects` messages of a run.

    At an instant between two label frames, the nearest frame says which objects there are; each is moved from the
    instant at which its label holds to the one asked for, along a straight line (heading along the shorter arc) to its
    own place in the next or last frame, where that has the same identity; else at its labelled velocity; else it stays.
    Frames further apart than ``limit_ns`` are not bridged.

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

    def at(self, time_ns: int | IntArray, frame: int | None = None) -> tuple[Boxes, IntArray]:
        """Objects at ``time_ns`` as boxes, and the LiDAR returns of each (-1 unknown).

        time_ns: one for all, or (K,) one for each. frame: label frame that says which objects there are; default the
        nearest, to the median time.
        """
        here = self.nearest(int(np.median(time_ns))) if frame is None else frame
        labels = self._frames[here]
        boxes = Boxes.of_truth(labels)
        ahead_ns = time_ns - self._held_ns(here)
        moved = boxes.moved(ahead_ns / 1e9)
        for other, which in ((here - 1, ahead_ns < 0), (here + 1, ahead_ns > 0)):
            near = 0 <= other < len(self) and abs(self.times_ns[other] - self.times_ns[here]) <= self._limit_ns
            if near and which.any():
                span_ns = self._held_ns(other)[None, :] - self._held_ns(here)[:, None]
                towards = _towards(boxes, moved, Boxes.of_truth(self._frames[other]), ahead_ns, span_ns)
                moved = Boxes.where(which, towards, moved)
        return moved, labels.lidar_points.astype(np.int64)

    def stands(self, frame: int) -> int | None:
        """The instant of a label frame, where nothing is known of how any of its objects moves; else None."""
        labels = self._frames[frame]
        if ((labels.object_id >= 0) | np.isfinite(labels.velocity).all(axis=1)).any():
            return None
        held = np.sort(self._held_ns(frame))
        return int(held[len(held) // 2]) if len(held) else int(self.times_ns[frame])

    def _held_ns(self, frame: int) -> IntArray:
        """(K,) instant at which each label of a frame holds."""
        return held_ns(self._frames[frame], int(self.times_ns[frame]))


def _once(labels: TruthObjects) -> TruthObjects:
    """Without the rows whose identity an earlier row has."""
    _, first = np.unique(labels.object_id, return_index=True)
    rows = np.union1d(first, np.flatnonzero(labels.object_id < 0))
    if len(rows) == len(labels.object_id):
        return labels
    arrays = {field: getattr(labels, field) for field, _ in array_specs(TruthObjects)}
    kept = {field: array[rows] if len(array) else array for field, array in arrays.items()}
    return msgspec.structs.replace(labels, **kept)


def _towards(start: Boxes, otherwise: Boxes, end: Boxes, ahead_ns: IntArray, span_ns: IntArray) -> Boxes:
    """Boxes of ``start`` on their way to the same identity in ``end``; rows without one come from ``otherwise``.

    ahead_ns: (K,) how far. span_ns: (K, L) time from each of ``start`` to each of ``end``.
    """
    known = np.flatnonzero(start.identity >= 0)
    _, rows, columns = np.intersect1d(start.identity[known], end.identity, return_indices=True)
    rows = known[rows]
    fraction = ahead_ns[rows] / np.where(span_ns[rows, columns] == 0, 1, span_ns[rows, columns])
    between = (fraction >= 0.0) & (fraction <= 1.0)  # a sweep's seam may meet an object twice within moments
    rows, columns, fraction = rows[between], columns[between], fraction[between]
    position, yaw = otherwise.position.copy(), otherwise.yaw.copy()
    position[rows] = start.position[rows] + fraction[:, None] * (end.position[columns] - start.position[rows])
    yaw[rows] = start.yaw[rows] + fraction * wrapped(end.yaw[columns] - start.yaw[rows])
    return start.replaced(position=position, yaw=yaw)
