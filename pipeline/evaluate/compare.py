"""Two runs side by side: are the scenes the same to the byte; if not, which differ, where first, by how much."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path

import msgspec
import numpy as np

from pipeline.core import wire
from pipeline.core.messages import Message, RunInfo, Scene
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.boxes import Boxes, centre_distance

_REACH_M = 4.0  # tracks further apart than this are not the same thing, whatever their ids
_LISTED = 12


class FrameDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One scene that differs. matched: tracks paired by id and place. position_m: over the matched, ground plane.

    renamed: matched under different ids. existence, weight: largest change over the matched.
    """

    index: int
    time_ns: int
    tracks_a: int
    tracks_b: int
    matched: int
    renamed: int
    mean_position_m: float
    max_position_m: float
    max_existence: float
    max_weight: float
    missing_a: tuple[str, ...]
    missing_b: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """identical: both hold the same scenes, to the byte. settings: unified diff of drive, rig and graph, or empty.

    only_a, only_b: indices of scenes that the other does not have. hash: over all scenes in order.
    """

    run_a: str
    run_b: str
    identical: bool
    scenes_a: int
    scenes_b: int
    hash_a: str
    hash_b: str
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    differing: tuple[FrameDifference, ...]
    settings: str

    @property
    def first(self) -> int | None:
        """Index of the first scene that differs or that only one run has."""
        return min([*self.only_a, *self.only_b, *(d.index for d in self.differing)], default=None)

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode({**msgspec.to_builtins(self), "first": self.first}), indent=2)

    def to_text(self) -> str:
        """For a person: the verdict in the first line."""
        if self.identical:
            return "\n".join([f"identical: {self.scenes_a} scenes, {self.hash_a}", *self._settings_lines()])
        if not self.scenes_a and not self.scenes_b:
            return "nothing to compare: neither run holds a scene"
        lines = [
            f"different: first at scene {self.first}; {len(self.differing)} of"
            f" {min(self.scenes_a, self.scenes_b)} common scenes differ",
            f"  A {self.run_a}: {self.scenes_a} scenes, {self.hash_a}",
            f"  B {self.run_b}: {self.scenes_b} scenes, {self.hash_b}",
        ]
        for name, only in (("A", self.only_a), ("B", self.only_b)):
            if only:
                lines.append(f"  only in {name}: {len(only)} scenes, {_some(only)}")
        if self.differing:
            lines.append("   scene   tracks A/B   same  renamed   moved mean/max m   existence   weight")
            lines += [
                f"  {d.index:6d}   {d.tracks_a:5d}/{d.tracks_b:<5d}  {d.matched:5d}  {d.renamed:7d}"
                f"   {d.mean_position_m:8.3f}/{d.max_position_m:<8.3f}   {d.max_existence:8.3f}   {d.max_weight:6.3f}"
                for d in self.differing[:_LISTED]
            ]
            if len(self.differing) > _LISTED:
                lines.append(f"  ... and {len(self.differing) - _LISTED} more")
        return "\n".join([*lines, *self._settings_lines()])

    def _settings_lines(self) -> list[str]:
        if not self.settings:
            return ["settings: the same"]
        return ["settings differ:", *(f"  {line}" for line in self.settings.splitlines())]


def compare(run_a: Path, run_b: Path) -> Comparison:
    """Compare the scenes of two run folders or recordings. Raises BadInput where one is not a run."""
    info_a, scenes_a = _read(run_a)
    info_b, scenes_b = _read(run_b)
    common = sorted(scenes_a.keys() & scenes_b.keys())
    digests_a = {key: wire.digest(m) for key, m in scenes_a.items()}
    digests_b = {key: wire.digest(m) for key, m in scenes_b.items()}
    changed = [key for key in common if digests_a[key] != digests_b[key]]
    only_a = tuple(index for _, index in sorted(scenes_a.keys() - scenes_b.keys()))
    only_b = tuple(index for _, index in sorted(scenes_b.keys() - scenes_a.keys()))
    return Comparison(
        run_a=str(run_a),
        run_b=str(run_b),
        identical=bool(common) and not changed and not only_a and not only_b,
        scenes_a=len(scenes_a),
        scenes_b=len(scenes_b),
        hash_a=_together(digests_a),
        hash_b=_together(digests_b),
        only_a=only_a,
        only_b=only_b,
        differing=tuple(difference(scenes_a[key], scenes_b[key]) for key in changed),
        settings=_settings_diff(info_a, info_b),
    )


