"""Clips are written and read whole, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fusion.training.clips import (
    BEHAVIOUR_COLUMNS,
    DETECTION_COLUMNS,
    TRUTH_COLUMNS,
    Clip,
    FaultSpan,
    load_clip,
    save_clip,
)
from pipeline.core.errors import BadInput


@pytest.fixture
def clip() -> Clip:
    """Two frames of a camera and a radar; the radar is missing in the second."""
    n, m = 5, 3
    detections = {f: np.ones((n, *shape), np.dtype(kind)) for f, (kind, shape) in DETECTION_COLUMNS.items()}
    truth = {f: np.ones((m, *shape), np.dtype(kind)) for f, (kind, shape) in TRUTH_COLUMNS.items()}
    behaviour = {f: np.ones((m, *shape), np.dtype(kind)) for f, (kind, shape) in BEHAVIOUR_COLUMNS.items()}
    return Clip(
        name="two", seed=3, sensors=("eye", "ear"), modalities=("camera", "radar"), ambiguity=(0.0, 10.0),
        time_ns=np.array([100, 200]), ego_position=np.zeros((2, 3)), ego_rotation=np.tile([1.0, 0, 0, 0], (2, 1)),
        slot_time_ns=np.array([[90, 105], [195, 0]]), sequence=np.array([[0, 0], [1, 1]]),
        missing=np.array([[0, 0], [0, 2]], np.uint8), origin=np.zeros((2, 2, 3)), first=np.array([0, 2, 4, 5, 5]),
        detections=detections, truth_first=np.array([0, 1, 3]), truth=truth, behaviour=behaviour,
        faults=(FaultSpan("ear", "dead", 3.0, 1, 2),),
    )  # fmt: skip


def test_what_is_written_is_read(clip: Clip, tmp_path: Path) -> None:
    save_clip(clip, tmp_path / "a.npz")
    read = load_clip(tmp_path / "a.npz")
    for field in dataclasses.fields(Clip):
        a, b = getattr(clip, field.name), getattr(read, field.name)
        if isinstance(a, dict):
            assert set(a) == set(b)
            assert all(np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)
        elif isinstance(a, np.ndarray):
            assert np.array_equal(a, b)
        else:
            assert a == b
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npz"]


def test_frames_hold_the_rows_of_their_slots(clip: Clip) -> None:
    (first, t0), (second, _) = clip.frames()
    assert t0 == 100
    assert [len(s.detections) if s.detections else None for s in first.slots] == [2, 2]
    assert first.slots[0].offset_ns == -10
    assert first.slots[1].detections is not None
    assert first.slots[1].detections.radial_ambiguity == 10.0
    assert [s.missing for s in second.slots] == ["", "silent"]
    assert len(clip.truth_at(1).yaw) == 2
    assert clip.faulty(1) == {"ear": ("dead",)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first", np.array([0, 2, 4, 5, 6])),
        ("first", np.array([0, 3, 2, 5, 5])),
        ("missing", np.array([[0, 0], [0, 99]], np.uint8)),
        ("time_ns", np.array([1.0, 2.0])),
        ("origin", np.zeros((2, 3, 3))),
        ("ego_rotation", np.full((2, 4), np.nan)),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(clip: Clip, tmp_path: Path, field: str, value: np.ndarray) -> None:
    save_clip(dataclasses.replace(clip, **{field: value}), tmp_path / "b.npz")
    with pytest.raises(BadInput, match=field):
        load_clip(tmp_path / "b.npz")


def test_a_column_that_is_not_there_is_refused(clip: Clip, tmp_path: Path) -> None:
    detections = {k: v for k, v in clip.detections.items() if k != "yaw"}
    save_clip(dataclasses.replace(clip, detections=detections), tmp_path / "c.npz")
    with pytest.raises(BadInput, match="detections/yaw"):
        load_clip(tmp_path / "c.npz")


def test_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    for content in (b"", b"PK\x03\x04 no archive", b"\x93NUMPY"):
        path.write_bytes(content)
        with pytest.raises(BadInput):
            load_clip(path)
    np.savez(path, header=np.array([{}], dtype=object))
    with pytest.raises(BadInput):
        load_clip(path)


def test_a_clip_of_the_schema_before_is_read_with_nothing_known_of_behaviour(clip: Clip, tmp_path: Path) -> None:
    save_clip(clip, tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as new:
        old = {name: new[name] for name in new.files if not name.startswith("behaviour/")}
    old["header"] = np.frombuffer(old["header"].tobytes().replace(b'"schema":2', b'"schema":1'), np.uint8)
    np.savez(tmp_path / "old.npz", **old)
    read = load_clip(tmp_path / "old.npz")
    assert read.behaviour["manoeuvre"].tolist() == read.behaviour["hazard"].tolist() == [-1, -1, -1]
    assert np.isnan(read.behaviour["time_to_collision"]).all()
    old["header"] = np.frombuffer(old["header"].tobytes().replace(b'"schema":1', b'"schema":3'), np.uint8)
    np.savez(tmp_path / "newer.npz", **old)
    with pytest.raises(BadInput, match="schema"):
        load_clip(tmp_path / "newer.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("manoeuvre", np.array([0, 1, 12], np.int32)),
        ("hazard", np.array([0, 2, -1], np.int8)),
        ("time_to_collision", np.array([1.0, -0.5, np.nan], np.float32)),
        ("hazard", np.array([0, 1], np.int8)),
    ],
)
def test_behaviour_that_cannot_be_is_refused(clip: Clip, tmp_path: Path, name: str, value: np.ndarray) -> None:
    save_clip(dataclasses.replace(clip, behaviour=clip.behaviour | {name: value}), tmp_path / "d.npz")
    with pytest.raises(BadInput, match=f"behaviour/{name}"):
        load_clip(tmp_path / "d.npz")
