"""Windows: what the tracker met in a stretch of a clip, with the truth, as flat arrays to train on.

The tracker runs over the clip and decides which detection belongs to which track; training takes these pairs as given
and plays the filter again with other weights. A file is one .npz of plain arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.graph.inputs import PAIR, SENSOR, TRACK, graph_input
from fusion.graph.registration import REMEMBERED, accumulate, carried
from fusion.graph.weigher import FAULTS
from fusion.measurements import FloatArray, seconds
from fusion.tracker import Tracker
from fusion.tracks import ACCEL_PSD
from fusion.training.clips import MISSING, Clip
from fusion.weigher import Encounter
from pipeline.core.bounded import read_npz
from pipeline.core.heads import WEATHERS

Window = dict[str, npt.NDArray[Any]]
"""T frames, K tracks in all, S sensors; N pairs and M tracks of all frames, one below the other.

pair_first, track_first (T + 1,): where each frame's begin. dt (T,), s. modality (S, 3). fault (T, S) index into FAULTS.
weather () index into WEATHERS. sensor (T, S, ...), pair (N, ...), track (M, ...), place (M, 2): as in `GraphInput`.
track_of (N,): within its frame. sensor_of (N,). value (N, 4): x, y, z, radial speed, positions less ``origin``. R
(N, 4, 4). radial (N,): 1 where measured. ambiguity, ahead (N,). sight (N, 2). carried (N, 2): m/s, of the vehicle's
frame at each detection. truth_at (N, 2): where the
detection's object was when measured, NaN where there is none.
slot (M,): 0..K-1. mean (M, 5), cov (M, 5, 5), bias (M, 2, 2): as predicted by the tracker that ran. accel_psd (M,).
evidence (M,). exists (M,): 1 for the one track that follows a real object. truth (M, 4): x, y, vx, vy of its object,
NaN where there is none.
"""

_FIELDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "pair_first": ("<i8", (None,)), "track_first": ("<i8", (None,)), "dt": ("<f4", (None,)),
    "modality": ("<f4", (None, 3)), "fault": ("<i8", (None, None)), "weather": ("<i8", ()),
    "sensor": ("<f4", (None, None, len(SENSOR))), "pair": ("<f4", (None, len(PAIR))),
    "track": ("<f4", (None, len(TRACK))), "place": ("<f4", (None, 2)),
    "track_of": ("<i8", (None,)), "sensor_of": ("<i8", (None,)),
    "value": ("<f4", (None, 4)), "R": ("<f4", (None, 4, 4)),
    "radial": ("<f4", (None,)), "ambiguity": ("<f4", (None,)), "ahead": ("<f4", (None,)), "sight": ("<f4", (None, 2)),
    "carried": ("<f4", (None, 2)),
    "truth_at": ("<f4", (None, 2)), "slot": ("<i8", (None,)), "mean": ("<f4", (None, 5)), "cov": ("<f4", (None, 5, 5)),
    "bias": ("<f4", (None, 2, 2)), "accel_psd": ("<f4", (None,)), "evidence": ("<f4", (None,)),
    "exists": ("<f4", (None,)), "truth": ("<f4", (None, 4)),
}  # fmt: skip
_UNNOTICED = {"clock_step": 10.0, "clock_drift": 10.0, "misaligned": 0.4}  # ms, ms, degrees: less harms nobody
_LATELY = 10  # frames after which what comes and goes has gone
FAULT_OF = {
    "dead": "absent", "missing": "absent", "packet_loss": "absent",
    "dark": "blind", "glare": "blind", "dirt": "blind", "blur": "blind", "motion_blur": "blind", "beam_loss": "blind",
    "fov_cut": "blind", "interference": "blind",
    "crosstalk": "noisy", "clutter": "noisy",
    "miscalibrated": "misaligned", "misaligned": "misaligned",
    "clock_step": "mistimed", "clock_drift": "mistimed",
    "frozen": "stuck", "stale": "stuck",
}  # fmt: skip
"""What the network calls the faults of the table; others ail no sensor."""
_NEAR_M = 3.0  # a track that far from its object does not follow it
_WIDE = [0, 1, 2, 5]  # position and radial speed of the six columns of `Measurements`


def windows(clip: Clip, tracker: Tracker, length: int, skip: int) -> Iterator[Window]:
    """Windows of ``length`` frames, the first after ``skip``; those at a clip's end that are shorter are left out."""
    record, remembered = _Record(clip), np.zeros((len(clip.sensors), REMEMBERED))
    for frame, (frames, time_ns) in enumerate(clip.frames()):
        met = tracker.meet(frames, time_ns)
        remembered = accumulate(remembered, met)
        if frame >= skip:
            record.note(frame, met, remembered)
        tracker.settle(met, tracker.weigher.weigh(met))
        if frame >= skip and (frame - skip + 1) % length == 0:
            yield record.window()
            record = _Record(clip, record.followed)


