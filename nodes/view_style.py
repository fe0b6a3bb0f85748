"""What the viewer shows of tracks and labels, and in which colours."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from nodes.view_boxes import Boxes
from pipeline.core.foxglove_boxes import CLASS_RGB, MODALITY_RGB
from pipeline.core.messages import CLASSES, Scene
from pipeline.core.truth import TruthObjects

MODALITY_COLORS = {name: tuple(int(255 * v) for v in rgb) for name, rgb in MODALITY_RGB.items()}
SHOWN = 0.3  # existence below which a track is not drawn
CONFIRMED = 0.5  # and below which it has no label and is not drawn into images
_CLASS_COLORS = (np.array(CLASS_RGB) * 255).astype(np.uint8)
_OTHER = (150, 150, 150)
_TRUTH = (240, 240, 240)


def sensor_color(rig: Rig, name: str) -> tuple[int, int, int]:
    """The colour of the sensor's modality, a different shade for each sensor of one kind."""
    kin = [s.name for s in rig.sensors if s.modality == rig[name].modality]
    hue, light, saturation = colorsys.rgb_to_hls(*MODALITY_RGB[rig[name].modality])
    place = kin.index(name) - (len(kin) - 1) / 2
    r, g, b = colorsys.hls_to_rgb((hue + 0.045 * place) % 1.0, min(max(light + 0.09 * place, 0.25), 0.85), saturation)
    return int(255 * r), int(255 * g), int(255 * b)


def tracks_of(scene: Scene) -> tuple[Boxes, npt.NDArray[np.intp]]:
    """The tracks to draw, and their indices in the scene. Faded while they coast or are not confirmed."""
    shown = np.flatnonzero(scene.existence >= SHOWN)
    classes = scene.class_score[shown].argmax(axis=1)
    alpha = np.where(scene.coasted[shown] > 0, 90, np.where(scene.existence[shown] < CONFIRMED, 120, 255))
    labels = [
        f"{CLASSES[c]} {scene.track_id[i]}" if scene.existence[i] >= CONFIRMED else ""
        for i, c in zip(shown, classes, strict=True)
    ]
    boxes = Boxes(
        scene.track_position[shown],
        scene.track_size[shown],
        scene.track_yaw[shown],
        np.column_stack([scene.track_velocity[shown], np.zeros(len(shown))]),
        np.column_stack([_CLASS_COLORS[classes], alpha]).astype(np.uint8),
        labels,
    )
    return boxes, shown


def truth_of(truth: TruthObjects) -> Boxes:
    """Labels, white; what belongs to no class grey."""
    known = (truth.class_id >= 0) & (truth.class_id < len(CLASSES))
    names = [CLASSES[c] if k else "other" for c, k in zip(truth.class_id, known, strict=True)]
    return Boxes(
        truth.position,
        truth.size,
        truth.yaw,
        np.column_stack([truth.velocity, np.zeros(len(names))]),
        np.where(known[:, None], np.array(_TRUTH, np.uint8), np.array(_OTHER, np.uint8)),
        names,
    )
