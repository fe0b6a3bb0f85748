"""Clips are made by number, whatever else is made, and not twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration.rig import Rig
from fusion.training.clips import load_clip
from nodes.simulator.detections.__main__ import Job, make, make_all


def test_a_clip_is_the_same_alone_and_among_others(rig: Rig, tmp_path: Path) -> None:
    for folder, numbers in (("all", (0, 1, 2)), ("one", (2,))):
        (tmp_path / folder).mkdir()
        jobs = [Job(tmp_path / folder / f"{i}.npz", 7, i, 3.0, 0.5, rig) for i in numbers]
        assert make_all(jobs, processes=1) == 29 * len(numbers)
    a, b = (load_clip(tmp_path / folder / "2.npz") for folder in ("all", "one"))
    assert a.faults == b.faults
    assert all(np.array_equal(a.detections[k], b.detections[k], equal_nan=True) for k in ("score", "position", "box2d"))
    other = load_clip(tmp_path / "all" / "1.npz")
    assert other.name != a.name


def test_two_processes_make_the_same_clips(rig: Rig, tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"{i}.npz", 1, i, 2.0, 0.0, rig) for i in range(2)]
    make(jobs[1]._replace(path=tmp_path / "alone.npz"))
    assert make_all(jobs, processes=2) == 38
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "alone.npz").read_bytes()
