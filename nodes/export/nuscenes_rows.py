"""Rows of nuScenes' tables that need some thought: annotations, their attributes and categories."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.se3 import SE3
from nodes.sources.nuscenes import CLASS_OF_CATEGORY
from pipeline.core.messages import CLASSES
from pipeline.core.truth import TruthObjects

Row: TypeAlias = dict[str, Any]

_CATEGORY = {name: category for category, name in reversed(CLASS_OF_CATEGORY.items())}
_OUTSIDE = "static_object.bicycle_rack"  # a label of none of our classes: one that the benchmark ignores too
_ATTRIBUTES = (
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
)
_VISIBILITIES = (0.4, 0.6, 0.8, 1.01)  # upper ends of the four levels
_MOVES_MPS = 0.3


def token(*parts: object) -> str:
    """32 hex digits that name a row; the same for the same parts."""
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:32]


def fixed_tables() -> dict[str, list[Row]]:
    """Tables whose rows do not depend on the drive."""
    categories = (*CLASS_OF_CATEGORY, _OUTSIDE)
    return {
        "category": [{"token": token("category", c), "name": c, "description": ""} for c in categories],
        "attribute": [{"token": token("attribute", a), "name": a, "description": ""} for a in _ATTRIBUTES],
        "visibility": [
            {"token": str(i + 1), "level": f"v{low}-{high}", "description": f"visible share {low} to {high} %"}
            for i, (low, high) in enumerate(((0, 40), (40, 60), (60, 80), (80, 100)))
        ],
    }


class Annotations:
    """Rows of `sample_annotation` and `instance`, gathered key frame by key frame."""

    def __init__(self, scene: str) -> None:
        self._scene = scene
        self._of_instance: dict[int, list[Row]] = defaultdict(list)
        self._class_of: dict[int, int] = {}
        self._anonymous = 0

    def add(
        self,
        sample: str,
        truth: TruthObjects,
        lidar_points: npt.NDArray[np.int32],
        radar_points: npt.NDArray[np.int32],
    ) -> None:
        """The objects of one key frame, with the (K,) returns of all LiDARs and radars in their boxes."""
        for i, number in enumerate(truth.object_id.tolist()):
            if number < 0:  # no identity: an instance that lasts for one frame
                self._anonymous += 1
                number = -self._anonymous
            self._class_of[number] = int(truth.class_id[i])
            length, width, height = truth.size[i].tolist()
            row = {
                "token": token(self._scene, "annotation", number, sample),
                "sample_token": sample,
                "instance_token": token(self._scene, "instance", number),
                "visibility_token": _visibility(float(truth.visibility[i])),
                "attribute_tokens": _attributes(int(truth.class_id[i]), truth.velocity[i]),
                "translation": truth.position[i].tolist(),
                "size": [width, length, height],
                "rotation": SE3.from_yaw(float(truth.yaw[i])).quaternion.tolist(),
                "prev": "",
                "next": "",
                "num_lidar_pts": int(lidar_points[i]),
                "num_radar_pts": int(radar_points[i]),
            }
            self._of_instance[number].append(row)

    def tables(self) -> dict[str, list[Row]]:
        instances, annotations = [], []
        for number, rows in sorted(self._of_instance.items()):
            chain(rows)
            annotations += rows
            class_id = self._class_of[number]
            category = _CATEGORY[CLASSES[class_id]] if class_id >= 0 else _OUTSIDE
            instances.append(
                {
                    "token": rows[0]["instance_token"],
                    "category_token": token("category", category),
                    "nbr_annotations": len(rows),
                    "first_annotation_token": rows[0]["token"],
                    "last_annotation_token": rows[-1]["token"],
                }
            )
        return {"instance": instances, "sample_annotation": annotations}


def chain(rows: Sequence[Row]) -> None:
    """Tell each row the tokens of the one before and the one after it."""
    for before, after in itertools.pairwise(rows):
        before["next"], after["prev"] = after["token"], before["token"]


def _visibility(share: float) -> str:
    """Token of the level; what is not known counts as fully visible."""
    return str(1 + int(np.searchsorted(_VISIBILITIES, share, side="right"))) if np.isfinite(share) else "4"


def _attributes(class_id: int, velocity: npt.NDArray[np.float32]) -> list[str]:
    """The one attribute that the benchmark expects of the class; none where it has none, or the speed is unknown."""
    name = CLASSES[class_id] if class_id >= 0 else ""
    speed = float(np.hypot(*velocity))
    if name in ("bicycle", "motorcycle"):
        attribute = "cycle.with_rider"
    elif not np.isfinite(speed) or name in ("", "traffic_cone", "barrier"):
        return []
    elif name == "pedestrian":
        attribute = "pedestrian.moving" if speed > _MOVES_MPS else "pedestrian.standing"
    else:
        attribute = "vehicle.moving" if speed > _MOVES_MPS else "vehicle.parked"
    return [token("attribute", attribute)]
