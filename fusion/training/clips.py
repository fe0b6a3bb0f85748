"""`Clip`: a stretch of simulated driving at detection level, as flat arrays, with the truth beside every detection.

What a network trains on and what Monte-Carlo runs read. A file is one .npz without pickle: a JSON header and plain
arrays; `load_clip` trusts nothing in it. `Clip.frames` gives the same detections as the aligner's frame sets.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.core.bounded import read_npz
from pipeline.core.errors import BadInput
from pipeline.core.messages import C, Detections, FrameSet, SensorSlot
from pipeline.core.truth import MANOEUVRES, TruthObjects

SCHEMA = 2
_NO_BEHAVIOUR = 1  # the schema before, without `Clip.behaviour`; still read
Modality = Literal["camera", "lidar", "radar"]

MISSING = ("", "no_message", "silent", "late", "not_due")
"""Why a sensor's slot is empty; index = code in `Clip.missing`."""
OBJECT, EXTRA, GHOST, CLUTTER = 0, 1, 2, 3
"""Cause of a detection: an object; a further detection on it; something that is no object and stays where it is in the
world; a false alarm of the moment. The last two are false and have object id -1."""

DETECTION_COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "position": ("<f4", (3,)),
    "position_cov": ("<f4", (3, 3)),
    "size": ("<f4", (3,)),
    "size_sigma": ("<f4", (3,)),
    "yaw": ("<f4", ()),
    "yaw_sigma": ("<f4", ()),
    "radial_speed": ("<f4", ()),
    "radial_sigma": ("<f4", ()),
    "class_score": ("<f4", (C,)),
    "score": ("<f4", ()),
    "box2d": ("<f4", (4,)),
    "time_offset_ns": ("<i4", ()),
    "points": ("<i4", ()),
    "object_id": ("<i8", ()),
    "cause": ("u1", ()),
}
"""As in `Detections`, ego frame of the reference instant; and the truth: which object, or -1, and the cause."""
TRUTH_COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "object_id": ("<i8", ()),
    "class_id": ("<i4", ()),
    "position": ("<f8", (3,)),
    "size": ("<f4", (3,)),
    "yaw": ("<f8", ()),
    "velocity": ("<f4", (2,)),
    "lidar_points": ("<i4", ()),
    "visibility": ("<f4", ()),
}
"""As in `TruthObjects`, odom frame, at the reference instant."""
BEHAVIOUR_COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "manoeuvre": ("<i4", ()),
    "hazard": ("i1", ()),
    "time_to_collision": ("<f4", ()),
}
"""As in `TruthBehaviour`, of each row of the truth; manoeuvre and hazard are -1 and the time NaN where nobody knows."""
_MAX_BYTES = 4 << 30
_MAX_HEADER = 1 << 20

Columns = dict[str, npt.NDArray[Any]]


class FaultSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ails a sensor from frame ``start`` up to, not including, ``end``. amount: in the unit of its kind."""

    sensor: str
    name: str
    amount: float
    start: int
    end: int


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    schema: int
    name: str
    seed: int
    sensors: Annotated[tuple[str, ...], msgspec.Meta(max_length=256)]
    modalities: tuple[Modality, ...]
    ambiguity: tuple[float, ...]
    faults: Annotated[tuple[FaultSpan, ...], msgspec.Meta(max_length=10_000)]


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """T reference instants, S sensors, N detections, M truth rows.

    time_ns: (T,) int64. ego_position (T, 3), ego_rotation (T, 4) w, x, y, z: odom_SE3_ego at each.
    slot_time_ns, sequence: (T, S) of the message taken, vehicle clock. missing: (T, S) index into `MISSING`.
    origin: (T, S, 3) of the sensor, ego frame of the instant. ambiguity: (S,) m/s, 0 = none.
    first: (T S + 1,) row of the first detection of each slot, in order of frame and sensor. detections: (N, ...) by
    `DETECTION_COLUMNS`. truth_first: (T + 1,); truth: (M, ...) by `TRUTH_COLUMNS`; behaviour: of the same rows, by
    `BEHAVIOUR_COLUMNS`.
    """

    name: str
    seed: int
    sensors: tuple[str, ...]
    modalities: tuple[Modality, ...]
    ambiguity: tuple[float, ...]
    time_ns: npt.NDArray[np.int64]
    ego_position: npt.NDArray[np.float64]
    ego_rotation: npt.NDArray[np.float64]
    slot_time_ns: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    missing: npt.NDArray[np.uint8]
    origin: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    detections: Columns
    truth_first: npt.NDArray[np.int64]
    truth: Columns
    behaviour: Columns
    faults: tuple[FaultSpan, ...] = ()

    def __len__(self) -> int:
        return len(self.time_ns)

    def rows(self, frame: int, sensor: int) -> slice:
        """Rows of ``detections`` that one slot holds."""
        at = frame * len(self.sensors) + sensor
        return slice(int(self.first[at]), int(self.first[at + 1]))

    def faulty(self, frame: int) -> dict[str, tuple[str, ...]]:
        """Names of what ails each ailing sensor at a frame."""
        out: dict[str, tuple[str, ...]] = {}
        for span in self.faults:
            if span.start <= frame < span.end:
                out[span.sensor] = (*out.get(span.sensor, ()), span.name)
        return out

    def frames(self) -> Iterator[tuple[FrameSet, int]]:
        """Frame sets with their reference instants, as the aligner gives them."""
        poses = self.ego_position.tolist(), self.ego_rotation.tolist()
        for frame, time_ns in enumerate(self.time_ns.tolist()):
            slots = tuple(self._slot(frame, sensor, time_ns) for sensor in range(len(self.sensors)))
            yield (
                FrameSet(
                    index=frame,
                    position=tuple(poses[0][frame]),
                    rotation_wxyz=tuple(poses[1][frame]),
                    slots=slots,
                ),
                time_ns,
            )

    def truth_at(self, frame: int) -> TruthObjects:
        """The objects at a frame's reference instant."""
        rows = slice(int(self.truth_first[frame]), int(self.truth_first[frame + 1]))
        return TruthObjects(frame="odom", **{name: column[rows] for name, column in self.truth.items()})

    def _slot(self, frame: int, sensor: int, time_ns: int) -> SensorSlot:
        name, modality = self.sensors[sensor], self.modalities[sensor]
        missing = MISSING[self.missing[frame, sensor]]
        if missing:
            return SensorSlot(sensor=name, modality=modality, missing=missing)
        rows = self.rows(frame, sensor)
        n = rows.stop - rows.start
        x, y, z = self.origin[frame, sensor].tolist()
        measured = {f: self.detections[f][rows] for f in DETECTION_COLUMNS if f not in ("object_id", "cause")}
        message_ns = int(self.slot_time_ns[frame, sensor])
        return SensorSlot(
            sensor=name,
            modality=modality,
            sequence=int(self.sequence[frame, sensor]),
            epoch=0,
            time_ns=message_ns,
            offset_ns=message_ns - time_ns,
            detections=Detections(
                sensor=name,
                modality=modality,
                origin=(x, y, z),
                velocity=np.full((n, 2), np.nan, np.float32),
                velocity_cov=np.full((n, 2, 2), np.nan, np.float32),
                radial_ambiguity=self.ambiguity[sensor],
                embedding=np.zeros((n, 0), np.float32),
                hurried=False,
                **measured,
            ),
        )


def unknown_behaviour(rows: int) -> Columns:
    """What stands in `Clip.behaviour` where nobody knows."""
    unknown = np.full(rows, -1)
    return {
        "manoeuvre": unknown.astype(np.int32),
        "hazard": unknown.astype(np.int8),
        "time_to_collision": np.full(rows, np.nan, np.float32),
    }


def save_clip(clip: Clip, path: Path) -> None:
    """Write the file; it appears under its name only when it is whole."""
    header = _Header(
        schema=SCHEMA, name=clip.name, seed=clip.seed, sensors=clip.sensors, modalities=clip.modalities,
        ambiguity=clip.ambiguity, faults=clip.faults,
    )  # fmt: skip
    arrays = {name: getattr(clip, name) for name in _PLAIN}
    arrays |= {f"detections/{name}": column for name, column in clip.detections.items()}
    arrays |= {f"truth/{name}": column for name, column in clip.truth.items()}
    arrays |= {f"behaviour/{name}": column for name, column in clip.behaviour.items()}
    whole = io.BytesIO()
    np.savez(whole, header=np.frombuffer(msgspec.json.encode(header), np.uint8), **arrays)
    partial = path.with_suffix(".partial")
    partial.write_bytes(whole.getbuffer())
    partial.replace(path)


