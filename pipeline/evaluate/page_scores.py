"""The scores of the report in words and tables: detection, tracking, gaps, uncertainty, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import escape

from pipeline.evaluate.detection import ERRORS, DetectionResult
from pipeline.evaluate.gaps import KINDS, Gap
from pipeline.evaluate.judge import Evaluation

_KIND_WORDS = {
    "between": "lost and found again",
    "after": "lost for good",
    "before": "found late",
    "never": "never tracked",
}


def number(value: object, digits: int = 3) -> str:
    """A number for a table; an en dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return "–"
    if not np.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"


def detection(e: Evaluation) -> dict[str, Any]:
    fused, best = e.detection["fused"], e.best_sensor
    sources = [("fused", fused, "fused")]
    sources += [(s, r, "") for s, r in e.detection.items() if s != "fused"]
    sources += [(f"streaming, {name}", r, "dim") for name, r in e.streaming.items()]
    lead = "No class has enough labels in the scored region."
    if fused.counted:
        lead = f"nuScenes average precision by centre distance. Fused <b>{fused.mean_ap:.3f}</b>"
        lead += f"; best single sensor {escape(best)} {e.detection[best].mean_ap:.3f}." if best else "."
        lead += f" Scored: {e.config.region}."
    return {
        "detection_lead": lead,
        "thresholds": [f"{t:g}" for t in e.config.distance_thresholds_m],
        "reach": f"{e.config.hota_zero_m:g}",
        "match_threshold": f"{e.config.match_threshold_m:g}",
        "sources": [{"name": n, "style": style, "numbers": _source(e, r)} for n, r, style in sources],
        "classes": [_class(e, name) for name in fused.classes],
        "bias": [
            {
                "name": name,
                "pairs": len(found.errors),
                "numbers": [
                    f"{number(m, 2)} <span class='dim'>± {number(s, 2)}</span>"
                    for m, s in zip(found.median, found.spread, strict=True)
                ],
            }
            for name, found in e.bias.items()
        ],
    }


def _source(e: Evaluation, result: DetectionResult) -> list[str]:
    by_threshold = [result.mean_ap_at(t) for t in e.config.distance_thresholds_m]
    errors = [result.mean_error(error) for error in ERRORS]
    return [number(v) for v in (result.mean_ap, *by_threshold, *errors, result.nds_without_attributes)]


def _class(e: Evaluation, name: str) -> dict[str, Any]:
    scores = e.detection["fused"].classes[name]
    singles = {s: r.classes[name].mean_ap for s, r in e.detection.items() if s != "fused" and name in r.classes}
    best = max(singles, key=lambda s: singles[s], default="")
    single = f"{singles[best]:.3f} <span class='dim'>{escape(best)}</span>" if best else "–"
    numbers = [f"<b>{scores.mean_ap:.3f}</b>", *(number(ap) for ap in scores.ap.values()), single]
    numbers += [number(scores.errors[error]) for error in ERRORS]
    return {"name": name.replace("_", " "), "labels": scores.truths, "numbers": numbers}


def tracking(e: Evaluation) -> dict[str, Any]:
    t = e.tracking
    assert t is not None
    rows = [
        {
            "name": name,
            "numbers": [
                *(number(x) for x in (a.amota, a.amotp, t.hota[name].hota, t.hota[name].deta, t.hota[name].assa)),
                *(number(x) for x in (c.mota, t.idf1[name], c.recall, c.precision)),
                c.switches,
                c.fragmentations,
                f"{c.mostly_tracked} / {c.mostly_lost}",
            ],
        }
        for name, a in t.amota.items()
        for c in [t.clear[name]]
    ]
    v = e.metrics.values
    lead = (
        f"<b>{v['tracking/objects']}</b> labelled objects. AMOTA sweeps all tracks over recall as nuScenes does; HOTA,"
        f" MOTA and IDF1 take tracks of existence {e.config.confirmed_existence:g} or more, matched within"
        f" {e.config.hota_zero_m / 2:g} m. AMOTA fills a track's holes, so gaps show only in the others."
    )
    return {"tracking": rows, "tracking_lead": lead}


