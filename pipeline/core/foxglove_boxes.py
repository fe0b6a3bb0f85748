"""Boxes for Foxglove: tracks, labels and detections as entities with an arrow and a label."""

from __future__ import annotations

import math

import numpy as np
from foxglove import messages as fg

from calibration.se3 import SE3
from pipeline.core.messages import CLASSES, Detections, Scene
from pipeline.core.truth import TruthObjects

CLASS_RGB = (
    (0.10, 0.75, 0.95),  # car
    (0.95, 0.55, 0.10),  # truck
    (0.95, 0.80, 0.10),  # bus
    (0.80, 0.45, 0.20),  # trailer
    (0.75, 0.65, 0.15),  # construction vehicle
    (0.95, 0.25, 0.35),  # pedestrian
    (0.70, 0.35, 0.95),  # motorcycle
    (0.95, 0.40, 0.85),  # bicycle
    (0.95, 0.60, 0.45),  # traffic cone
    (0.60, 0.60, 0.60),  # barrier
)
MODALITY_RGB = {"camera": (0.98, 0.72, 0.15), "lidar": (0.20, 0.80, 0.45), "radar": (0.90, 0.30, 0.55)}
TRUTH_RGB = (1.0, 1.0, 1.0)
_MAX_SECONDS = (1 << 32) - 1  # Foxglove's timestamps hold 32 bits of seconds


def timestamp(time_ns: int) -> fg.Timestamp:
    seconds, rest = divmod(max(time_ns, 0), 1_000_000_000)
    return fg.Timestamp(min(seconds, _MAX_SECONDS), rest)


def update(entities: list[fg.SceneEntity], time: fg.Timestamp) -> fg.SceneUpdate:
    """A scene update that replaces everything this topic has drawn before."""
    clear = fg.SceneEntityDeletion(timestamp=time, type=fg.SceneEntityDeletionType.All)
    return fg.SceneUpdate(deletions=[clear], entities=entities)


def tracks(scene: Scene, time: fg.Timestamp) -> list[fg.SceneEntity]:
    best = scene.class_score.argmax(axis=1) if len(scene.track_id) else []
    entities = []
    for i, class_id in enumerate(best):
        weights = {s: float(w) for s, w in zip(scene.sensors, scene.weight[i], strict=True)}
        shares = " ".join(f"{s} {w:.0%}" for s, w in weights.items() if w >= 0.005) or "coasting"
        facts = {
            "class": CLASSES[class_id],
            "class_score": f"{scene.class_score[i, class_id]:.3f}",
            "existence": f"{scene.existence[i]:.3f}",
            "age": str(scene.age[i]),
            "coasted": str(scene.coasted[i]),
            **{f"weight/{s}": f"{w:.3f}" for s, w in weights.items()},
        }
        entities.append(
            _box(
                "odom",
                time,
                str(scene.track_id[i]),
                scene.track_position[i],
                scene.track_size[i],
                float(scene.track_yaw[i]),
                scene.track_velocity[i],
                CLASS_RGB[class_id],
                0.15 + 0.35 * float(scene.existence[i]),
                f"{CLASSES[class_id]} {scene.track_id[i]}  {shares}",
                facts,
            )
        )
    return entities


def labels(truth: TruthObjects, time: fg.Timestamp) -> list[fg.SceneEntity]:
    entities = []
    for i, class_id in enumerate(truth.class_id):
        name = CLASSES[class_id] if 0 <= class_id < len(CLASSES) else "other"
        facts = {"class": name, "lidar_points": str(truth.lidar_points[i]), "visibility": f"{truth.visibility[i]:.2f}"}
        identity = f"{i}" if truth.object_id[i] < 0 else str(truth.object_id[i])
        pose = (truth.position[i], truth.size[i], float(truth.yaw[i]), truth.velocity[i])
        entities.append(_box(truth.frame, time, identity, *pose, TRUTH_RGB, 0.15, f"truth {name} {identity}", facts))
    return entities


def detections(found: Detections, time: fg.Timestamp) -> list[fg.SceneEntity]:
    best = found.class_score.argmax(axis=1) if len(found) else []
    entities = []
    for i, class_id in enumerate(best):
        name = f"{found.sensor} {CLASSES[class_id]} {found.score[i]:.2f}"
        facts = {"class": CLASSES[class_id], "score": f"{found.score[i]:.3f}", "points": str(found.points[i])}
        pose = (found.position[i], found.size[i], float(found.yaw[i]), found.velocity[i])
        color = MODALITY_RGB[found.modality]
        entities.append(_box("ego", time, str(i), *pose, color, 0.1 + 0.4 * float(found.score[i]), name, facts))
    return entities


def _box(
    frame: str,
    time: fg.Timestamp,
    identity: str,
    position: np.ndarray,
    size: np.ndarray,
    yaw: float,
    velocity: np.ndarray,
    rgb: tuple[float, float, float],
    alpha: float,
    label: str,
    facts: dict[str, str],
) -> fg.SceneEntity:
    """A box with its label above it and an arrow as long as the way it goes in one second."""
    x, y, z = (float(v) if math.isfinite(v) else 0.0 for v in position)
    length, width, height = (float(v) if math.isfinite(v) else 0.5 for v in size)
    heading = yaw if math.isfinite(yaw) else 0.0
    color = fg.Color(r=rgb[0], g=rgb[1], b=rgb[2], a=min(max(alpha, 0.0), 1.0) if math.isfinite(alpha) else 0.1)
    solid = fg.Color(r=rgb[0], g=rgb[1], b=rgb[2], a=1.0)
    speed = math.hypot(*velocity)
    arrows = []
    if math.isfinite(speed) and speed > 0.2:
        course = math.atan2(velocity[1], velocity[0])
        arrows.append(
            fg.ArrowPrimitive(
                pose=pose_of(SE3.from_yaw(course, (x, y, z))),
                shaft_length=speed * 0.85,
                shaft_diameter=0.12,
                head_length=speed * 0.15,
                head_diameter=0.35,
                color=solid,
            )
        )
    above = pose_of(SE3.from_yaw(0.0, (x, y, z + height / 2 + 0.4)))
    return fg.SceneEntity(
        timestamp=time,
        frame_id=frame,
        id=identity,
        cubes=[
            fg.CubePrimitive(
                pose=pose_of(SE3.from_yaw(heading, (x, y, z))),
                size=fg.Vector3(x=length, y=width, z=height),
                color=color,
            )
        ],
        arrows=arrows,
        texts=[
            fg.TextPrimitive(pose=above, billboard=True, font_size=11.0, scale_invariant=True, color=solid, text=label)
        ],
        metadata=[fg.KeyValuePair(key=key, value=value) for key, value in facts.items()],
    )


def pose_of(a_SE3_b: SE3) -> fg.Pose:
    x, y, z = (float(v) for v in a_SE3_b.translation)
    return fg.Pose(position=fg.Vector3(x=x, y=y, z=z), orientation=quaternion(a_SE3_b))


def quaternion(a_SE3_b: SE3) -> fg.Quaternion:
    w, x, y, z = (float(v) for v in a_SE3_b.quaternion)
    return fg.Quaternion(x=x, y=y, z=z, w=w)


def transform(parent: str, child: str, parent_SE3_child: SE3, time: fg.Timestamp) -> fg.FrameTransform:
    x, y, z = (float(v) for v in parent_SE3_child.translation)
    return fg.FrameTransform(
        timestamp=time,
        parent_frame_id=parent,
        child_frame_id=child,
        translation=fg.Vector3(x=x, y=y, z=z),
        rotation=quaternion(parent_SE3_child),
    )
