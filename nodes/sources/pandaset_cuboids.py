"""PandaSet's cuboids: one label per object and frame, with identities that hold across frames."""

from __future__ import annotations

import csv
import io
import logging
import math
from pathlib import Path

from nodes.sources.truth import Label, class_name
from pipeline.core.bounded import read_text
from pipeline.core.errors import BadInput

_log = logging.getLogger(__name__)

CLASS_OF_LABEL = {
    "Car": "car",
    "Pickup Truck": "truck",
    "Medium-sized Truck": "truck",
    "Semi-truck": "truck",
    "Bus": "bus",
    "Towed Object": "trailer",
    "Other Vehicle - Construction Vehicle": "construction_vehicle",
    "Pedestrian": "pedestrian",
    "Pedestrian with Object": "pedestrian",
    "Motorcycle": "motorcycle",
    "Bicycle": "bicycle",
    "Cones": "traffic_cone",
    "Pylons": "traffic_cone",
    "Road Barriers": "barrier",
    "Temporary Construction Barriers": "barrier",
}
OUTSIDE = {
    "Animals - Bird",
    "Animals - Other",
    "Construction Signs",
    "Emergency Vehicle",
    "Motorized Scooter",
    "Other Vehicle - Pedicab",
    "Other Vehicle - Uncommon",
    "Personal Mobility Device",
    "Rolling Containers",
    "Signs",
    "Train",
    "Tram / Subway",
}
"""PandaSet's labels that are in no nuScenes detection class."""

_NUMBERS = ("yaw", "position.x", "position.y", "position.z", "dimensions.x", "dimensions.y", "dimensions.z")
_TEXTS = ("uuid", "label", "cuboids.sibling_id", "cuboids.sensor_id")


class Cuboids:
    """The labels of a sequence.

    An object in the overlap of both LiDARs has two rows, one as each sees it, that name each other as siblings: the
    Pandar64's (sensor_id 0) counts, and both uuids are one identity. Identities are numbered in order of their uuids.

    Args:
        folder: with NN.csv.
        count: number of frames; a missing or malformed file is reported when its frame is asked for.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._faults: dict[int, BadInput] = {}
        rows = [self._rows(folder / f"{i:02d}.csv", i) for i in range(count)]
        alias: dict[str, str] = {}
        for row in (row for frame in rows for row in frame):
            pair = sorted((row["uuid"], row["cuboids.sibling_id"]))
            alias[row["uuid"]] = pair[0] if pair[0] not in ("-", "") else pair[1]
            if pair[0] not in ("-", ""):
                alias[pair[1]] = pair[0]
        number = {uuid: k for k, uuid in enumerate(sorted(set(alias.values())))}
        self.frames: list[list[Label]] = []
        self.lidars: list[list[int]] = []  # that each label was made on
        for i, frame in enumerate(rows):
            present = {row["uuid"] for row in frame}
            kept = [row for row in frame if row["cuboids.sensor_id"] != "1" or row["cuboids.sibling_id"] not in present]
            self.frames.append([_label(row, number[alias[row["uuid"]]], folder / f"{i:02d}.csv") for row in kept])
            self.lidars.append([int(row["cuboids.sensor_id"] == "1") for row in kept])

    def frame(self, i: int) -> list[Label]:
        """Labels of frame ``i``, world frame. Raises BadInput where its file could not be read."""
        if i in self._faults:
            raise self._faults[i]
        return self.frames[i]

    def _rows(self, path: Path, i: int) -> list[dict[str, str]]:
        try:
            reader = csv.DictReader(io.StringIO(read_text(path)))
            missing = sorted({*_NUMBERS, *_TEXTS} - set(reader.fieldnames or ()))
            if missing:
                raise BadInput(path, "columns", ", ".join(missing), reader.fieldnames)
            rows = list(reader)
            for line, row in enumerate(rows, start=2):
                _check(path, line, row)
        except (BadInput, csv.Error) as error:
            fault = error if isinstance(error, BadInput) else BadInput(path, "labels", "CSV", error)
            self._faults[i] = fault
            return []
        return rows


def _check(path: Path, line: int, row: dict[str, str]) -> None:
    for field in _NUMBERS:
        try:
            fine = math.isfinite(float(row[field]))
        except (TypeError, ValueError):
            fine = False
        if not fine:
            raise BadInput(path, f"line {line}: {field}", "a finite number", row[field])


def _label(row: dict[str, str], identity: int, path: Path) -> Label:
    """The dataset's yaw 0 has the length (dimensions.y) along world y."""
    yaw, x, y, z, width, length, height = (float(row[field]) for field in _NUMBERS)
    return Label(
        identity=identity,
        class_name=class_name(row["label"], CLASS_OF_LABEL, OUTSIDE, path, "label"),
        position=(x, y, z),
        size=(length, width, height),
        yaw=yaw + math.pi / 2,
    )
