"""Spoken warnings of collisions, from the tracks alone: no language understanding is asked first.

A warning begins under its threshold of time to collision and ends only well above it (hysteresis); the same object is
not warned of again within a while unless it got worse (rate limit); an urgent warning cuts off other speech.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from nodes.intent.scene import SceneSettings, Seen, View
from nodes.intent.words import SIDE, kind, side
from pipeline.core.messages import CLASSES, Scene

_FRONT_M = 3.7  # from the rear axle to the bumper


class WarningSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """urgent_s, caution_s: time to collision under which to warn. release: times the threshold to end it. again_s:
    before the same object at the same level. quiet_s: between two cautions. miss_m: passes by at more than that.
    settled: frame sets that a track must have lived, since a new one's velocity is a guess."""

    urgent_s: float = 1.6
    caution_s: float = 3.0
    release: float = 1.5
    again_s: float = 5.0
    quiet_s: float = 3.0
    miss_m: float = 1.5
    settled: int = 5


class Warned(NamedTuple):
    """level: 2 urgent, cuts off other speech; 1 caution, waits for its end. seconds: to collision."""

    level: int
    track_id: int
    seconds: float
    english: str
    chinese: str


class Warnings:
    """Give it each scene in order; it gives back what to say now. muted: urgent warnings are spoken all the same."""

    def __init__(self, settings: WarningSettings | None = None) -> None:
        self._settings = settings or WarningSettings()
        self._before: tuple[int, np.ndarray] | None = None
        self._active: dict[int, int] = {}  # track -> level that holds
        self._said: dict[int, tuple[int, int]] = {}  # track -> level and when, of late
        self._caution_ns = -(1 << 62)
        self.muted = False

    def step(self, scene: Scene, time_ns: int) -> Warned | None:
        """The most urgent warning to speak at this scene, vehicle time; None: there is nothing new to say.

        The ego velocity is taken from two scenes; the first one, and one after a jump in time, warn of nothing."""
        here, before = np.array(scene.position[:2]), self._before
        self._before = (time_ns, here)
        if before is None or not 0 < time_ns - before[0] < 1_000_000_000:
            return None
        ego_velocity = (here - before[1]) / ((time_ns - before[0]) * 1e-9)
        seen = {one.track_id: one for one in View(scene, time_ns, time_ns, SceneSettings(reach_m=150.0)).seen}
        seconds = time_to_collision(scene, ego_velocity, self._settings.miss_m)
        settled = scene.age >= self._settings.settled
        risks = [(seconds[i], seen[n]) for i, n in enumerate(scene.track_id.tolist()) if n in seen and settled[i]]
        levels = {one.track_id: self._level(one, after) for after, one in risks}
        self._active = {track: level for track, level in levels.items() if level}
        self._said = {track: said for track, said in self._said.items() if self._is_recent(said[1], time_ns)}
        for after, one in sorted(risks, key=lambda risk: risk[0]):
            level = self._active.get(one.track_id, 0)
            if level and self._may_speak(one.track_id, level, time_ns):
                self._said[one.track_id] = (level, time_ns)
                self._caution_ns = time_ns
                return _worded(level, one, after)
        return None

    def _level(self, one: Seen, seconds: float) -> int:
        s, held = self._settings, self._active.get(one.track_id, 0)
        if one.side != "behind" and seconds < s.urgent_s * (s.release if held == 2 else 1.0):  # braking would not help
            return 2
        return 1 if seconds < s.caution_s * (s.release if held else 1.0) else 0

    def _is_recent(self, said_ns: int, now_ns: int) -> bool:
        return now_ns - said_ns < self._settings.again_s * 1e9

    def _may_speak(self, track: int, level: int, now_ns: int) -> bool:
        if level <= self._said.get(track, (0, 0))[0]:
            return False
        return level == 2 or not (self.muted or now_ns - self._caution_ns < self._settings.quiet_s * 1e9)


def time_to_collision(scene: Scene, ego_velocity: np.ndarray, miss_m: float) -> np.ndarray:
    """Seconds until each track's box reaches the ego's front or flank, inf where it passes by.

    Both keep their velocities; the ego is a point at its rear axle, the track a disc of half its length that must come
    within ``miss_m`` of it. A first estimate until hazards come from the network.

    Args:
        scene: M tracks, odom frame. ego_velocity: (2,) m/s, odom frame. miss_m: lateral clearance that is none.

    Returns:
        (M,) float64, seconds.
    """
    apart = scene.track_position[:, :2] - np.array(scene.position[:2])
    closing = scene.track_velocity - ego_velocity
    speed2 = (closing**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest_s = np.where(speed2 > 0.25, -(apart * closing).sum(axis=1) / speed2, np.inf)
        miss = np.linalg.norm(apart + closing * np.where(np.isfinite(nearest_s), nearest_s, 0.0)[:, None], axis=1)
        gap_s = nearest_s - (scene.track_size[:, 0] / 2 + _FRONT_M) / np.sqrt(speed2)
    return np.where((nearest_s > 0) & np.isfinite(nearest_s) & (miss < miss_m), np.maximum(gap_s, 0.0), np.inf)


def sentences() -> list[tuple[str, str]]:
    """All that a warning can say, English and Chinese: to be rendered before it is needed."""
    return [_said(level, name, where) for level in (1, 2) for name in CLASSES for where in SIDE]


def _worded(level: int, one: Seen, seconds: float) -> Warned:
    return Warned(level, one.track_id, float(seconds), *_said(level, one.kind, one.side))


def _said(level: int, name: str, where: str) -> tuple[str, str]:
    english = f"{'Brake! ' if level == 2 else 'Caution, '}{kind('en', name)} {side('en', where)}."
    chinese = f"{'刹车！' if level == 2 else '注意，'}{side('zh', where)}{kind('zh', name)}。"
    return english, chinese
