"""A recorded drive against a simulated one with the same rig, sensor by sensor."""

from __future__ import annotations

from collections.abc import Callable

from nodes.simulator.realism.compare import Curve, camera_curves, lidar_curves, radar_curves
from nodes.simulator.realism.measure import camera_statistics, lidar_statistics, radar_statistics
from nodes.sources.drive import Drive


def compare_drives(
    real: Drive, simulated: Drive, every: int = 1, progress: Callable[[str], None] = lambda sensor: None
) -> dict[str, list[Curve]]:
    """Curves of each camera, LiDAR and radar that both drives have, of every n-th message."""
    topics = set(real.topics) & set(simulated.topics)
    out: dict[str, list[Curve]] = {}
    for camera in real.rig.cameras:
        if f"camera/{camera.name}" in topics:
            progress(camera.name)
            of = [camera_statistics(drive, camera.name, every) for drive in (real, simulated)]
            out[camera.name] = camera_curves(*of)
    for lidar in real.rig.lidars:
        if f"lidar/{lidar.name}" in topics:
            progress(lidar.name)
            sweeps = [lidar_statistics(drive, lidar.name, every) for drive in (real, simulated)]
            out[lidar.name] = lidar_curves(*sweeps)
    for radar in real.rig.radars:
        if f"radar/{radar.name}" in topics:
            progress(radar.name)
            cycles = [radar_statistics(drive, radar.name, every) for drive in (real, simulated)]
            out[radar.name] = radar_curves(*cycles)
    return out