def load_window(path: Path) -> Window:
    """What `write_arrays` wrote of a window.

    Raises:
        BadInput: truncated, too large, or not of this form.
    """
    return read_npz(path, _FIELDS, same_length=False)


class _Record:
    """Frames of one window, as they come. followed: which objects each track has been seen to follow, and how often."""

    def __init__(self, clip: Clip, followed: dict[int, dict[int, int]] | None = None) -> None:
        self._clip = clip
        self.followed: dict[int, dict[int, int]] = followed or {}
        self._columns: dict[str, list[npt.NDArray[Any]]] = {}
        self._pairs, self._tracks = [0], [0]
        self._slots: dict[int, int] = {}
        self._origin: FloatArray | None = None
        self._modality: npt.NDArray[Any] | None = None

    def note(self, frame: int, met: Encounter, remembered: FloatArray) -> None:
        tracks, z = met.tracks, met.z
        given = graph_input(met, remembered)
        if self._origin is None:
            self._origin, self._modality = np.array(met.frames.position), given.modality
        origin = self._origin
        objects = self._objects(frame, met)
        for track, of in zip(tracks.id[met.row].tolist(), objects.tolist(), strict=True):
            seen = self.followed.setdefault(track, {})
            seen[of] = seen.get(of, 0) + 1
        truth, exists = self._truth(frame, met)
        shift = np.zeros(5)
        shift[:3] = origin
        self._add(
            sensor=given.sensor[None], fault=self._faults(frame)[None], dt=np.array([met.dt]),
            pair=given.pair, track=given.track, place=given.place, track_of=met.row, sensor_of=z.sensor,
            value=z.value[:, _WIDE] - np.append(origin, 0.0), R=z.R[:, _WIDE][:, :, _WIDE], radial=z.present[:, 5],
            ambiguity=z.ambiguity, ahead=seconds(z.time_ns - met.time_ns), sight=z.sight,
            carried=carried(met, z.value[:, :2]),
            truth_at=self._where(frame, objects, seconds(z.time_ns - met.time_ns)) - origin[:2],
            slot=np.array([self._slots.setdefault(i, len(self._slots)) for i in tracks.id.tolist()], np.int64),
            mean=tracks.mean - shift, cov=tracks.cov, bias=tracks.bias,
            accel_psd=tracks.class_prob @ ACCEL_PSD, evidence=tracks.evidence,
            truth=truth - np.array([origin[0], origin[1], 0.0, 0.0]), exists=exists,
        )  # fmt: skip
        self._pairs.append(self._pairs[-1] + len(z))
        self._tracks.append(self._tracks[-1] + len(tracks))

    def window(self) -> Window:
        out = {name: _small(np.concatenate(parts)) for name, parts in self._columns.items()}
        assert self._modality is not None
        weather = [WEATHERS.index(span.name) for span in self._clip.faults if span.name in WEATHERS]
        return out | {
            "pair_first": np.array(self._pairs),
            "track_first": np.array(self._tracks),
            "modality": self._modality,
            "weather": np.array(weather[0] if weather else 0),
        }

    def _add(self, **columns: npt.NDArray[Any]) -> None:
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column.copy())

    def _objects(self, frame: int, met: Encounter) -> npt.NDArray[np.int64]:
        """(N,) object of each pair's detection, -1 = none."""
        clip = self._clip
        first = clip.first.reshape(-1)[frame * len(clip.sensors) + met.z.sensor]
        return np.asarray(clip.detections["object_id"][first + met.z.detection], np.int64)

    def _truth(self, frame: int, met: Encounter) -> tuple[FloatArray, FloatArray]:
        """(M, 4) of the object that each track has followed most, and (M,) 1 for the nearest track of each object."""
        rows = _rows_of(self._clip, frame)
        truth, exists = np.full((len(met.tracks), 4), np.nan), np.zeros(len(met.tracks))
        nearest: dict[int, tuple[float, int]] = {}
        for row, track in enumerate(met.tracks.id.tolist()):
            seen = self.followed.get(track, {})
            of = max(seen, key=lambda k: (seen[k], k)) if seen else -1
            if of not in rows:
                continue
            at, moving = self._clip.truth["position"][rows[of]], self._clip.truth["velocity"][rows[of]]
            truth[row] = [at[0], at[1], moving[0], moving[1]]
            apart = float(np.hypot(*(met.tracks.mean[row, :2] - at[:2])))
            if apart < nearest.get(of, (_NEAR_M, -1))[0]:
                nearest[of] = (apart, row)
        for _, row in nearest.values():
            exists[row] = 1.0
        return truth, exists

    def _where(self, frame: int, objects: npt.NDArray[np.int64], ahead: FloatArray) -> FloatArray:
        """(N, 2) where each object was so many seconds after the reference instant."""
        rows = _rows_of(self._clip, frame)
        index = np.array([rows.get(of, -1) for of in objects.tolist()], np.int64)
        known = index >= 0
        out = np.full((len(objects), 2), np.nan)
        at, moving = self._clip.truth["position"], self._clip.truth["velocity"]
        out[known] = at[index[known], :2] + moving[index[known]] * ahead[known, None]
        return out

    def _faults(self, frame: int) -> npt.NDArray[np.int64]:
        clip, out = self._clip, np.zeros(len(self._clip.sensors), np.int64)
        for span in clip.faults:
            if not span.start <= frame < span.end or span.name not in FAULT_OF:
                continue
            sensor, kind = clip.sensors.index(span.sensor), FAULT_OF[span.name]
            since_ms = (clip.time_ns[frame] - clip.time_ns[span.start]) * 1e-6
            off = abs(span.amount) * (1e-6 * since_ms if span.name == "clock_drift" else 1.0)
            lately = range(max(frame - _LATELY + 1, span.start), frame + 1)
            shows = {"absent": self._silent, "stuck": self._repeated}.get(kind)
            if off >= _UNNOTICED.get(span.name, 0.0) and (shows is None or any(shows(f, sensor) for f in lately)):
                out[sensor] = FAULTS.index(kind)
        return out

    def _silent(self, frame: int, sensor: int) -> bool:
        return MISSING[self._clip.missing[frame, sensor]] in ("no_message", "silent")

    def _repeated(self, frame: int, sensor: int) -> bool:
        """Whether a payload is that of the frame before."""
        now, before = (self._clip.detections["score"][self._clip.rows(f, sensor)] for f in (frame, max(frame - 1, 0)))
        return frame > 0 and len(now) > 0 and np.array_equal(now, before)


def _rows_of(clip: Clip, frame: int) -> dict[int, int]:
    """Row of the truth of each object that is there at a frame."""
    rows = range(int(clip.truth_first[frame]), int(clip.truth_first[frame + 1]))
    return dict(zip(clip.truth["object_id"][rows.start : rows.stop].tolist(), rows, strict=True))


def _small(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return column.astype(np.float32) if column.dtype in (np.float64, np.bool_) else column
