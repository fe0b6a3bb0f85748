"""Records: the fused scenes of a clip, with what the objects behind their tracks were about to do, as flat arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.fuser import Fuser
from fusion.heads.features import STANDING, features, kinematics
from fusion.heads.heads import Follow
from fusion.measurements import FloatArray
from fusion.training.clips import Clip
from pipeline.core.bounded import read_npz
from pipeline.core.heads import INTENTS
from pipeline.core.messages import C, Scene
from pipeline.core.truth import MANOEUVRES

Record = dict[str, npt.NDArray[Any]]
"""T scenes, M tracks in all. first (T + 1,): row of each scene's first track. time_ns (T,). position (T, 3), rotation
(T, 4): odom_SE3_ego. track_id ... coasted (M, ...): as in `Scene`. intent (M,): index into INTENTS, -1 unknown. hazard
(M,): 1 where the ego brakes for it now or within a second, -1 unknown. time (M,): s to collision, NaN unknown.
"""

_TRACKS: dict[str, tuple[str, tuple[int, ...]]] = {
    "track_id": ("<i8", ()), "track_position": ("<f8", (3,)), "track_velocity": ("<f8", (2,)),
    "track_size": ("<f4", (3,)), "track_yaw": ("<f8", ()), "state_cov": ("<f4", (5, 5)), "class_score": ("<f4", (C,)),
    "existence": ("<f4", ()), "age": ("<i4", ()), "coasted": ("<i4", ()),
}  # fmt: skip
_LABELS: dict[str, tuple[str, tuple[int, ...]]] = {"intent": ("i1", ()), "hazard": ("i1", ()), "time": ("<f4", ())}
_FIELDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "first": ("<i8", (None,)), "time_ns": ("<i8", (None,)), "position": ("<f8", (None, 3)),
    "rotation": ("<f8", (None, 4)),
    **{name: (kind, (None, *shape)) for name, (kind, shape) in (_TRACKS | _LABELS).items()},
}  # fmt: skip

_AHEAD_S = 1.0  # what begins so soon is intended already
_NEAR_M, _SHARE = 1.5, 0.5  # a track follows an object within that and half of its length
_NOTHING_M = 5.0  # a track that far from all objects follows none
INTENT_OF = {
    "keep": "keep", "accelerate": "keep", "brake": "brake", "stop": "stop", "change_left": "change_lane",
    "change_right": "change_lane", "cut_in": "cut_in", "turn_left": "turn", "turn_right": "turn", "cross": "cross",
    "yield": "brake", "park": "stop",
}  # fmt: skip
"""What the heads call the simulator's manoeuvres."""
_INTENT = np.array([INTENTS.index(INTENT_OF[name]) for name in MANOEUVRES])
_LASTING = np.array([INTENTS.index("keep"), INTENTS.index("stop")])  # they are not begun, but what is left


def record(clip: Clip, fuser: Fuser) -> Record:
    """What ``fuser`` makes of the clip, with the truth beside each track."""
    labels = _Labels(clip)
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in (*_TRACKS, *_LABELS)}
    first = [0]
    for frame, (frames, time_ns) in enumerate(clip.frames()):
        scene = fuser.step(frames, time_ns)
        for name in _TRACKS:
            columns[name].append(np.array(getattr(scene, name)))
        for name, column in labels.of(frame, scene).items():
            columns[name].append(column)
        first.append(first[-1] + len(scene.track_id))
    return {name: np.concatenate(parts) for name, parts in columns.items()} | {
        "first": np.array(first), "time_ns": clip.time_ns, "position": clip.ego_position, "rotation": clip.ego_rotation,
    }  # fmt: skip


def load_record(path: Path) -> Record:
    """Raises BadInput where the file is truncated, too large, or not of this form."""
    return read_npz(path, _FIELDS, same_length=False)


class Read(NamedTuple):
    """What the heads read of a record's tracks (M, F), row by row as in it; and of `Kinematics` what baselines need."""

    features: npt.NDArray[np.float32]
    place: FloatArray
    velocity: FloatArray
    contact: FloatArray
    ego_speed: FloatArray


