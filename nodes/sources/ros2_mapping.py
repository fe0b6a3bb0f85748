"""What a ROS 2 bag's topics mean to us: guessed from types and names, or said in a small YAML beside the bag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from calibration.rig import Extrinsic
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings, load_yaml

MAPPING_FILE = "syncline.yaml"

IMAGE, COMPRESSED, CLOUD = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2"
INFO, IMU, FIX = "sensor_msgs/msg/CameraInfo", "sensor_msgs/msg/Imu", "sensor_msgs/msg/NavSatFix"
ODOMETRY = "nav_msgs/msg/Odometry"

_KINDS = {
    "camera": (IMAGE, COMPRESSED),
    "lidar": (CLOUD,),
    "radar": (CLOUD,),
    "imu": (IMU,),
    "gnss": (FIX,),
    "pose": (ODOMETRY,),
}
_FILLER = re.compile(r"_?(image(_raw|_rect|_color|_rect_color)?|compressed|points?(_raw)?|cloud|data|scan|fix)$")


class TopicMapping(Settings, frozen=True):
    """One topic of the bag.

    kind: what it is; `ignore` leaves it out. sensor: our name for it. info: a camera's CameraInfo topic.
    stamp: `arrival` where the driver leaves header stamps empty or in a clock of its own. intensity_max: what counts as
    intensity 1. time_field: the cloud's field with the time of each point, `none` to do without; guessed by default.
    range_rate_field, rcs_field, snr_field: the radar cloud's fields, empty = it has none. closing_positive: range rates
    are positive where the distance shrinks. ambiguity_mps: width of the unambiguous interval, 0 = none.
    """

    kind: Literal["camera", "lidar", "radar", "imu", "gnss", "pose", "ignore"]
    sensor: str = ""
    info: str = ""
    stamp: Literal["header", "arrival"] = "header"
    intensity_max: float = 255.0
    time_field: str = ""
    range_rate_field: str = ""
    rcs_field: str = ""
    snr_field: str = ""
    closing_positive: bool = False
    ambiguity_mps: float = 0.0

    def __post_init__(self) -> None:
        if not self.intensity_max > 0:
            raise ValueError(f"intensity_max: expected > 0, got {self.intensity_max}")


class BagMapping(Settings, frozen=True):
    """The YAML beside a bag (`syncline.yaml` in its folder, or `<name>.yaml` beside a single file).

    vehicle: for the rig. ego_frame: the frame on the ground under the rear axle, x forward. topics: those that guessing
    gets wrong. extrinsics: mounting in the ego frame, by frame_id, where /tf_static does not tell it.
    """

    vehicle: str = "ros2"
    ego_frame: str = "base_link"
    topics: dict[str, TopicMapping] = {}
    extrinsics: dict[str, Extrinsic] = {}


def load_mapping(bag: Path) -> BagMapping:
    """The bag's mapping, or an empty one. Raises BadInput where the file is there and wrong."""
    path = bag / MAPPING_FILE if bag.is_dir() else bag.with_suffix(".yaml")
    return load_yaml(path, BagMapping) if path.is_file() else BagMapping()


def map_topics(
    types: Mapping[str, str], cloud_fields: Mapping[str, tuple[str, ...]], mapping: BagMapping, source: Path
) -> dict[str, TopicMapping]:
    """Every topic that we read, with kind and sensor filled in.

    Args:
        types: message type of each topic of the bag.
        cloud_fields: field names of each PointCloud2 topic.

    Raises:
        BadInput: a mapped topic is not in the bag or of another type, two topics make one sensor, or more than one
            Odometry is left to be the pose.
    """
    chosen: dict[str, TopicMapping] = {}
    for topic in mapping.topics.keys() - types.keys():
        raise BadInput(source, f"topics: {topic}", f"a topic of the bag: {', '.join(sorted(types))}", "not there")
    for topic, kind in sorted(types.items()):
        entry = mapping.topics.get(topic) or _guess(kind, cloud_fields.get(topic, ()))
        if entry is None or entry.kind == "ignore":
            continue
        if kind not in _KINDS[entry.kind]:
            raise BadInput(source, f"topics: {topic}: kind", f"one for {kind}", entry.kind)
        name = "ego" if entry.kind == "pose" else entry.sensor or sensor_name(topic)
        chosen[topic] = msgspec.structs.replace(entry, sensor=name)
    by_name: dict[str, str] = {}
    for topic, entry in chosen.items():
        if entry.sensor in by_name:
            wanted = f"another sensor name than {topic} (or kind: ignore for one of them)"
            raise BadInput(source, f"topics: {by_name[entry.sensor]}", wanted, f"both are {entry.sensor!r}")
        by_name[entry.sensor] = topic
    return chosen


def sensor_name(topic: str) -> str:
    """`/camera/front/image_raw/compressed` -> `camera_front`."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", topic).strip("_")
    while (shorter := _FILLER.sub("", name)) not in (name, ""):
        name = shorter
    return name


def _guess(kind: str, fields: tuple[str, ...]) -> TopicMapping | None:
    if kind == CLOUD:
        range_rate = next(
            (f for f in ("doppler", "range_rate", "radial_velocity", "velocity", "v_r") if f in fields), ""
        )
        if not range_rate:
            return TopicMapping(kind="lidar")
        rcs, snr = (next((f for f in names if f in fields), "") for names in (("rcs", "RCS"), ("snr", "SNR", "power")))
        return TopicMapping(kind="radar", range_rate_field=range_rate, rcs_field=rcs, snr_field=snr)
    for name, types in _KINDS.items():
        if kind in types:
            return TopicMapping(kind=name)  # type: ignore[arg-type]
    return None
