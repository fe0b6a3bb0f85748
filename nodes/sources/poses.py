"""Ego poses from a dataset: trajectories out of its pose files, extrinsics out of poses of two sensors, `pose/ego`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from calibration.rig import Extrinsic
from calibration.se3 import SE3
from calibration.trajectory import Trajectory
from nodes.sources.indexed import Stream, usable_stamps
from pipeline.core.errors import BadInput
from pipeline.core.messages import EgoPose

_HALF_WINDOW_NS = 50_000_000  # velocities are differences over 0.1 s: millimetre noise of the poses stays below 2 cm/s


def rigid(wxyz: npt.ArrayLike, translation: npt.ArrayLike, source: object, field: str) -> SE3:
    """A pose or a batch of them out of a file: quaternions (..., 4) w first, metres (..., 3).

    Raises:
        BadInput: a quaternion that is none, or numbers that are not finite.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return SE3.from_quaternion(wxyz, translation)
    except ValueError as error:
        raise BadInput(source, field, "a unit quaternion and finite metres", error) from error


def trajectory_of(times_ns: npt.NDArray[np.int64], odom_SE3_ego: SE3, source: object) -> Trajectory:
    """Poses in order of their files -> trajectory over the usable stamps, extrapolated by at most 0.1 s.

    Raises:
        BadInput: no stamp can be used.
    """
    usable = usable_stamps(times_ns, source)
    return Trajectory(times_ns[usable], odom_SE3_ego[usable], max_extrapolation_ns=100_000_000)


def merge(trajectories: Sequence[Trajectory]) -> Trajectory:
    """One trajectory through all their samples; where two have the same time the first one's sample counts."""
    times_ns = np.concatenate([t.times_ns for t in trajectories])
    poses = SE3(
        np.concatenate([t.poses.rotation for t in trajectories]),
        np.concatenate([t.poses.translation for t in trajectories]),
    )
    unique, first = np.unique(times_ns, return_index=True)
    return Trajectory(unique, poses[first], trajectories[0].max_extrapolation_ns)


def mean_extrinsic(ego: Trajectory, sensor: Trajectory, source: object) -> Extrinsic:
    """``ego_SE3_sensor`` as the mean over poses of both in one world; covariance = scatter of one sample.

    The mean is taken in the tangent space at the first sample: right for the small scatter of a rigid mounting.

    Raises:
        BadInput: no sensor pose lies within the ego trajectory.
    """
    inside = [i for i, t in enumerate(sensor.times_ns) if ego.covers(t)]
    if not inside:
        raise BadInput(source, "timestamps", f"some from {ego.times_ns[0]} to {ego.times_ns[-1]} ns", "none")
    samples = ego.at(sensor.times_ns[inside]).inverse() @ sensor.poses[inside]
    mean = SE3.exp((samples @ samples[0].inverse()).log().mean(axis=0)) @ samples[0]
    deviation = (samples @ mean.inverse()).log()
    (x, y, z), (qw, qx, qy, qz) = mean.translation, mean.quaternion
    return Extrinsic(
        translation=(float(x), float(y), float(z)),
        rotation_wxyz=(float(qw), float(qx), float(qy), float(qz)),
        covariance=tuple((deviation.T @ deviation / len(deviation)).ravel().tolist()),
        method=f"mean over {len(deviation)} poses of the dataset; covariance is the scatter of one",
    )


def ego_pose_stream(ego: Trajectory, source: object) -> Stream:
    """`pose/ego` at every sample of the trajectory, velocities by differences over 0.1 s."""

    def load(i: int) -> EgoPose:
        time_ns = ego.times_ns[i]
        before = max(time_ns - _HALF_WINDOW_NS, ego.times_ns[0])
        after = min(time_ns + _HALF_WINDOW_NS, ego.times_ns[-1])
        if after == before:
            return ego_pose(ego.poses[i])
        first, last = ego.at(before), ego.at(after)
        elapsed_s = (after - before) * 1e-9
        linear = ego.poses[i].inverse().rotate(last.translation - first.translation) / elapsed_s
        return ego_pose(ego.poses[i], linear, (first.inverse() @ last).log()[3:] / elapsed_s)

    return Stream("pose/ego", ego.times_ns, load, source)


def ego_pose(
    odom_SE3_ego: SE3, linear: npt.ArrayLike = (np.nan,) * 3, angular: npt.ArrayLike = (np.nan,) * 3
) -> EgoPose:
    """linear m/s and angular rad/s in the ego frame, NaN where unknown."""
    return EgoPose(
        position=tuple(odom_SE3_ego.translation.tolist()),
        rotation_wxyz=tuple(odom_SE3_ego.quaternion.tolist()),
        linear_velocity=tuple(np.asarray(linear, dtype=np.float64).tolist()),
        angular_velocity=tuple(np.asarray(angular, dtype=np.float64).tolist()),
    )
