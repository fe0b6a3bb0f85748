"""A 2D detector for the generated drive only: it finds patches of the saturated paint that its actors wear.

It knows nothing of the real world. It is there so that the demo's camera path (boxes, lifting, fusion) runs without a
network or weights, on images that no network was trained on.
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np

from fusion.detect.image_boxes import NO_BOXES, Image, ImageBoxes
from pipeline.core.messages import CLASSES, C
from pipeline.core.settings import Settings

_PAINT = {"car": 0.0, "truck": 211.0, "bicycle": 60.0, "pedestrian": 120.0}


class ColourBlobsSettings(Settings, frozen=True, tag_field="detector", tag="colour_blobs"):
    """hues: class -> hue in degrees that its actors are painted with. hue_tolerance: degrees.

    min_saturation: 0..1, below is no paint. min_area_px: smaller patches are noise. score: given to every patch.
    """

    hues: dict[str, float] = msgspec.field(default_factory=_PAINT.copy)
    hue_tolerance: float = 20.0
    min_saturation: float = 0.55
    min_area_px: int = 40
    score: float = 0.8


class ColourBlobs:
    """Connected patches of one paint, as boxes. Two actors of one colour that overlap in the image are one patch."""

    def __init__(self, settings: ColourBlobsSettings) -> None:
        unknown = set(settings.hues) - set(CLASSES)
        if unknown:
            raise ValueError(f"hues: expected classes, got {sorted(unknown)}")
        self._settings = settings

    def __call__(self, bgr: Image) -> ImageBoxes:
        settings = self._settings
        hue, saturation, _ = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV_FULL))  # hue 0..255 is a full turn
        painted = saturation > 255 * settings.min_saturation
        edges, classes = [], []
        for name, degrees in settings.hues.items():
            off = np.abs((hue.astype(np.int16) - round(degrees / 360 * 256) + 128) % 256 - 128)
            mask = painted & (off < settings.hue_tolerance / 360 * 256)
            count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
            for left, top, width, height, area in stats[1:count]:
                if area >= settings.min_area_px:
                    edges.append((left, top, left + width, top + height))
                    classes.append(CLASSES.index(name))
        if not edges:
            return NO_BOXES
        return ImageBoxes(
            np.array(edges, np.float32),
            np.full(len(edges), settings.score, np.float32),
            np.eye(C, dtype=np.float32)[classes] * np.float32(0.95),
        )