def difference(a: Message, b: Message) -> FrameDifference:
    """How far two scenes of the same index lie apart."""
    scene_a, scene_b = a.payload, b.payload
    assert isinstance(scene_a, Scene)
    assert isinstance(scene_b, Scene)
    pairs = _pairs(Boxes.of_scene(scene_a), Boxes.of_scene(scene_b))
    rows, columns = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], int)
    moved = np.hypot(*(scene_a.track_position[rows] - scene_b.track_position[columns])[:, :2].T)
    weight = np.zeros(0)
    if scene_a.sensors == scene_b.sensors:
        weight = np.abs(scene_a.weight[rows] - scene_b.weight[columns])
    return FrameDifference(
        index=scene_a.index,
        time_ns=a.stamp.time_ns,
        tracks_a=len(scene_a.track_id),
        tracks_b=len(scene_b.track_id),
        matched=len(pairs),
        renamed=int((scene_a.track_id[rows] != scene_b.track_id[columns]).sum()),
        mean_position_m=float(moved.mean()) if len(moved) else 0.0,
        max_position_m=float(moved.max(initial=0.0)),
        max_existence=float(np.abs(scene_a.existence[rows] - scene_b.existence[columns]).max(initial=0.0)),
        max_weight=float(weight.max(initial=0.0)),
        missing_a=scene_a.missing,
        missing_b=scene_b.missing,
    )


def _pairs(a: Boxes, b: Boxes) -> list[tuple[int, int]]:
    """Tracks of the same id that are within reach of each other; of the others, the nearest first."""
    distance = centre_distance(a, b)
    _, rows, columns = np.intersect1d(a.identity, b.identity, return_indices=True)
    pairs = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if distance[r, c] < _REACH_M]
    for row, column in pairs:
        distance[row], distance[:, column] = np.inf, np.inf
    while distance.size and distance.min() < _REACH_M:
        row, column = (int(i) for i in np.unravel_index(int(distance.argmin()), distance.shape))
        pairs.append((row, column))
        distance[row], distance[:, column] = np.inf, np.inf
    return pairs


def _read(run: Path) -> tuple[RunInfo, dict[tuple[int, int], Message]]:
    """Scenes by epoch and index."""
    with RunRecording(run) as recording:
        topics = ["scene"] if "scene" in recording.topics else []
        scenes = [m for m in recording.messages(topics) if isinstance(m.payload, Scene)] if topics else []
        info = recording.info
    return info, {(m.stamp.epoch, m.payload.index): m for m in scenes if isinstance(m.payload, Scene)}


def _together(digests: dict[tuple[int, int], str]) -> str:
    """One hash over the scenes in order."""
    return hashlib.blake2b(" ".join(digests[key] for key in sorted(digests)).encode(), digest_size=16).hexdigest()


def _settings_diff(a: RunInfo, b: RunInfo) -> str:
    """Unified diff of what ran; the drive's name, the rig and the graph with every default written out."""
    text_a = f"drive: {a.drive}\nversion: {a.version}\n# graph\n{a.graph_yaml}\n# rig\n{a.rig_yaml}"
    text_b = f"drive: {b.drive}\nversion: {b.version}\n# graph\n{b.graph_yaml}\n# rig\n{b.rig_yaml}"
    return "\n".join(difflib.unified_diff(text_a.splitlines(), text_b.splitlines(), "A", "B", lineterm="", n=1))


def _some(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(str(n) for n in numbers[:_LISTED])
    return shown + (", ..." if len(numbers) > _LISTED else "")