def load_clip(path: Path) -> Clip:
    """Read a clip; one of the schema before has no behaviour, and so an unknown one.

    Raises:
        BadInput: not a clip of these schemas, too large, or arrays that do not fit together.
    """
    header = _header(path)
    arrays = read_npz(path, _fields(schema=header.schema), _MAX_BYTES, same_length=False)
    _check(arrays, len(header.sensors), header.schema, path)
    sections: dict[str, Columns] = {
        part: {name.partition("/")[2]: a for name, a in arrays.items() if name.startswith(f"{part}/")}
        for part in ("detections", "truth", "behaviour")
    }
    if len(header.modalities) != len(header.sensors) or len(header.ambiguity) != len(header.sensors):
        raise BadInput(path, "header", "one modality and ambiguity per sensor", header.sensors)
    return Clip(
        name=header.name, seed=header.seed, sensors=header.sensors, modalities=header.modalities,
        ambiguity=header.ambiguity, faults=header.faults, detections=sections["detections"], truth=sections["truth"],
        behaviour=sections["behaviour"] or unknown_behaviour(len(arrays["truth/yaw"])),
        **{name: arrays[name] for name in _PLAIN},
    )  # fmt: skip


def _header(path: Path) -> _Header:
    head = read_npz(path, {"header": ("u1", (None,))}, _MAX_HEADER)["header"]
    try:
        header = msgspec.json.decode(head.tobytes(), type=_Header)
    except msgspec.DecodeError as error:
        raise BadInput(path, "header", "that of a clip", error) from error
    if header.schema not in (_NO_BEHAVIOUR, SCHEMA):
        raise BadInput(path, "schema", f"{_NO_BEHAVIOUR} or {SCHEMA}", header.schema)
    return header


_PLAIN = (
    "time_ns", "ego_position", "ego_rotation", "slot_time_ns", "sequence", "missing", "origin", "first", "truth_first",
)  # fmt: skip


def _fields(
    t: int | None = None, sensors: int | None = None, n: int | None = None, m: int | None = None, schema: int = SCHEMA
) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """Type and shape of every array: T instants, N detections, M labels; None = any number."""
    fields: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "time_ns": ("<i8", (t,)),
        "ego_position": ("<f8", (t, 3)),
        "ego_rotation": ("<f8", (t, 4)),
        "slot_time_ns": ("<i8", (t, sensors)),
        "sequence": ("<i8", (t, sensors)),
        "missing": ("u1", (t, sensors)),
        "origin": ("<f8", (t, sensors, 3)),
        "first": ("<i8", (None if t is None or sensors is None else t * sensors + 1,)),
        "truth_first": ("<i8", (None if t is None else t + 1,)),
    }
    fields |= {f"detections/{f}": (kind, (n, *shape)) for f, (kind, shape) in DETECTION_COLUMNS.items()}
    fields |= {f"truth/{f}": (kind, (m, *shape)) for f, (kind, shape) in TRUTH_COLUMNS.items()}
    behaviour = BEHAVIOUR_COLUMNS if schema > _NO_BEHAVIOUR else {}
    return fields | {f"behaviour/{f}": (kind, (m, *shape)) for f, (kind, shape) in behaviour.items()}


def _check(arrays: Columns, sensors: int, schema: int, path: Path) -> None:
    """The sizes agree, and the row numbers rise to the number of rows."""
    t, n, m = (len(arrays[name]) for name in ("time_ns", "detections/score", "truth/yaw"))
    for name, (_, shape) in _fields(t, sensors, n, m, schema).items():
        if arrays[name].shape != shape:
            raise BadInput(path, name, f"shape {shape}", arrays[name].shape)
    for name, rows in (("first", n), ("truth_first", m)):
        first = arrays[name].astype(np.int64)
        if first[0] != 0 or first[-1] != rows or (np.diff(first) < 0).any():
            raise BadInput(path, name, f"rising from 0 to {rows}", first[[0, -1]].tolist())
    if (arrays["missing"].astype(np.int64) >= len(MISSING)).any():
        raise BadInput(path, "missing", f"below {len(MISSING)}", int(arrays["missing"].astype(np.int64).max()))
    if schema > _NO_BEHAVIOUR:
        for name, least, most in (("manoeuvre", -1, len(MANOEUVRES) - 1), ("hazard", -1, 1)):
            column = arrays[f"behaviour/{name}"].astype(np.int64)
            if ((column < least) | (column > most)).any():
                raise BadInput(path, f"behaviour/{name}", f"{least} to {most}", [int(column.min()), int(column.max())])
        if (arrays["behaviour/time_to_collision"] < 0.0).any():
            raise BadInput(path, "behaviour/time_to_collision", "0 s or more, or NaN", "less")
    turn = np.linalg.norm(arrays["ego_rotation"].astype(np.float64), axis=1)
    if not (np.abs(turn - 1.0) < 0.01).all() or not all(map(math.isfinite, turn.tolist())):
        raise BadInput(path, "ego_rotation", "unit quaternions", "others")
