"""Sweeps to train on: the same each time, and labels where their returns are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusion.detect.pillars import PillarDetector, PillarSettings
from fusion.training.sweeps import UNIT_M, read_part
from nodes.simulator.training_sweeps import write_sweeps
from nodes.simulator.world.environment import Weather
from pipeline.core.messages import CLASSES
from tests.simulated import street_world


@pytest.mark.parametrize("weather", [Weather(), Weather(visibility_m=200.0, rain_mm_h=10.0)])
def test_returns_lie_in_the_boxes_that_they_are_counted_for(tmp_path: Path, weather: Weather) -> None:
    world = replace(street_world(), weather=weather)
    write_sweeps(lambda part: world, tmp_path, 1, per_world=6)
    sweeps = read_part(tmp_path / "00000.npz")
    assert len(sweeps) == 6
    for sweep in sweeps:
        assert [CLASSES[k] for k in sweep.class_id] == ["car", "pedestrian"]
        assert len(np.unique(sweep.now[:, 3])) >= 12  # beams that meet something
        ground = np.abs(sweep.now[:, 2] * UNIT_M) < 0.15
        assert ground.mean() > 0.3
        for box, points in zip(sweep.boxes.astype(float), sweep.points, strict=True):
            for cloud, at in ((sweep.now, box[:2]), (sweep.before, box[:2] - sweep.gap_s * box[7:9])):
                if points >= 20:
                    d = cloud[:, :2] * UNIT_M - at
                    along = d @ [np.cos(box[6]), np.sin(box[6])]
                    across = d @ [-np.sin(box[6]), np.cos(box[6])]
                    inside = (np.abs(along) < box[3] / 2 + 0.1) & (np.abs(across) < box[4] / 2 + 0.1)
                    standing = inside & (cloud[:, 2] * UNIT_M > 0.15)
                    assert standing.sum() > 0.5 * points


def test_a_seed_gives_the_same_sweeps_and_parts_that_are_there_are_kept(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_sweeps(lambda part: street_world(), tmp_path / folder, 1, per_world=2, seed=3)
    one, other = ((tmp_path / folder / "00000.npz").read_bytes() for folder in ("a", "b"))
    assert one == other

    def never(part: int) -> None:
        raise AssertionError(f"part {part} is there")

    write_sweeps(never, tmp_path / "a", 1)  # type: ignore[arg-type]


def test_the_shipped_network_finds_the_car_ahead_where_it_is(tmp_path: Path) -> None:
    write_sweeps(lambda part: street_world(), tmp_path, 1, per_world=4, seed=8)
    found = PillarDetector(PillarSettings())
    hits = []
    for sweep in read_part(tmp_path / "00000.npz"):
        now = sweep.now[:, :3].astype(np.float32) * np.float32(UNIT_M)
        seen = found(now, np.zeros(len(now), np.int32), np.zeros(3), "lidar")
        car = (seen.class_score.argmax(axis=1) == CLASSES.index("car")) & (seen.score > 0.3)
        hits.append((np.hypot(*(seen.position[car, :2] - sweep.boxes[0, :2]).T) < 1.0).any())
        assert np.isnan(seen.velocity).all()
    assert sum(hits) >= 3
