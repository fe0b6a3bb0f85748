"""Every format gives back the camera that was written in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.camera import CameraModel, KannalaBrandt, Pinhole, Rational
from calibration.formats.camera_file import CameraFile
from calibration.formats.opencv import read_opencv, write_opencv
from calibration.formats.ros import read_ros, write_ros

FOCAL = st.floats(10.0, 1e5)
CENTRE = st.floats(-1e4, 1e4)
SMALL = st.floats(-2.0, 2.0)


def cameras() -> st.SearchStrategy[CameraModel]:
    placed = {"fx": FOCAL, "fy": FOCAL, "cx": CENTRE, "cy": CENTRE}
    brown = {**placed, **dict.fromkeys(("k1", "k2", "p1", "p2", "k3"), SMALL)}
    return st.one_of(
        st.builds(Pinhole, **brown),
        st.builds(Rational, **brown, **dict.fromkeys(("k4", "k5", "k6"), SMALL)),
        st.builds(KannalaBrandt, **placed, **dict.fromkeys(("k1", "k2", "k3", "k4"), SMALL)),
    )


FILES = st.builds(
    CameraFile, st.sampled_from(["camera", "front_left"]), st.integers(1, 10_000), st.integers(1, 10_000), cameras()
)


@settings(max_examples=40, deadline=None)
@given(FILES)
def test_ros(of: CameraFile) -> None:
    assert read_ros(write_ros(of)) == of


@settings(max_examples=40, deadline=None)
@given(FILES)
def test_opencv(of: CameraFile) -> None:
    assert read_opencv(write_opencv(of)) == of


@pytest.mark.parametrize("read", [read_ros, read_opencv])
@pytest.mark.parametrize(
    "text", ["", "hello", "a: 1", "[1, 2", "K: [1]\nD: []\ndistortion_model: x\nwidth: 1\nheight: 1"]
)
def test_what_is_no_camera_is_refused(read: object, text: str) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match=r"\w+: "):
        read(text)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    for read in (read_ros, read_opencv):
        with pytest.raises(ValueError, match=r"\w+: "):
            read(text)
