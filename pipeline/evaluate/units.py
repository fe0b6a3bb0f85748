"""What each number of a run is measured in, and what it would be at best: by the shape of its key."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

Value = float | int | bool | str | None


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One number as `python -m benchmarks --json` writes its own. unit: empty for what has none.

    limit: what it is measured against, limit_name: what that is. ratio: value / limit.
    """

    name: str
    value: Value
    unit: str
    limit: float | None = None
    limit_name: str = ""
    ratio: float | None = None


class Kind(NamedTuple):
    keys: re.Pattern[str]
    unit: str
    limit: float | None = None
    limit_name: str = ""


def _kind(keys: str, unit: str, limit: float | None = None, limit_name: str = "") -> Kind:
    return Kind(re.compile(keys), unit, limit, limit_name)


_PERCENTILE = r"_(p\d+|max)"
_BEST, _NOTHING_LOST, _CALIBRATED = "a perfect score", "nothing lost", "calibrated"
KINDS = (
    _kind(r"run/faults", "names"),
    _kind(r"run/(nodes_failed_steps|lost_on_the_way|source_lost/.*|unusable_detections.*)", "count", 0, _NOTHING_LOST),
    _kind(r"run/.*", "count"),
    _kind(r"ledger/balanced", "yes or no", 1, "every message accounted for"),
    _kind(r"ledger/[^/]+/(received|fused|in_flight|dropped.*|sent)", "messages"),
    _kind(r"alignment/[^/]+/(taken|missing)", "frame sets"),
    _kind(r"latency/paced", "yes or no"),
    _kind(rf"(alignment|latency)/.*_ms{_PERCENTILE}", "ms"),
    _kind(rf"alignment/.*_m{_PERCENTILE}", "m"),
    _kind(r"(detection|streaming)/.*/(mAP|AP(@[\d.]+)?|NDS_without_attributes)", "", 1, _BEST),
    _kind(r"(detection|streaming)/.*/m?ATE", "m", 0, _BEST),
    _kind(r"(detection|streaming)/.*/m?ASE", "1 - IoU", 0, _BEST),
    _kind(r"(detection|streaming)/.*/m?AOE", "rad", 0, _BEST),
    _kind(r"(detection|streaming)/.*/m?AVE", "m/s", 0, _BEST),
    _kind(r"(detection|streaming)/.*/truth", "labels"),
    _kind(r"bias/[^/]+/(radial|lateral|vertical)_m", "m", 0, _BEST),
    _kind(r"bias/[^/]+/(radial|lateral|vertical)_spread_m", "m"),
    _kind(r"(bias/[^/]+|uncertainty|weights)/pairs", "pairs"),
    _kind(r"tracking/(.*/)?(AMOTA|HOTA|DetA|AssA|MOTA|IDF1)", "", 1, _BEST),
    _kind(r"tracking/(.*/)?AMOTP", "m", 0, _BEST),
    _kind(r"tracking/(switches|fragmentations|gaps_between)", "count", 0, _BEST),
    _kind(r"tracking/objects", "objects"),
    _kind(r"tracking/longest_gap_s", "s", 0, _BEST),
    _kind(r"uncertainty/position_nll", "nats"),
    _kind(r"uncertainty/position_rmse_m", "m", 0, _BEST),
    _kind(r"uncertainty/velocity_rmse_mps", "m/s", 0, _BEST),
    _kind(r"uncertainty/\w+_coverage_50", "", 0.5, _CALIBRATED),
    _kind(r"uncertainty/\w+_coverage_90", "", 0.9, _CALIBRATED),
    _kind(r"uncertainty/existence_ece", "", 0, _CALIBRATED),
    _kind(r"weights/spearman", "", 1, _BEST),
    _kind(r"alarms/(named|recognised)(_in_2s)?", "share", 1, _BEST),
    _kind(r"alarms/false_per_hour", "per hour", 0, _BEST),
)
"""The first that matches the whole key counts."""


def figure(name: str, value: Value) -> Figure:
    """Raises KeyError: no kind is listed for such a key."""
    kind = next((kind for kind in KINDS if kind.keys.fullmatch(name)), None)
    if kind is None:
        raise KeyError(f"{name}: add its unit to pipeline/evaluate/units.py")
    ratio = float(value) / kind.limit if kind.limit and isinstance(value, (int, float)) else None
    return Figure(name=name, value=value, unit=kind.unit, limit=kind.limit, limit_name=kind.limit_name, ratio=ratio)
