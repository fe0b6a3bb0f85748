"""`Fault`: one fault as a person writes it, such as ``camera_front.dark:2@5-12``, bound to the sensors it befalls."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.rig import Rig
from nodes.sources.faults.table import FAULTS, SEVERITIES, FaultKind, kind_named
from pipeline.core.errors import BadInput

FOREVER_NS = 2**62
SOURCE = "--fault"
_FORM = (
    "[SENSOR or MODALITY.]NAME[:SEVERITY or =AMOUNT][@FROM-TO in seconds], such as fog:3 or camera_front.dark:2@5-12"
)
_NUMBER = r"-?\d+(?:\.\d+)?"
_PATTERN = re.compile(
    rf"(?:(?P<sensor>\w+)\.)?(?P<name>[a-z_]+)(?::(?P<severity>{_NUMBER})|=(?P<amount>{_NUMBER}))?"
    r"(?:@(?P<start>\d+(?:\.\d+)?)?-(?P<end>\d+(?:\.\d+)?)?)?"
)
_MAX_TEXT = 200
_CYCLE_NS = 10_000_000_000


class Fault(NamedTuple):
    """label: name and severity or amount, as `TruthSensor` tells it. sensors: names. amount: in the kind's unit.

    start_ns, end_ns: since the drive's start; it can be there for start <= t < end. windowed: whether a time was given.
    """

    kind: FaultKind
    label: str
    sensors: tuple[str, ...]
    amount: float
    start_ns: int = 0
    end_ns: int = FOREVER_NS
    windowed: bool = False

    def active(self, since_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(K,) whether it is there at times (K,) since the drive's start. One that is cyclic is there in the middle of
        every ten seconds."""
        there = (since_ns >= self.start_ns) & (since_ns < self.end_ns)
        if self.kind.cyclic and self.amount * 1e9 < _CYCLE_NS:
            there &= 2 * np.abs(since_ns % _CYCLE_NS - _CYCLE_NS // 2) < self.amount * 1e9
        return there

    def changes_ns(self, duration_ns: int) -> list[int]:
        """When it may begin or end within a drive of this length, since its start."""
        half_ns = round(self.amount * 5e8)
        middles = range(_CYCLE_NS // 2, duration_ns + _CYCLE_NS, _CYCLE_NS) if self.kind.cyclic else ()
        cycle = [edge for middle in middles for edge in (middle - half_ns + 1, middle + half_ns)]
        return [self.start_ns, self.end_ns, *(t for t in cycle if self.start_ns < t < self.end_ns)]


def parse_fault(text: str, rig: Rig, topics: tuple[str, ...], also: tuple[FaultKind, ...] = ()) -> Fault:
    """Read one fault for a drive of this rig and these topics; without a severity it is 3.

    also: kinds that may be named beside those of the table.

    Raises:
        BadInput: not of the form, or an unknown fault, severity, amount, sensor or time, with what there is instead.
    """
    match, kind = _written(text, also)
    start_ns = round(float(match["start"] or 0) * 1e9)
    end_ns = round(float(match["end"]) * 1e9) if match["end"] else FOREVER_NS
    windowed = "@" in text
    if not start_ns < end_ns < 2**63:
        raise BadInput(SOURCE, text, "a time that ends after it starts", f"{match['start']}-{match['end']}")
    if windowed and kind.stage == "mounting":
        raise BadInput(SOURCE, text, "no time: a rig holds for the whole drive", f"@{match['start']}-{match['end']}")
    sensors = _sensors(kind, match["sensor"], rig, topics)
    if not sensors:
        raise BadInput(
            SOURCE, text, f"one of: {', '.join(_targets(kind, rig, topics)) or 'none here'}", match["sensor"]
        )
    given = match["amount"]
    return Fault(
        kind=kind,
        label=f"{kind.name}:{match['severity'] or 3}" if given is None else f"{kind.name}={given}",
        sensors=sensors,
        amount=_amount(kind, match, text),
        start_ns=start_ns,
        end_ns=end_ns,
        windowed=windowed,
    )


def befalls_nothing(text: str, rig: Rig, topics: tuple[str, ...], also: tuple[FaultKind, ...] = ()) -> bool:
    """Whether a fault befalls no sensor of this drive because it has none of their kind.

    Raises:
        BadInput: the fault is not well written.
    """
    match, kind = _written(text, also)
    return match["sensor"] in (None, *kind.befalls) and not _sensors(kind, match["sensor"], rig, topics)


def modalities(topics: tuple[str, ...]) -> dict[str, str]:
    """Sensor name -> first part of its topic, such as ``lidar`` or ``pose``, of the sensor topics."""
    parts = (topic.split("/") for topic in topics)
    return {part[1]: part[0] for part in parts if len(part) == 2 and part[0] in _ALL}


_ALL = frozenset(modality for kind in FAULTS for modality in kind.befalls)


def _written(text: str, also: tuple[FaultKind, ...]) -> tuple[re.Match[str], FaultKind]:
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise BadInput(SOURCE, text[:_MAX_TEXT], _FORM, "another form")
    kind = next((kind for kind in also if kind.name == match["name"]), kind_named(match["name"]))
    if kind is None:
        raise BadInput(SOURCE, text, f"one of: {', '.join(k.name for k in (*FAULTS, *also))}", match["name"])
    return match, kind


def _sensors(kind: FaultKind, wanted: str | None, rig: Rig, topics: tuple[str, ...]) -> tuple[str, ...]:
    """The sensor of that name; all of that modality; or all but the pose. None where there is none that fits."""
    fitting = {name: modality for name, modality in _known(kind, rig, topics).items() if modality in kind.befalls}
    if wanted is None:
        return tuple(name for name, modality in fitting.items() if modality != "pose")
    return (wanted,) if wanted in fitting else tuple(name for name, modality in fitting.items() if modality == wanted)


def _targets(kind: FaultKind, rig: Rig, topics: tuple[str, ...]) -> list[str]:
    """All that may stand before the fault's name."""
    fitting = {name: modality for name, modality in _known(kind, rig, topics).items() if modality in kind.befalls}
    return [*fitting, *dict.fromkeys(fitting.values())]


def _known(kind: FaultKind, rig: Rig, topics: tuple[str, ...]) -> dict[str, str]:
    """Modality of the sensors that a fault might befall; of the mounting also those that the drive has no data of."""
    if kind.stage == "mounting":
        return {sensor.name: sensor.modality for sensor in rig.sensors}
    return modalities(topics)


def _amount(kind: FaultKind, match: re.Match[str], text: str) -> float:
    if match["amount"] is not None:
        amount = float(match["amount"])
        if not kind.lowest <= amount <= kind.highest:
            raise BadInput(SOURCE, text, f"{kind.lowest:g} to {kind.highest:g} {kind.unit}", match["amount"])
        return amount
    severity = match["severity"] or "3"
    if severity not in map(str, SEVERITIES):
        raise BadInput(SOURCE, text, "a severity 1, 2 or 3 (or =AMOUNT)", severity)
    return kind.amounts[int(severity) - 1]
