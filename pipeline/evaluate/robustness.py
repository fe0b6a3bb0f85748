"""How well fusers resist faults: RA, the score under a fault over the clean score, and everything else side by side.

MultiCorrupt (Beemelmanns et al. 2024) defines resistance so, for three severities, and takes the mean over all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings
from pipeline.evaluate.units import Value, figure

Values: TypeAlias = Mapping[str, Value]
CLEAN = "clean"


class Measure(NamedTuple):
    """A key of metrics.json, as tables head it. better: "more", "less", or the number that it should be."""

    key: str
    name: str
    better: str = "more"

    @property
    def unit(self) -> str:
        return figure(self.key, None).unit


MEASURES = (
    Measure("detection/fused/mAP", "mAP"),
    Measure("detection/fused/car/AP", "car AP"),
    Measure("detection/fused/pedestrian/AP", "pedestrian AP"),
    Measure("streaming/predicted/mAP", "sAP"),
    Measure("tracking/AMOTA", "AMOTA"),
    Measure("tracking/MOTA", "MOTA"),
    Measure("tracking/IDF1", "IDF1"),
    Measure("uncertainty/position_rmse_m", "position RMSE", "less"),
    Measure("uncertainty/velocity_rmse_mps", "velocity RMSE", "less"),
    Measure("uncertainty/position_nll", "NLL", "less"),
    Measure("uncertainty/existence_ece", "ECE", "less"),
    Measure("uncertainty/position_coverage_50", "50 % region", "0.5"),
    Measure("uncertainty/position_coverage_90", "90 % region", "0.9"),
    Measure("weights/spearman", "Spearman"),
    Measure("alarms/named_in_2s", "fault named in 2 s"),
    Measure("alarms/named", "fault ever named"),
    Measure("alarms/false_per_hour", "false alarms", "less"),
)
"""What the tables show, where it was measured."""


class RobustnessSettings(Settings, frozen=True, kw_only=True):
    """metric: key of metrics.json that RA is of. faults: names, or sensor.name, each at each of the severities; several
    at once as one+other. silent: those of them that no stamp, score or covariance tells of; there is a mean of these.
    """

    metric: str = "detection/fused/mAP"
    severities: tuple[int, ...] = (1, 2, 3)
    faults: tuple[str, ...]
    silent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.faults or not self.severities:
            raise ValueError("faults, severities: expected at least one of each")
        if not set(self.silent) <= set(self.faults):
            raise ValueError(f"silent: expected some of the faults, got {sorted(set(self.silent) - set(self.faults))}")


class Cell(Settings, frozen=True):
    """One fault, or several as one+other, at one severity; none: the clean run."""

    fault: str = ""
    severity: int = 0

    @property
    def name(self) -> str:
        return f"{self.fault}.{self.severity}" if self.fault else CLEAN

    @property
    def faults(self) -> tuple[str, ...]:
        """As `--fault` takes them."""
        return tuple(f"{fault}:{self.severity}" for fault in self.fault.split("+")) if self.fault else ()


def cells(settings: RobustnessSettings, left_out: Sequence[str] = ()) -> list[Cell]:
    """All that is to be run, the clean one first."""
    named = [fault for fault in settings.faults if fault not in left_out]
    return [Cell(), *(Cell(fault=fault, severity=s) for fault in named for s in settings.severities)]


class Resistance(msgspec.Struct, frozen=True, kw_only=True):
    """What is left under one fault. scores, ra: by severity."""

    fault: str
    scores: tuple[float, ...]
    ra: tuple[float, ...]
    mean_ra: float


class FuserResistance(msgspec.Struct, frozen=True, kw_only=True):
    """One fuser. clean: score. mean_ra: over all faults and severities; silent_ra: over the silent ones, if any.

    values: of `Measure.key`: clean, and the mean over all faults and severities.
    by_fault: of `Measure.key`, and then of the fault: by severity. coverage: (level, clean, faulty).
    """

    fuser: str
    clean: float
    rows: tuple[Resistance, ...]
    mean_ra: float
    silent_ra: float | None
    values: dict[str, tuple[float | None, float | None]]
    by_fault: dict[str, dict[str, tuple[float | None, ...]]]
    coverage: tuple[tuple[float, float | None, float | None], ...]


class Robustness(msgspec.Struct, frozen=True, kw_only=True):
    """units: of `Measure.key`, "" where it has none. left_out: faults that befall nothing of what was run."""

    source: str
    metric: str
    severities: tuple[int, ...]
    units: dict[str, str]
    fusers: tuple[FuserResistance, ...]
    left_out: tuple[str, ...]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def robustness(
    settings: RobustnessSettings,
    source: str,
    scores: Mapping[str, Mapping[Cell, Values]],
    left_out: tuple[str, ...] = (),
) -> Robustness:
    """Resistance of each fuser of ``scores`` (fuser -> cell -> values). A score undefined under a fault counts as 0.

    Raises:
        BadInput: a metric that was not measured, or a clean score that is undefined or 0, with which nothing can be
            compared.
    """
    return Robustness(
        source=source,
        metric=settings.metric,
        severities=settings.severities,
        units={measure.key: measure.unit for measure in MEASURES},
        fusers=tuple(_resistance(settings, source, fuser, of_fuser) for fuser, of_fuser in scores.items()),
        left_out=left_out,
    )


def _resistance(
    settings: RobustnessSettings, source: str, fuser: str, scores: Mapping[Cell, Values]
) -> FuserResistance:
    known = scores[Cell()]
    if settings.metric not in known:
        raise BadInput(f"{source}, {fuser}", settings.metric, "a key of metrics.json", ", ".join(sorted(known))[:200])
    clean = _number(known, settings.metric)
    if not clean:
        raise BadInput(f"{source}, {fuser}", settings.metric, "a clean score above 0", clean)
    faulty: dict[str, list[Values]] = {}
    for cell, values in scores.items():
        if cell.fault:
            faulty.setdefault(cell.fault, []).append(values)
    rows = []
    for fault, by_severity in faulty.items():
        found = tuple(_number(values, settings.metric) or 0.0 for values in by_severity)
        ra = tuple(score / clean for score in found)
        rows.append(Resistance(fault=fault, scores=found, ra=ra, mean_ra=float(np.mean(ra))))
    everything = [values for by_severity in faulty.values() for values in by_severity]
    levels = [key for key in known if key.startswith("uncertainty/coverage_")]
    silent = [row.mean_ra for row in rows if row.fault in settings.silent]
    return FuserResistance(
        fuser=fuser,
        clean=clean,
        rows=tuple(rows),
        mean_ra=float(np.mean([row.mean_ra for row in rows])) if rows else 1.0,
        silent_ra=float(np.mean(silent)) if silent else None,
        values={m.key: (_number(known, m.key), _mean(everything, m.key)) for m in MEASURES if m.key in known},
        by_fault={
            m.key: {fault: tuple(_number(v, m.key) for v in found) for fault, found in faulty.items()}
            for m in MEASURES
            if m.key in known
        },
        coverage=tuple((float(k.rpartition("_")[2]), _number(known, k), _mean(everything, k)) for k in levels),
    )


def _number(values: Values, key: str) -> float | None:
    value = values.get(key)
    return float(value) if isinstance(value, (int, float)) else None


def _mean(all_values: Sequence[Values], key: str) -> float | None:
    known = [number for values in all_values if (number := _number(values, key)) is not None]
    return float(np.mean(known)) if known else None
