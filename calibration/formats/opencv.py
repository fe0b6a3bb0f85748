"""OpenCV's own YAML, as its calibration sample writes it: `camera_matrix` and `distortion_coefficients`."""

from __future__ import annotations

import cv2
import numpy as np

from calibration.camera import KannalaBrandt
from calibration.formats.camera_file import CameraFile, bounded, camera_from, coefficients


def read_opencv(text: str) -> CameraFile:
    """From a file storage in YAML (or XML or JSON). A fisheye says so in `fisheye_model`.

    Raises:
        ValueError: nothing that OpenCV reads, a matrix is missing, or the numbers are no camera.
    """
    try:
        storage = cv2.FileStorage(bounded(text), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        K, D = storage.getNode("camera_matrix").mat(), storage.getNode("distortion_coefficients").mat()
        width, height = (int(storage.getNode(f"image_{of}").real()) for of in ("width", "height"))
        fisheye = bool(storage.getNode("fisheye_model").real())
        name = storage.getNode("camera_name").string()
    except (cv2.error, SystemError) as error:  # the constructor raises the second, caused by the first
        raise ValueError(f"file: expected a storage of OpenCV, got {str(error)[:160]}") from error
    if K is None or D is None:
        raise ValueError("file: expected camera_matrix and distortion_coefficients")
    return CameraFile(name, width, height, camera_from("fisheye" if fisheye else "plumb_bob", K, D.ravel().tolist()))


def write_opencv(of: CameraFile) -> str:
    """YAML."""
    storage = cv2.FileStorage(".yml", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    storage.write("camera_name", of.name)
    storage.write("image_width", of.width)
    storage.write("image_height", of.height)
    storage.write("fisheye_model", int(isinstance(of.camera, KannalaBrandt)))
    storage.write("camera_matrix", of.camera.matrix)
    storage.write("distortion_coefficients", np.array(coefficients(of.camera)).reshape(-1, 1))
    return str(storage.releaseAndGetString())
