"""What one sensor made of a labelled object at one moment: saw it, did not, could not, or was missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from calibration.camera import inside as on_image
from calibration.rig import CameraSensor
from pipeline.evaluate.boxes import Boxes, FloatArray
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.run_log import AlignedFrame, RunLog
from pipeline.evaluate.truth import TruthTrack

_SEEN_SHARE_OF_RANGE = (
    0.1  # a sensor saw it where a detection lies within 10 % of the range, at least the match threshold
)


class Sight(NamedTuple):
    """kind: ``saw``, ``silent`` (no detection near it), ``elsewhere`` (not on the camera's image) or ``missing``.

    score: of the best detection near it, 0 without one. reason: why the sensor was missing.
    """

    kind: str
    score: float = 0.0
    reason: str = ""


@dataclass(frozen=True, eq=False)
class SensorView:
    """One sensor during a gap, in frames: it saw the object, had no detection near it, could not see it (camera looks
    elsewhere), or was missing, by reason."""

    sensor: str
    saw: int
    silent: int
    elsewhere: int
    missing: dict[str, int]

    @staticmethod
    def of(sensor: str, sights: Iterable[Sight]) -> SensorView:
        count: Counter[str] = Counter()
        missing: Counter[str] = Counter()
        for sight in sights:
            count[sight.kind] += 1
            if sight.kind == "missing":
                missing[sight.reason] += 1
        return SensorView(sensor, count["saw"], count["silent"], count["elsewhere"], dict(missing))


class Witnesses:
    """Answers for every sensor of a run."""

    def __init__(self, run: RunLog, truth: TruthTrack, config: EvalConfig) -> None:
        self._run = run
        self._truth = truth
        self._config = config
        self._frames = {frame.index: frame for frame in run.frames}

    def sight(self, sensor: str, frame_index: int, object_id: int, place: FloatArray, range_m: float) -> Sight:
        """What ``sensor`` made of an object in a frame set (-1 = there was none).

        Args:
            place: (3,) of the object then, odom; its label at the sensor's own instant is taken where there is one.
        """
        frame = self._frames.get(frame_index)
        slot = frame.slots.get(sensor) if frame is not None else None
        if frame is None or slot is None or slot.missing:
            return Sight("missing", reason=slot.missing if slot is not None else "no frame set")
        labels, _ = self._truth.at(slot.time_ns)
        here = labels[labels.identity == object_id]
        place = here.position[0] if len(here) else place
        if not self._looks_at(sensor, frame, place):
            return Sight("elsewhere")
        boxes = frame.found.get(sensor, Boxes.empty())
        reach = max(self._config.match_threshold_m, _SEEN_SHARE_OF_RANGE * range_m)
        near = np.hypot(*(boxes.position - place)[:, :2].T) < reach
        return Sight("saw", float(boxes.existence[near].max())) if near.any() else Sight("silent")

    def _looks_at(self, sensor: str, frame: AlignedFrame, place: FloatArray) -> bool:
        """Whether a camera has the point on its image; for other sensors the rig names no field of view: always."""
        camera = self._run.rig[sensor]
        if not isinstance(camera, CameraSensor):
            return True
        camera_SE3_odom = (frame.ego @ camera.ego_SE3_sensor).inverse()
        pixels, valid = camera.intrinsics.project((camera_SE3_odom @ place)[None])
        return bool(valid[0] and on_image(pixels, camera.width, camera.height)[0])
