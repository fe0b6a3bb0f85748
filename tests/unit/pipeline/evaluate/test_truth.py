"""Labels brought to an instant: each from its own, and not at all where nothing is known of how they move."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.rig import Rig
from calibration.se3 import SE3
from nodes.sources.truth import Label, truth_objects
from pipeline.core.messages import EgoPose, Message, RunInfo, Stamp
from pipeline.evaluate.boxes import Boxes
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.pairing import Output, sample
from pipeline.evaluate.run_log import RunLog, collect
from pipeline.evaluate.truth import TruthTrack

MS = 1_000_000
T = 1_700_000_000_000 * MS
CONFIG = EvalConfig(name="test", version=1, class_range_m={"car": 50.0})
INFO = RunInfo(drive="test", version="0", rig_yaml="", graph_yaml="")


def labels(ms: float, x: float, held_ms: float, identity: int = 1, frame: str = "odom") -> Message:
    car = Label(identity, "car", (x, 0.0, 0.8), (4.5, 1.9, 1.6), 0.0)
    offset = np.array([held_ms * MS], np.int32)
    truth = truth_objects([car], time_offset_ns=offset, frame=frame)  # type: ignore[arg-type]
    return Message("truth/objects", _stamp(ms), truth)


def pose(ms: float, x: float) -> Message:
    return Message("pose/ego", _stamp(ms), EgoPose(position=(x, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0)))


def _stamp(ms: float) -> Stamp:
    time_ns = T + round(ms * MS)
    return Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=0)


def run(*messages: Message) -> RunLog:
    return collect(messages, INFO, Rig(vehicle="test", sensors=()), "test")


def test_a_label_moves_from_its_own_instant_to_its_own_in_the_next_frame() -> None:
    track = TruthTrack([labels(0, 0.0, -80), labels(100, 11.0, -70)], 500 * MS)  # 100 m/s
    for ms, x in ((-80, 0.0), (0, 8.0), (20, 10.0)):
        boxes, _ = track.at(T + ms * MS, 0)
        assert boxes.position[0, 0] == pytest.approx(x)
    boxes, _ = track.at(T + 20 * MS, 1)
    assert boxes.position[0, 0] == pytest.approx(10.0)


def test_an_object_met_twice_at_the_seam_of_a_sweep_does_not_fly_away() -> None:
    track = TruthTrack([labels(0, 0.0, -1), labels(100, 0.05, -99)], 500 * MS)
    boxes, _ = track.at(T + 49 * MS, 0)
    assert abs(boxes.position[0, 0]) < 0.1


def test_labels_given_in_the_ego_frame_are_placed_by_the_pose_of_their_instant() -> None:
    log = run(pose(0, 0.0), pose(100, 10.0), labels(100, 5.0, -50, identity=-1, frame="ego"))
    boxes, _ = TruthTrack(log.truth, 500 * MS).at(T + 100 * MS)
    assert boxes.position[0, 0] == pytest.approx(10.0)


def test_where_labels_cannot_move_the_output_does() -> None:
    log = run(pose(0, 0.0), pose(100, 0.0), labels(100, 20.0, -50, identity=-1))
    track = TruthTrack(log.truth, 500 * MS)
    said = Boxes.of_truth(log.truth[0].payload)  # type: ignore[arg-type]
    said = said.replaced(position=np.array([[20.5, 0.0, 0.8]]), velocity=np.array([[10.0, 0.0]]))
    found = sample(log, track, 0, Output(T + 100 * MS, SE3.identity(), said), CONFIG)
    assert found.time_ns == T + 50 * MS
    assert found.predictions.position[0, 0] == pytest.approx(20.0)
    assert found.truth.position[0, 0] == pytest.approx(20.0)


def test_a_sensor_is_scored_at_the_instant_at_which_it_saw_each_object() -> None:
    log = run(pose(0, 0.0), pose(100, 0.0), labels(0, 20.0, 0), labels(100, 30.0, 0))
    track = TruthTrack(log.truth, 500 * MS)
    seen = Boxes.of_truth(log.truth[1].payload).replaced(position=np.array([[24.0, 0.0, 0.8]]))  # type: ignore[arg-type]
    output = Output(T + 70 * MS, SE3.identity(), seen, np.array([T + 40 * MS]))
    found = sample(log, track, 1, output, CONFIG)
    assert found.truth.position[0, 0] == pytest.approx(24.0)