def read_record(record: Record) -> Read:
    follow = Follow(STANDING.size, STANDING.tail)
    parts = []
    for i, time_ns in enumerate(record["time_ns"].tolist()):
        scene = _scene(record, i)
        ego, _ = follow.step(scene, time_ns)
        moving = kinematics(scene, ego)
        speed = np.full(len(moving.place), moving.ego_speed)
        parts.append(Read(features(scene, ego, moving), moving.place, moving.velocity, moving.contact, speed))
    return Read(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _scene(record: Record, i: int) -> Scene:
    rows = slice(int(record["first"][i]), int(record["first"][i + 1]))
    columns: dict[str, Any] = {name: record[name][rows] for name in _TRACKS}
    x, y, z = record["position"][i].tolist()
    qw, qx, qy, qz = record["rotation"][i].tolist()
    return Scene(
        index=i, position=(x, y, z), rotation_wxyz=(qw, qx, qy, qz), sensors=(), missing=(),
        weight=np.zeros((rows.stop - rows.start, 0), np.float32), **columns,
    )  # fmt: skip


class _Labels:
    """The behaviour of a clip's objects, with what they begin soon."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        frames, ids = len(clip), clip.truth["object_id"]
        self._objects = np.unique(ids)
        at = np.repeat(np.arange(frames), np.diff(clip.truth_first))
        self._column = np.searchsorted(self._objects, ids)
        period = float(np.median(np.diff(clip.time_ns))) * 1e-9 if frames > 1 else 0.1
        ahead = max(round(_AHEAD_S / period), 1)
        shape = (frames + ahead, len(self._objects))
        manoeuvre, hazard = np.full(shape, -1), np.full(shape, -1)
        manoeuvre[at, self._column] = clip.behaviour["manoeuvre"]
        hazard[at, self._column] = clip.behaviour["hazard"]
        known = manoeuvre >= 0
        self._intent = np.where(known, _INTENT[np.maximum(manoeuvre, 0)], -1)[:frames]
        self._hazard = hazard[:frames].copy()
        for step in range(1, ahead + 1):
            later, soon = manoeuvre[step : step + frames], hazard[step : step + frames]
            begun = np.where(later >= 0, _INTENT[np.maximum(later, 0)], -1)
            waits = np.isin(self._intent, _LASTING) & (begun >= 0) & ~np.isin(begun, _LASTING)
            self._intent = np.where(waits, begun, self._intent)
            self._hazard = np.where((self._hazard == 0) & (soon == 1), 1, self._hazard)

    def of(self, frame: int, scene: Scene) -> dict[str, npt.NDArray[Any]]:
        """intent, hazard, time (M,) of the scene's tracks; a track of nothing is no hazard and has no intent."""
        clip, m = self._clip, len(scene.track_id)
        rows = slice(int(clip.truth_first[frame]), int(clip.truth_first[frame + 1]))
        intent, hazard = np.full(m, -1, np.int8), np.full(m, -1, np.int8)
        time = np.full(m, np.nan, np.float32)
        there = clip.truth["position"][rows, :2]
        apart = np.hypot(*(scene.track_position[:, None, :2] - there[None]).transpose(2, 0, 1))
        nearest = apart.argmin(axis=1) if len(there) else np.zeros(m, np.int64)
        away = apart[np.arange(m), nearest] if len(there) else np.full(m, np.inf)
        reach = _NEAR_M + _SHARE * clip.truth["size"][rows, 0][nearest] if len(there) else np.zeros(m)
        for of in np.unique(nearest[away <= reach]).tolist():
            its = np.flatnonzero((nearest == of) & (away <= reach))
            track, column = its[away[its].argmin()], self._column[rows.start + of]
            intent[track], hazard[track] = self._intent[frame, column], self._hazard[frame, column]
            time[track] = clip.behaviour["time_to_collision"][rows.start + of]
        hazard[away > _NOTHING_M] = 0
        time[away > _NOTHING_M] = np.inf
        return {"intent": intent, "hazard": hazard, "time": time}
