"""Laws that geometry must obey whatever the numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.frames import Edge, FrameTree
from calibration.se3 import SE3, interpolate
from calibration.trajectory import Trajectory

coordinates = st.floats(-1e3, 1e3)
vectors = arrays.arrays(np.float64, 3, elements=coordinates)
turns = arrays.arrays(np.float64, 3, elements=st.floats(-1.8, 1.8))  # length below pi: one rotation vector each
LAW = settings(max_examples=50, deadline=None, derandomize=True)
unit = st.floats(0.0, 1.0)


@st.composite
def transforms(draw: st.DrawFn) -> SE3:
    return SE3(SE3.exp(np.concatenate([np.zeros(3), draw(turns)])).rotation, draw(vectors))


def assert_same(a: SE3, b: SE3, atol: float = 1e-8) -> None:
    np.testing.assert_allclose(a.matrix, b.matrix, atol=atol)


@LAW
@given(transforms())
def test_inverse_undoes(a_SE3_b: SE3) -> None:
    assert_same(a_SE3_b @ a_SE3_b.inverse(), SE3.identity())
    assert_same(a_SE3_b.inverse() @ a_SE3_b, SE3.identity())
    assert_same(a_SE3_b.inverse().inverse(), a_SE3_b)


@LAW
@given(transforms(), transforms(), transforms(), vectors)
def test_composition_is_associative_and_acts_on_points(a: SE3, b: SE3, c: SE3, point: np.ndarray) -> None:
    assert_same((a @ b) @ c, a @ (b @ c))
    np.testing.assert_allclose((a @ b) @ point, a @ (b @ point), atol=1e-8)
    assert_same((a @ b).inverse(), b.inverse() @ a.inverse())


@LAW
@given(transforms(), vectors, vectors)
def test_distances_are_kept(a: SE3, p: np.ndarray, q: np.ndarray) -> None:
    np.testing.assert_allclose(np.linalg.norm(a @ p - a @ q), np.linalg.norm(p - q), atol=1e-8)


@LAW
@given(arrays.arrays(np.float64, 3, elements=st.floats(-100, 100)), turns)
def test_log_inverts_exp(rho: np.ndarray, phi: np.ndarray) -> None:
    twist = np.concatenate([rho, phi])
    np.testing.assert_allclose(SE3.exp(twist).log(), twist, atol=1e-6)


@LAW
@given(transforms())
def test_exp_inverts_log_and_quaternions_hold_the_rotation(a: SE3) -> None:
    assert_same(SE3.exp(a.log()), a, atol=1e-6)
    assert_same(SE3.from_quaternion(a.quaternion, a.translation), a)


@LAW
@given(transforms(), transforms(), unit)
def test_interpolation_starts_ends_and_turns_at_constant_speed(a: SE3, b: SE3, fraction: float) -> None:
    assert_same(interpolate(a, b, 0.0), a)
    assert_same(interpolate(a, b, 1.0), b)
    between = interpolate(a, b, fraction)
    whole = (a.inverse() @ b).rotation_vector
    part = (a.inverse() @ between).rotation_vector
    if np.linalg.norm(whole) < np.pi - 1e-3:  # at half a turn either way round is right
        np.testing.assert_allclose(part, fraction * whole, atol=1e-7)
    np.testing.assert_allclose(
        between.translation, (1 - fraction) * a.translation + fraction * b.translation, atol=1e-8
    )


@LAW
@given(transforms(), transforms(), transforms(), unit)
def test_interpolation_does_not_depend_on_the_frame_it_is_seen_from(a: SE3, b: SE3, other: SE3, f: float) -> None:
    if np.linalg.norm((a.inverse() @ b).rotation_vector) < np.pi - 1e-3:
        assert_same(interpolate(other @ a, other @ b, f), other @ interpolate(a, b, f), atol=1e-6)


@LAW
@given(transforms(), transforms(), arrays.arrays(np.float64, (5, 3), elements=coordinates), st.data())
def test_points_moved_each_at_its_time(a: SE3, b: SE3, points: np.ndarray, data: st.DataObject) -> None:
    path = Trajectory([0, 1_000, 5_000], SE3.stack([a, b, a @ b]))
    times = data.draw(arrays.arrays(np.int64, 5, elements=st.integers(0, 5_000)))
    expected = path.at(times) @ points
    np.testing.assert_allclose(path.apply(times, points), expected, atol=1e-6)
    np.testing.assert_allclose(path.apply_inverse(times, expected), points, atol=1e-6)


@st.composite
def cameras(draw: st.DrawFn) -> CameraModel:
    """Lenses as they are made: distortion up to a quarter at the edge of the image, tangential up to 0.002."""
    focal = {name: draw(st.floats(200.0, 2000.0)) for name in ("fx", "fy")}
    centre = {name: draw(st.floats(100.0, 2000.0)) for name in ("cx", "cy")}
    small, tangential = st.floats(-0.05, 0.05), st.floats(-0.002, 0.002)
    radial = {"k1": draw(st.floats(-0.35, 0.35)), "k2": draw(small), "k3": draw(st.floats(-0.01, 0.01))}
    kind = draw(st.sampled_from(["pinhole", "rational", "kannala_brandt"]))
    if kind == "kannala_brandt":
        return KannalaBrandt(**focal, **centre, **radial, k4=draw(st.floats(-0.002, 0.002)))
    decentring = {"p1": draw(tangential), "p2": draw(tangential)}
    if kind == "pinhole":
        return Pinhole(**focal, **centre, **radial, **decentring)
    below = {"k4": draw(st.floats(-0.2, 0.2)), "k5": draw(small), "k6": draw(st.floats(-0.01, 0.01))}
    return Rational(**focal, **centre, **radial, **decentring, **below)


@LAW
@given(cameras(), unit, st.floats(-np.pi, np.pi), st.floats(0.1, 500.0))
def test_unproject_inverts_project(model: CameraModel, share: float, around: float, distance: float) -> None:
    # 45 degrees for a perspective lens; up to 90 % of the turning angle, near which two directions share a pixel
    angle = share * min(0.9 * model.max_angle, np.pi if isinstance(model, KannalaBrandt) else np.pi / 4)
    ray = np.array([[np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)]])
    pixels, valid = model.project(distance * ray)
    assert valid.all()
    np.testing.assert_allclose(model.unproject(pixels), ray, atol=1e-6)


@LAW
@given(cameras(), arrays.arrays(np.float64, (4, 2), elements=st.floats(-5000.0, 5000.0)))
def test_a_ray_is_only_given_where_it_projects_back(model: CameraModel, pixels: np.ndarray) -> None:
    rays = model.unproject(pixels)
    known = np.isfinite(rays).all(axis=1)
    assert np.isnan(rays[~known]).all()
    again, valid = model.project(rays[known])
    assert valid.all()
    np.testing.assert_allclose(again, pixels[known], atol=1e-3)


@LAW
@given(transforms(), transforms(), transforms(), transforms(), st.integers(0, 100), st.permutations(range(4)))
def test_frame_tree_composes(a: SE3, b: SE3, c: SE3, d: SE3, time: int, order: list[int]) -> None:
    edges = [
        Edge("odom", "ego", Trajectory([0, 100], SE3.stack([a, b]))),
        Edge("ego", "lidar", b),
        Edge("ego", "mast", c),
        Edge("mast", "camera", d),
    ]
    tree = FrameTree([edges[i] for i in order])
    for x in tree.frames:
        assert_same(tree.transform(x, "camera", time) @ tree.transform("camera", x, time), SE3.identity(), atol=1e-7)
        through = tree.transform("lidar", x, time) @ tree.transform(x, "camera", time)
        assert_same(through, tree.transform("lidar", "camera", time), atol=1e-7)
