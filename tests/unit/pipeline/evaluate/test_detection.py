"""Hand-computed detection scores, ignore regions, regions, and truth between label frames."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.core.errors import BadInput
from pipeline.core.messages import CLASSES, Message, Stamp
from pipeline.core.truth import TruthObjects
from pipeline.evaluate.boxes import Boxes
from pipeline.evaluate.config import EvalConfig, Region, load_config
from pipeline.evaluate.detection import ERRORS, Sample, average_precision, contests, curve, score_detection
from pipeline.evaluate.truth import TruthTrack

CONFIGS = Path(__file__).parents[4] / "configs" / "eval"
NUSCENES = load_config(CONFIGS / "nuscenes.yaml")


def boxes(*xy: tuple[float, float], score: tuple[float, ...] = (), class_id: int = 0) -> Boxes:
    """Cars of 4 x 2 x 1.5 m, standing, heading along x."""
    n = len(xy)
    position = np.column_stack([np.array(xy, dtype=float).reshape(n, 2), np.zeros(n)])
    size = np.tile([4.0, 2.0, 1.5], (n, 1))
    classes = np.full(n, class_id)
    scores = np.array(score or np.ones(n))
    return Boxes(position, size, np.zeros(n), np.zeros((n, 2)), classes, np.ones(n), scores, np.arange(n))


def sample(truth: Boxes, predictions: Boxes, ignore: Boxes | None = None) -> Sample:
    return Sample(0, truth, ignore or Boxes.empty(), Boxes.empty(), predictions)


def test_perfect_predictions_give_ap_1_and_no_error() -> None:
    truth = boxes((5, 0), (20, 3), (-8, -8))
    result = score_detection([sample(truth, truth), sample(truth, truth)], NUSCENES)
    assert result.mean_ap == pytest.approx(1.0)
    assert set(result.classes) == {"car"}
    assert all(result.mean_error(name) == pytest.approx(0.0, abs=1e-12) for name in ERRORS)
    assert result.nds_without_attributes == pytest.approx(1.0)


def test_half_found_without_a_false_one() -> None:
    """Precision 1 up to recall 0.5, then 0: 40 of the 90 recall bins right of 0.1 stay (0.11 .. 0.50)."""
    found = curve(contests([sample(boxes((0, 0), (20, 0)), boxes((0.3, 0), score=(0.9,)))], 0), 0.5)
    assert (found.hits, found.false, found.truths) == (1, 0, 2)
    assert average_precision(found) == pytest.approx(40 / 90)


def test_a_false_one_of_higher_score_halves_the_precision() -> None:
    """One object: recall 1 is reached at precision 1/2, the devkit interpolates from 0 at recall 0."""
    found = curve(contests([sample(boxes((0, 0)), boxes((9, 9), (0, 0), score=(0.9, 0.5)))], 0), 0.5)
    # precision rises linearly from 0 (recall 0) to 0.5 (recall 1); less 0.1, clipped, over recalls 0.11 .. 1.00
    by_hand = np.clip(0.5 * np.arange(11, 101) / 100 - 0.1, 0, None).mean() / 0.9
    assert average_precision(found) == pytest.approx(by_hand)


def test_the_nearest_free_truth_is_taken_once() -> None:
    found = curve(contests([sample(boxes((0, 0)), boxes((0.1, 0), (0.2, 0), score=(0.5, 0.9)))], 0), 1.0)
    assert (found.hits, found.false) == (1, 1)
    assert found.errors["translation"][50] == pytest.approx(0.2)  # the one of higher score


def test_the_threshold_itself_is_a_miss() -> None:
    assert curve(contests([sample(boxes((0, 0)), boxes((2.0, 0)))], 0), 2.0).hits == 0


def test_an_unmatched_box_in_an_ignore_region_is_left_out() -> None:
    truth, ignore = boxes((0, 0)), boxes((30, 0), class_id=-1)
    found = boxes((0, 0), (31.5, 0.5), (33, 0), score=(0.5, 0.9, 0.8))  # the last lies 3 m from the centre: outside
    assert (
        curve(contests([sample(truth, found)], 0), 1.0).false,
        curve(contests([sample(truth, found, ignore)], 0), 1.0).false,
    ) == (2, 1)


def test_a_hit_in_an_ignore_region_is_a_hit() -> None:
    truth, ignore = boxes((0, 0)), boxes((1, 0), class_id=-1)
    assert curve(contests([sample(truth, truth, ignore)], 0), 1.0).hits == 1


def test_classes_without_truth_are_not_in_the_mean() -> None:
    found = Boxes.join([boxes((0, 0)), boxes((5, 5), class_id=CLASSES.index("bus"))])
    assert score_detection([sample(boxes((0, 0)), found)], NUSCENES).mean_ap == pytest.approx(1.0)


def test_a_class_with_too_few_labels_is_shown_but_not_in_the_mean() -> None:
    truth = Boxes.join([boxes((0, 0), (9, 9)), boxes((5, 5), class_id=CLASSES.index("bus"))])
    config = msgspec.structs.replace(NUSCENES, min_class_labels=2)
    result = score_detection([sample(truth, boxes((0, 0), (9, 9)))], config)
    assert set(result.classes) == {"car", "bus"}
    assert result.counted == ("car",)
    assert result.mean_ap == pytest.approx(1.0)


def test_no_truth_at_all_gives_nan_not_zero() -> None:
    assert np.isnan(score_detection([sample(Boxes.empty(), boxes((0, 0)))], NUSCENES).mean_ap)


@pytest.mark.parametrize("name", ["nuscenes", "pandaset", "astyx"])
def test_shipped_configurations_load(name: str) -> None:
    assert load_config(CONFIGS / f"{name}.yaml").name == name


def test_a_wrong_configuration_names_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("name: x\nclass_range_m: {lorry: 50}\n")
    with pytest.raises(BadInput, match=r"wrong\.yaml.*lorry"):
        load_config(path)


@pytest.mark.parametrize(
    ("region", "xy", "inside"),
    [
        (Region(), (150.0, 0.0), True),
        (Region(azimuth_deg=(-30, 30)), (10.0, 5.0), True),
        (Region(azimuth_deg=(-30, 30)), (10.0, 6.0), False),
        (Region(azimuth_deg=(150, 210)), (-10.0, -1.0), True),  # across the seam at 180 degrees
        (Region(max_range_m=50), (50.0, 0.0), False),
        (Region(min_range_m=2), (1.0, 0.0), False),
    ],
)
def test_region(region: Region, xy: tuple[float, float], inside: bool) -> None:
    assert region.contains([xy]).tolist() == [inside]


def truth_message(time_ns: int, ids: list[int], x: list[float], yaw: list[float], speed: float) -> Message:
    k = len(ids)
    payload = TruthObjects(
        object_id=np.array(ids, "<i8"),
        class_id=np.zeros(k, "<i4"),
        position=np.array([[v, 0, 0] for v in x], "<f8").reshape(k, 3),
        size=np.ones((k, 3), "<f4"),
        yaw=np.array(yaw, "<f8"),
        velocity=np.tile(np.array([speed, 0], "<f4"), (k, 1)),
        lidar_points=np.full(k, 9, "<i4"),
        visibility=np.ones(k, "<f4"),
    )
    return Message("truth/objects", Stamp(sensor_ns=time_ns, arrival_ns=time_ns, time_ns=time_ns, sequence=0), payload)


def test_truth_between_frames() -> None:
    """Same identity: on the line, heading over the seam of pi; without: at its velocity; unknown velocity: stays."""
    ms = 1_000_000
    first = truth_message(0, [7, -1], [0.0, 50.0], [3.0, 0.0], speed=10.0)
    second = truth_message(100 * ms, [7, -1], [2.0, 60.0], [-3.0, 0.0], speed=10.0)
    truth = TruthTrack([second, first], limit_ns=200 * ms)
    boxes_then, points = truth.at(25 * ms)
    np.testing.assert_allclose(boxes_then.position[:, 0], [0.5, 50.25])
    assert boxes_then.yaw[0] == pytest.approx(3.0 + 0.25 * (2 * np.pi - 6.0))
    assert points.tolist() == [9, 9]
    assert truth.at(0)[0].position[0, 0] == 0.0
    assert truth.has_identities
    bridged = TruthTrack([first, second], limit_ns=50 * ms)  # the hole is wider than the limit
    assert bridged.at(25 * ms)[0].position[0, 0] == pytest.approx(0.25)
    still = TruthTrack([truth_message(0, [-1], [5.0], [0.0], speed=float("nan"))], limit_ns=ms)
    assert still.at(99 * ms)[0].position[0, 0] == 5.0
    assert not still.has_identities


def test_an_object_labelled_twice_counts_once() -> None:
    truth = TruthTrack([truth_message(0, [7, 7, -1, -1], [1.0, 1.1, 2.0, 3.0], [0.0] * 4, 0.0)], limit_ns=1)
    assert truth.at(0)[0].position[:, 0].tolist() == [1.0, 2.0, 3.0]


def test_config_refuses_a_match_threshold_that_is_not_scored() -> None:
    with pytest.raises(ValueError, match="match_threshold_m"):
        EvalConfig(name="x", class_range_m={"car": 50.0}, match_threshold_m=3.0)
