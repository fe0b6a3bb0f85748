"""How the viewer is laid out when it opens."""

from __future__ import annotations

import math

import rerun.blueprint as rrb

from calibration.rig import CameraSensor, Rig
from nodes.view_rerun import TIMELINE

_EYE = (-16.0, 0.0, 13.0)  # behind and above the vehicle, in its own frame
_LOOK_AT = (14.0, 0.0, 0.0)


def blueprint(rig: Rig, live: bool = False, tracks: tuple[int, ...] = ()) -> rrb.Blueprint:
    """Cameras in a row, left to right; below them the world, and beside it what the run is doing.

    ``live``: the time follows what comes, instead of playing from the beginning in a loop. tracks: ids of those that
    have a panel of their own.
    """
    time = _PLAYED if not live else _FOLLOWED
    hidden = [f"- world/ego/{camera.name}/**" for camera in rig.cameras]
    world = _world(
        "World, seen from the vehicle", ["world/**", "- world/ego/detections/**", "- world/truth/**", *hidden]
    )
    labels = _world("Tracks and labels", ["world/**", "- world/ego/detections/**", "- world/tracks/weights", *hidden])
    detections = _world("Detections per sensor", ["world/ego/**", "world/truth/**", *hidden])
    cameras = [
        rrb.Spatial2DView(origin=f"world/ego/{camera.name}", contents="$origin/**", name=camera.name)
        for camera in sorted(rig.cameras, key=_bearing, reverse=True)
    ]
    run = rrb.Vertical(
        rrb.Tabs(
            rrb.StateTimelineView(origin="sensors", name="Sensors: used, or why not"),
            rrb.StateTimelineView(origin="health", name="Sensors: what ails them"),
            _plot("health", "Sensor health"),
        ),
        rrb.Tabs(
            *(rrb.TimeSeriesView(origin=f"objects/{number}", name=f"Track {number}") for number in tracks),
            _plot("lead", "Weights: object ahead"),
            _plot("weights", "Weights: mean"),
            _plot("tracks", "Tracks"),
        ),
        rrb.Tabs(
            rrb.TextLogView(
                origin="events", name="Events", columns=rrb.TextLogColumns(text_log_columns=["LogLevel", "Body"])
            ),
            _plot("step_ms", "Step, ms"),
            _plot("wait_ms", "Queue, ms"),
            _plot("offset_ms", "Offset, ms"),
            _plot("residual_cm", "Residual, cm"),
            _plot("dropped", "Dropped"),
        ),
        row_shares=[1.2, 1.1, 1],
    )
    below = rrb.Horizontal(rrb.Tabs(world, labels, detections), run, column_shares=[1.9, 1])
    return rrb.Blueprint(
        rrb.Vertical(rrb.Horizontal(*cameras), below, row_shares=[1, 1.8]) if cameras else below,
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        time,
    )


_PLAYED = rrb.TimePanel(state="collapsed", timeline=TIMELINE, play_state="playing", loop_mode="all")
_FOLLOWED = rrb.TimePanel(state="collapsed", timeline=TIMELINE, play_state="following")


def _world(name: str, contents: list[str]) -> rrb.Spatial3DView:
    return rrb.Spatial3DView(
        origin="world/ego",
        contents=contents,
        name=name,
        background=[13, 16, 20],
        eye_controls=rrb.EyeControls3D(position=_EYE, look_target=_LOOK_AT, eye_up=(0.0, 0.0, 1.0)),
        line_grid=rrb.LineGrid3D(visible=True, spacing=10.0, color=[70, 75, 85, 60]),
    )


def _plot(name: str, title: str) -> rrb.TimeSeriesView:
    return rrb.TimeSeriesView(origin=f"plots/{name}", name=title)


def _bearing(camera: CameraSensor) -> float:
    """Where the optical axis points, rad from straight ahead, positive to the left."""
    x, y, _ = camera.ego_SE3_sensor.rotation[:, 2]
    return math.atan2(y, x)
