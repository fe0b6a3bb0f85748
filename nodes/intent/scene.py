"""From words to what is seen: typed questions over the tracks of the newest scene.

Answers are a track, several between which to ask, nothing, or that one cannot tell and why. A scene that is stale, or
of which a sensor is blind, never gives "nothing".
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from pipeline.core.messages import CLASSES, Scene

VEHICLES = ("car", "truck", "bus", "trailer", "construction_vehicle", "motorcycle")


class SceneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """fresh_s: older scenes are stale. exists: least existence spoken of. healthy: least health of a sensor that is
    relied on. margin: two candidates of which the nearer is not nearer by this factor are asked about."""

    fresh_s: float = 0.5
    exists: float = 0.5
    healthy: float = 0.5
    margin: float = 0.75
    reach_m: float = 100.0


class Seen(NamedTuple):
    """One track: distance from the ego's rear axle, m, 1-sigma along the line of sight; bearing, rad, left positive;
    speed over ground, m/s; forward and left, m, ego frame; unseen_s: since it was last measured, at 10 Hz."""

    track_id: int
    kind: str
    distance: float
    sigma: float
    bearing: float
    speed: float
    forward: float
    left: float
    unseen: int

    @property
    def side(self) -> str:
        """One of four quarters: ahead, behind, left, right."""
        if abs(self.left) <= abs(self.forward) * 0.6:
            return "ahead" if self.forward > 0 else "behind"
        return "left" if self.left > 0 else "right"


class Found(NamedTuple):
    seen: Seen
    age_s: float


class Which(NamedTuple):
    """Candidates within the margin, nearest first."""

    candidates: tuple[Seen, ...]


class Nothing(NamedTuple):
    age_s: float


class CannotTell(NamedTuple):
    """reason: `no_scene`, `stale`, or `sensor:NAME:FAULT`."""

    reason: str


Answer: TypeAlias = Found | Which | Nothing | CannotTell


class View:
    """What is seen at ``now_ns``, vehicle time. scene: the newest, of instant ``time_ns``; None: none has come."""

    def __init__(self, scene: Scene | None, time_ns: int, now_ns: int, settings: SceneSettings | None = None) -> None:
        self._settings = settings or SceneSettings()
        self.scene = scene
        self.age_s = (now_ns - time_ns) * 1e-9
        self.seen = self._tracks(scene) if scene is not None else []

    @property
    def doubt(self) -> str:
        """Why not to rely on it; empty where one may."""
        if self.scene is None:
            return "no_scene"
        if not 0 <= self.age_s <= self._settings.fresh_s:
            return "stale"
        for name, health, fault in zip(
            self.scene.sensors, self.scene.sensor_health, self.scene.sensor_fault, strict=False
        ):
            if health < self._settings.healthy:
                return f"sensor:{name}:{fault}"
        if self.scene.missing:
            sensor, _, reason = self.scene.missing[0].partition(":")
            return f"sensor:{sensor}:{reason.strip()}"
        return ""

    def sensors(self) -> dict[str, str]:
        """Sensor -> what ails it, empty for nothing."""
        if self.scene is None:
            return {}
        ails = dict.fromkeys(self.scene.sensors, "")
        for name, health, fault in zip(
            self.scene.sensors, self.scene.sensor_health, self.scene.sensor_fault, strict=False
        ):
            ails[name] = (fault or "degraded") if health < self._settings.healthy else ""
        return ails | {m.partition(":")[0]: m.partition(":")[2].strip() for m in self.scene.missing}

    def ask(self, kind: str | None = None, direction: str | None = None) -> Answer:
        """The one object of that kind there. kind: a class, or "vehicle"; None = whatever it is."""
        if self.doubt in ("no_scene", "stale"):
            return CannotTell(self.doubt)
        found = self.all_of(kind, direction)
        if not found:
            return CannotTell(self.doubt) if self.doubt else Nothing(self.age_s)
        found = _distinct(found)
        if direction in ("ahead", "behind"):  # who drives in our lane is meant before who stands beside the road
            in_lane = [s for s in found if abs(s.left) < 2.0]
            found = in_lane or found
        if len(found) > 1 and found[0].distance > self._settings.margin * found[1].distance and not self._in_row(found):
            near = tuple(s for s in found if found[0].distance > self._settings.margin * s.distance)
            return Which(near[:3])
        return Found(found[0], self.age_s)

    def all_of(self, kind: str | None, direction: str | None) -> list[Seen]:
        """All of that kind there, nearest first."""
        kinds = VEHICLES if kind == "vehicle" else (kind,) if kind else CLASSES
        return [s for s in self.seen if s.kind in kinds and direction in (None, s.side)]

    @staticmethod
    def _in_row(found: list[Seen]) -> bool:
        """One behind the other in our own lane: the nearer is meant."""
        return all(abs(s.left) < 2.0 for s in found) and found[0].side == found[1].side

    def _tracks(self, scene: Scene) -> list[Seen]:
        ego_SE3_odom = scene.odom_SE3_ego.inverse()
        out = []
        for i in np.flatnonzero(scene.existence >= self._settings.exists):
            x, y, _ = ego_SE3_odom @ scene.track_position[i]
            distance = math.hypot(x, y)
            if distance > self._settings.reach_m:
                continue
            sight = scene.odom_SE3_ego.rotation[:2, :2] @ np.array([x, y]) / max(distance, 1e-6)
            out.append(
                Seen(
                    int(scene.track_id[i]),
                    CLASSES[int(np.argmax(scene.class_score[i]))],
                    distance,
                    float(np.sqrt(max(sight @ scene.state_cov[i, :2, :2] @ sight, 0.0))),
                    math.atan2(y, x),
                    float(np.hypot(*scene.track_velocity[i])),
                    float(x),
                    float(y),
                    int(scene.coasted[i]),
                )
            )
        return sorted(out, key=lambda s: s.distance)


def _distinct(found: list[Seen]) -> list[Seen]:
    """Without those that lie within another: one object that two tracks hold is not asked about as if it were two."""
    kept: list[Seen] = []
    for one in found:
        reach = 2.0 if one.kind in VEHICLES else 0.6
        if all(math.hypot(one.forward - o.forward, one.left - o.left) > reach for o in kept):
            kept.append(one)
    return kept
