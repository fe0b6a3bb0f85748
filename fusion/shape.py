"""Size and heading of the tracks: scalar filters beside the state, since neither moves with it."""

from __future__ import annotations

import numpy as np

from fusion.kalman import Groups
from fusion.measurements import FloatArray, IntArray, Measurements
from fusion.tracks import IS_VEHICLE, Tracks
from pipeline.core.settings import Settings


class ShapeSettings(Settings, frozen=True):
    """yaw_rate: how fast a heading wanders, rad/sqrt(s). size_wander: m/sqrt(s), since the seen part changes.

    motion_yaw_sigma: how well a vehicle's heading is its direction of motion, rad. moving_sigmas: from which ratio of
    speed to its sigma a vehicle counts as moving. sense_detection, sense_motion: log-odds per second by which a
    detection's heading, or the motion, says which end is the front.
    """

    yaw_rate: float = 0.3
    size_wander: float = 0.3
    motion_yaw_sigma: float = 0.2
    moving_sigmas: float = 4.0
    moving_speed: float = 1.0
    sense_detection: float = 0.5
    sense_motion: float = 3.0


def forget(tracks: Tracks, dt: float, settings: ShapeSettings) -> None:
    """Let dt seconds pass."""
    tracks.yaw_var[:] = np.minimum(tracks.yaw_var + settings.yaw_rate**2 * dt, np.pi**2)
    tracks.size_var += settings.size_wander**2 * dt
    tracks.sense *= np.exp(-dt / 10.0)


def absorb(tracks: Tracks, groups: Groups, z: Measurements, dt: float, settings: ShapeSettings) -> None:
    """Take size and yaw of each detection into its track: scalar filters, in the information form as the state's."""
    precision = 1.0 / tracks.size_var
    total = precision + groups.sum(1.0 / z.size_var)
    size = (precision * tracks.size + groups.sum(z.size / z.size_var)) / total
    tracks.size[:], tracks.size_var[:] = np.maximum(size, 0.1), 1.0 / total

    turn = z.yaw - tracks.yaw[groups.row]
    _turn(tracks, groups.row, turn, 1.0 / z.yaw_var)
    vote = np.sign(np.cos(turn)) * np.isfinite(z.yaw_var)
    tracks.sense[:] += settings.sense_detection * dt * np.bincount(groups.row, vote, len(tracks))


def follow_motion(tracks: Tracks, dt: float, settings: ShapeSettings) -> None:
    """A vehicle that moves heads where it moves to."""
    vx, vy = tracks.mean[:, 3], tracks.mean[:, 4]
    speed = np.hypot(vx, vy)
    along = np.stack([vx, vy], axis=1) / np.maximum(speed, 1e-6)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    V = tracks.cov[:, 3:, 3:]
    speed_sigma = np.sqrt(np.einsum("ni,nij,nj->n", along, V, along))
    vehicle = tracks.class_prob @ IS_VEHICLE > 0.5
    moving = vehicle & (speed > settings.moving_speed) & (speed > settings.moving_sigmas * speed_sigma)
    rows = np.flatnonzero(moving)
    if len(rows):
        noise = np.einsum("ni,nij,nj->n", across, V, across)[rows] / speed[rows] ** 2 + settings.motion_yaw_sigma**2
        turn = np.arctan2(vy, vx)[rows] - tracks.yaw[rows]
        _turn(tracks, rows, turn, 1.0 / noise)
        tracks.sense[rows] += settings.sense_motion * dt * np.sign(np.cos(turn))
    backwards = tracks.sense < 0.0
    tracks.yaw[backwards] = _wrap(tracks.yaw[backwards] + np.pi)
    tracks.sense[:] = np.minimum(np.abs(tracks.sense), 3.0)


def _turn(tracks: Tracks, row: IntArray, turn: FloatArray, precision: FloatArray) -> None:
    """Update the axis of the boxes: a turn by pi is the same axis, so the residual lies in -pi/2 .. pi/2."""
    axis = turn - np.pi * np.round(turn / np.pi)
    total = 1.0 / tracks.yaw_var + np.bincount(row, precision, len(tracks))
    tracks.yaw[:] = _wrap(tracks.yaw + np.bincount(row, precision * axis, len(tracks)) / total)
    tracks.yaw_var[:] = 1.0 / total


def _wrap(angle: FloatArray) -> FloatArray:
    return np.asarray((angle + np.pi) % (2.0 * np.pi) - np.pi)
