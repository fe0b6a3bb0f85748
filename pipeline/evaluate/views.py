"""Raw sensor data back beside what was made of it: one `FrameView` per frame set, streamed from the recording."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.core.messages import CameraImage, Message, PointCloud, Scene
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.boxes import BoolArray, Boxes
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.pairing import inside
from pipeline.evaluate.run_log import AlignedFrame, RunLog
from pipeline.evaluate.truth import TruthTrack

Image = npt.NDArray[np.uint8]

_REDUCED = ((4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
_WAIT_FOR = 8  # frame sets held back for data that may still come


@dataclass(frozen=True, eq=False)
class FrameView:
    """One frame set with all that can be drawn of it; boxes in odom at the reference instant.

    covariance: (M, 2, 2) of the tracks' ground position, m2. scored: (K,) which labels are in the region. images: by
    camera, (H, W, 3) bgr, where it was taken. clouds: by LiDAR, (N, 3) float32, ego frame at the reference instant.
    """

    frame: AlignedFrame
    tracks: Boxes
    covariance: npt.NDArray[np.float64]
    labels: Boxes
    scored: BoolArray
    images: dict[str, Image] = field(default_factory=dict)
    clouds: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


def frame_views(
    run: RunLog, path: Path, truth: TruthTrack, config: EvalConfig, wanted: Collection[int], max_width: int
) -> Iterator[FrameView]:
    """Views of the wanted frame sets, by index and in order; images are made no wider than ``max_width``.

    Sensor data that was not recorded, or cannot be decoded, is left out of its view.
    """
    scenes = {m.payload.index: m.payload for m in run.scenes if isinstance(m.payload, Scene)}
    views = {f.index: _view(f, scenes.get(f.index), truth, config) for f in run.frames if f.index in wanted}
    with RunRecording(path) as recording:
        topics = [t for t in recording.topics if t.startswith(("camera/", "lidar/"))]
        users: dict[tuple[str, int, int], list[int]] = {}
        for index, view in views.items():
            for sensor, slot in view.frame.slots.items():
                if f"{slot.modality}/{sensor}" in topics and not slot.missing:
                    users.setdefault((sensor, slot.epoch, slot.sequence), []).append(index)
        left = Counter(index for indices in users.values() for index in indices)
        place = {index: number for number, index in enumerate(views)}
        pending = deque(views)
        for message in recording.messages(topics) if topics else ():
            for index in users.get((message.source, message.stamp.epoch, message.stamp.sequence), ()):
                if index not in views:
                    continue
                _add(views[index], run, message, max_width)
                left[index] -= 1
                while pending and (left[pending[0]] <= 0 or place[index] - place[pending[0]] >= _WAIT_FOR):
                    yield views.pop(pending.popleft())
    for index in pending:
        yield views[index]


def _view(frame: AlignedFrame, scene: Scene | None, truth: TruthTrack, config: EvalConfig) -> FrameView:
    labels = truth.at(frame.time_ns)[0] if len(truth) else Boxes.empty()
    if len(truth) and abs(int(truth.times_ns[truth.nearest(frame.time_ns)]) - frame.time_ns) > 1e6 * (
        config.interpolation_limit_ms
    ):
        labels = Boxes.empty()
    return FrameView(
        frame,
        Boxes.empty() if scene is None else Boxes.of_scene(scene),
        np.zeros((0, 2, 2)) if scene is None else scene.state_cov[:, :2, :2].astype(np.float64),
        labels,
        inside(labels, frame.ego, config) & np.isin(labels.class_id, config.class_ids),
    )


def _add(view: FrameView, run: RunLog, message: Message, max_width: int) -> None:
    payload, sensor = message.payload, message.source
    if isinstance(payload, CameraImage):
        image = decode_image(payload, max_width)
        if image is not None:
            view.images[sensor] = image
    elif isinstance(payload, PointCloud):
        # Good enough to look at: the sweep as a rigid whole at its own instant, not deskewed point by point.
        odom_SE3_lidar = run.ego_at(message.stamp.time_ns) @ run.rig[sensor].ego_SE3_sensor
        ego_SE3_lidar = view.frame.ego.inverse() @ odom_SE3_lidar
        finite = np.isfinite(payload.xyz).all(axis=1)
        view.clouds[sensor] = ego_SE3_lidar @ payload.xyz[finite]


def decode_image(image: CameraImage, max_width: int) -> Image | None:
    """(h, w, 3) bgr, at most ``max_width`` wide; None where the bytes are no such image."""
    if image.encoding == "bgr8":
        if image.data.size != image.height * image.width * 3:
            return None
        pixels = image.data.reshape(image.height, image.width, 3)
    else:
        # A JPEG gives half or a quarter of its size at a fraction of the work.
        shrink, flag = next((r for r in _REDUCED if image.width >= r[0] * max_width), (1, cv2.IMREAD_COLOR))
        decoded = cv2.imdecode(np.ascontiguousarray(image.data), flag)
        if decoded is None or decoded.shape[:2] != (-(-image.height // shrink), -(-image.width // shrink)):
            return None
        pixels = np.asarray(decoded, dtype=np.uint8)
    if pixels.shape[1] > max_width:
        size = (max_width, max(1, round(image.height * max_width / image.width)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return pixels
