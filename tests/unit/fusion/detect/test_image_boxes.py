from __future__ import annotations

import numpy as np
import pytest

from fusion.detect.image_boxes import NO_BOXES, ImageBoxes, concatenated, from_coco, suppress
from fusion.detect.onnx_detectors import OnnxSettings, Tiled, decode_fastestdet, decode_yolox
from pipeline.core.messages import CLASSES, C

SETTINGS = OnnxSettings(min_score=0.3)
CAR = CLASSES.index("car")


def boxes(*edges: tuple[float, float, float, float], scores: tuple[float, ...]) -> ImageBoxes:
    class_score = np.zeros((len(edges), C), np.float32)
    class_score[:, CAR] = 1.0
    return ImageBoxes(np.float32(edges), np.float32(scores), class_score)


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    found = suppress(boxes((0, 0, 10, 10), (1, 1, 11, 11), (50, 50, 60, 60), scores=(0.5, 0.9, 0.4)), 0.5)
    assert found.score.tolist() == pytest.approx([0.9, 0.4])


def test_a_part_on_the_same_ground_goes_and_a_car_behind_stays() -> None:
    whole, part, behind = (100, 100, 300, 250), (250, 150, 305, 248), (150, 90, 290, 160)
    found = suppress(boxes(whole, part, behind, scores=(0.9, 0.5, 0.4)), 0.5)
    assert found.edges.tolist() == [list(whole), list(behind)]


def test_suppressing_nothing() -> None:
    assert len(suppress(NO_BOXES, 0.5).score) == 0
    assert len(concatenated([]).score) == 0


def test_coco_classes_that_are_not_ours_are_dropped() -> None:
    coco = np.zeros((2, 80), np.float32)
    coco[0, [2, 7]] = [0.8, 0.2]  # car, truck
    coco[1, 15] = 1.0  # cat
    found = from_coco(np.zeros((2, 4), np.float32), np.float32([0.5, 0.9]), coco)
    assert found.score.tolist() == [0.5]
    assert found.class_score[0, CAR] == pytest.approx(0.8)
    assert found.class_score[0, CLASSES.index("truck")] == pytest.approx(0.2)


def test_fastestdet_map_decodes_to_pixels() -> None:
    output = np.zeros((85, 22, 22), np.float32)
    output[3:5] = -20.0
    row, column = 11, 5
    output[0, row, column] = 0.9
    output[1:3, row, column] = np.arctanh([0.25, -0.5])
    share = np.array([0.2, 0.4])
    output[3:5, row, column] = np.log(share / (1 - share))
    output[5 + 2, row, column] = 0.6
    found = decode_fastestdet(output, 1920, 1080, SETTINGS)
    centre = np.array([(column + 0.25) / 22 * 1920, (row - 0.5) / 22 * 1080])
    half = share * [1920, 1080] / 2
    assert found.edges[0] == pytest.approx([*(centre - half), *(centre + half)], abs=0.1)
    assert found.score[0] == pytest.approx(0.9**0.6 * 0.6**0.4, rel=1e-5)
    assert found.class_score[0].argmax() == CAR


def test_yolox_rows_decode_to_pixels() -> None:
    width, height = 64, 32
    rows = [(y, x, s) for s in (8, 16, 32) for y in range(height // s) for x in range(width // s)]
    output = np.zeros((len(rows), 85), np.float32)
    k = rows.index((1, 2, 16))
    output[k, :5] = [0.5, 0.25, np.log(1.5), np.log(0.5), 0.8]
    output[k, 5] = 0.9
    found = decode_yolox(output, width, height, SETTINGS)
    assert found.edges.tolist() == [pytest.approx([40 - 12, 20 - 4, 40 + 12, 20 + 4])]
    assert found.score[0] == pytest.approx(0.72)
    assert found.class_score[0].argmax() == CLASSES.index("pedestrian")


def test_nothing_above_the_threshold_is_no_boxes() -> None:
    assert len(decode_fastestdet(np.zeros((85, 22, 22), np.float32), 100, 100, SETTINGS).score) == 0
    assert len(decode_yolox(np.zeros((10, 85), np.float32), 64, 32, SETTINGS).score) == 0


def blob(bgr: np.ndarray) -> ImageBoxes:
    """A detector of the brightest rectangle, blind to anything smaller than a twentieth of the image width."""
    rows, columns = np.nonzero(bgr[..., 0] > 128)
    if len(columns) == 0 or np.ptp(columns) + 1 < bgr.shape[1] / 20:
        return NO_BOXES
    return boxes((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), scores=(0.8,))


@pytest.mark.parametrize("left", [100, 430, 890, 1180])
def test_tiles_find_what_is_too_small_for_the_whole_image(left) -> None:
    image = np.zeros((700, 1280, 3), np.uint8)
    image[330:360, left : left + 40] = 255
    assert len(blob(image).score) == 0
    found = Tiled(blob, (0.3, 0.7), 1.0, 0.5)(image)
    assert found.edges.tolist() == [[left, 330, left + 40, 360]]


def test_an_object_wider_than_a_tile_is_left_to_the_whole_image() -> None:
    image = np.zeros((700, 1280, 3), np.uint8)
    image[320:400, 200:900] = 255
    found = Tiled(blob, (0.3, 0.7), 1.0, 0.5)(image)
    assert found.edges.tolist() == [[200, 320, 900, 400]]