def gaps(found: Sequence[Gap]) -> dict[str, Any]:
    """The table of causes and what stands above it."""
    return {"gap_kinds": [_KIND_WORDS[k] for k in KINDS], "causes": _causes(found), "gaps_lead": _gaps_lead(found)}


def _causes(gaps: Sequence[Gap]) -> list[dict[str, Any]]:
    """Object-frames lost by cause and kind, most first."""
    lost = Counter((g.cause, g.kind) for g in gaps for _ in g.moments)
    total = sum(lost.values())
    rows = []
    for cause in {cause for cause, _ in lost}:
        by_kind = [lost[cause, kind] for kind in KINDS]
        rows.append({"cause": cause, "numbers": [*by_kind, sum(by_kind)], "share": f"{100 * sum(by_kind) / total:.1f}"})
    return sorted(rows, key=lambda row: (-row["numbers"][-1], row["cause"]))


def _gaps_lead(gaps: Sequence[Gap]) -> str:
    between = [g for g in gaps if g.kind == "between"]
    if not between:
        return "No object was lost and found again."
    worst = max(between, key=lambda g: g.duration_ns)
    return (
        f"<b>{len(between)}</b> times an object was lost and found again; the longest is {worst.history.name},"
        f" {worst.duration_ns / 1e9:.1f} s at {worst.range_m:.0f} m. A sensor saw it where a detection lies within the"
        " match distance, or a tenth of the range, of the label at its own instant. Each strip shows the gap, shaded,"
        " and half a second around it: ● detection used by the track, ○ detection not used, – none, × sensor missing;"
        " hover for scores. In the pictures the lost object is in the middle, circled; markers: △ camera, + LiDAR,"
        " ◇ radar detections."
    )


def gap_card(e: Evaluation, gap: Gap, picture: str, story: str) -> dict[str, Any]:
    dropped = "; ".join(
        f"{sensor} {', '.join(f'{reason} {n}' for reason, n in reasons.items())}"
        for sensor, reasons in gap.dropped.items()
    )
    return {
        "number": gap.number,
        "name": gap.history.name,
        "seconds": f"{gap.duration_ns / 1e9:.1f}",
        "at": f"{(gap.start_ns - e.run.start_ns) / 1e9:.1f}",
        "range": f"{gap.range_m:.0f}",
        "kind": _KIND_WORDS[gap.kind],
        "verdict": gap.verdict,
        "picture": picture,
        "story": story,
        "dropped": dropped,
        "views": [
            {
                "sensor": v.sensor,
                "saw": v.saw,
                "silent": v.silent,
                "elsewhere": v.elsewhere,
                "missing": ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in v.missing.items()),
            }
            for v in gap.sensors
        ],
    }


def honesty_lead(e: Evaluation) -> str:
    u = e.uncertainty
    if u is None:
        return ""
    nll = u.nll.mean() if len(u.nll) else None
    return (
        f"The 90 % region of a track holds its labelled object in <b>{100 * u.coverage(0.9):.0f} %</b> of"
        f" {len(u.mahalanobis2)} cases, the 50 % region in {100 * u.coverage(0.5):.0f} %; on the dashed line the stated"
        f" uncertainty would be exact. Position NLL {number(nll, 2)} nats; existence is off by"
        f" {number(u.existence_ece, 3)} on average (ECE)."
    )


def weights_lead(e: Evaluation) -> str:
    rho, pairs = e.weight_correlation
    text = (
        "Share of the last update's precision by sensor: the mean over all tracks in time and by distance, then a few"
        " objects: lost and found again, with the largest change of weights, and there for longest."
    )
    if np.isfinite(rho):
        text += (
            f" Spearman correlation of a sensor's weight with how close its own detection lay: <b>{rho:+.2f}</b>"
            f" over {pairs} pairs (1 = the better sensor always weighs more)."
        )
    return text
