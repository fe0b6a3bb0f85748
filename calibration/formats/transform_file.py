"""One transform between two sensors as a YAML file of our own: which way it goes, how sure, and where it comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import yaml

from calibration.formats.camera_file import bounded, mapping
from calibration.rig import Extrinsic
from calibration.se3 import SE3, FloatArray, hat

VERSION = 1


class TransformFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``destination_SE3_source``: its pose, covariance (of a left perturbation, metres before radians), provenance."""

    destination: str
    source: str
    pose: Extrinsic
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"version: expected {VERSION}, got {self.version}")

    @property
    def dst_SE3_src(self) -> SE3:
        return self.pose.ego_SE3_sensor


def extrinsic(pose: SE3, cov: FloatArray, *, method: str, date: str, data_sha256: str) -> Extrinsic:
    """A pose with all that is known of it; cov (6, 6)."""
    known = Extrinsic.from_se3(pose, method=method, date=date)
    symmetric = 0.5 * (cov + cov.T)
    return msgspec.structs.replace(known, covariance=tuple(symmetric.ravel().tolist()), data_sha256=data_sha256)


def read_transform(text: str) -> TransformFile:
    """From YAML.

    Raises:
        ValueError: no YAML, a field is missing, unknown or cannot be.
    """
    try:
        return msgspec.convert(mapping(yaml.safe_load(bounded(text))), TransformFile)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(f"file: expected a transform, got {error}") from error


def write_transform(of: TransformFile) -> str:
    """YAML."""
    return str(yaml.safe_dump(msgspec.to_builtins(of), sort_keys=False, default_flow_style=None))


def sha256_of(files: Iterable[Path]) -> str:
    """Of the names and contents of files, in order of their names: what a calibration was made from."""
    total = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        total.update(path.name.encode() + b"\0")
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                total.update(piece)
    return total.hexdigest()


def transported(dst_SE3_src: SE3, cov: FloatArray) -> FloatArray:
    """(6, 6) covariance of a left perturbation in ``src``, as one in ``dst``: ``Ad cov Ad^T``.

    It is that of ``dst_SE3_src`` itself where ``src_SE3_other`` was found with ``cov`` and ``dst_SE3_other`` is exact,
    since ``T exp(-xi) = exp(-Ad xi) T`` (Barfoot, State Estimation for Robotics, 2017, eq. 7.47).
    """
    R = dst_SE3_src.rotation
    adjoint = np.block([[R, hat(dst_SE3_src.translation) @ R], [np.zeros((3, 3)), R]])
    return np.asarray(adjoint @ cov @ adjoint.T)
