"""What each sensor contributed to each track, and whether the weights follow the sensors' actual errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from pipeline.core.messages import Scene
from pipeline.evaluate.boxes import FloatArray, IntArray, class_name
from pipeline.evaluate.gaps import History
from pipeline.evaluate.run_log import RunLog
from pipeline.evaluate.truth import TruthTrack


@dataclass(frozen=True, eq=False)
class TrackWeights:
    """One track over the T scenes that hold it.

    weight: (T, S) share of the last update's precision by sensor, rows zero while it coasts. existence: (T,). range_m:
    (T,) from the vehicle. sigma_m: (T,) 1-sigma of the horizontal position, root of the mean of both variances.
    frame_index: (T,) of the scenes.
    """

    track_id: int
    class_name: str
    time_ns: IntArray
    weight: FloatArray
    existence: FloatArray
    range_m: FloatArray
    sigma_m: FloatArray
    frame_index: IntArray


def track_weights(run: RunLog) -> tuple[tuple[str, ...], list[TrackWeights]]:
    """The sensors' names and all tracks, longest first."""
    scenes = [(m.stamp.time_ns, m.payload) for m in run.scenes if isinstance(m.payload, Scene)]
    sensors = tuple(dict.fromkeys(name for _, scene in scenes for name in scene.sensors))
    rows: dict[int, list[tuple[int, FloatArray, float, int, float, float, int]]] = {}
    for time_ns, scene in scenes:
        columns = [sensors.index(name) for name in scene.sensors]
        weight = np.zeros((len(scene.track_id), len(sensors)))
        weight[:, columns] = scene.weight
        classes = scene.class_score.argmax(axis=1) if len(scene.track_id) else np.zeros(0, int)
        away = np.hypot(*(scene.track_position[:, :2] - np.array(scene.position[:2])).T)
        sigma = np.sqrt(np.trace(scene.state_cov[:, :2, :2], axis1=1, axis2=2) / 2.0)
        for i, track_id in enumerate(scene.track_id.tolist()):
            place = float(away[i]), float(sigma[i]), scene.index
            row = (time_ns, weight[i], float(scene.existence[i]), int(classes[i]), *place)
            rows.setdefault(track_id, []).append(row)
    tracks = [
        TrackWeights(
            track_id,
            class_name(int(np.bincount([r[3] for r in seen]).argmax())),
            np.array([r[0] for r in seen], dtype=np.int64),
            np.stack([r[1] for r in seen]),
            np.array([r[2] for r in seen]),
            np.array([r[4] for r in seen]),
            np.array([r[5] for r in seen]),
            np.array([r[6] for r in seen], dtype=np.int64),
        )
        for track_id, seen in rows.items()
    ]
    return sensors, sorted(tracks, key=lambda t: (-len(t.time_ns), t.track_id))


def weights_and_errors(run: RunLog, truth: TruthTrack, histories: Sequence[History], reach_m: float) -> FloatArray:
    """(P, 2) a sensor's weight in a track, and minus the error, m, of that sensor's nearest detection.

    Of all tracked moments and sensors with a detection within ``reach_m`` of the label at the sensor's own instant.
    """
    sensors, tracks = track_weights(run)
    weight = {(t.track_id, int(time)): row for t in tracks for time, row in zip(t.time_ns, t.weight, strict=True)}
    tracked: dict[int, list[tuple[int, FloatArray]]] = {}  # scene index -> (object, weights of its track)
    for history in histories:
        for moment in history.moments:
            row = weight.get((moment.track_id, moment.time_ns))
            if row is not None and row.any():
                tracked.setdefault(moment.scene_index, []).append((history.object_id, row))
    pairs = []
    for frame in run.frames:
        for column, sensor in enumerate(sensors):
            found = frame.found.get(sensor)
            if frame.index not in tracked or found is None or not len(found):
                continue
            labels, _ = truth.at(frame.slots[sensor].time_ns)
            place = dict(zip(labels.identity.tolist(), labels.position, strict=True))
            for object_id, row in tracked[frame.index]:
                if object_id not in place:
                    continue
                error = float(np.hypot(*(found.position - place[object_id])[:, :2].T).min())
                if error < reach_m:
                    pairs.append((row[column], -error))
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def rank_correlation(pairs: FloatArray) -> float:
    """Spearman's rho of the columns of (P, 2): 1 where the better sensor always gets the higher weight. NaN with fewer
    than three pairs, or where one column does not vary."""
    if len(pairs) < 3 or np.ptp(pairs, axis=0).min() == 0:
        return float("nan")
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
