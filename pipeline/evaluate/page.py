"""The words and tables of the report: what each section says first, and its numbers as a person reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import escape

from pipeline.core.settings import to_yaml
from pipeline.evaluate.detection import ERRORS, DetectionResult
from pipeline.evaluate.gaps import KINDS, Gap
from pipeline.evaluate.judge import Evaluation
from pipeline.evaluate.latency import percentiles

_BUS_LOSSES = ("overwritten", "queue_full", "malformed", "not_connected")
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


def tables(e: Evaluation) -> dict[str, Any]:
    """Everything of the page that is text or a number."""
    return {
        "e": e,
        "title": e.run.info.drive.rstrip("/").rpartition("/")[2] or e.run.source,
        "under": _under(e),
        "tiles": _tiles(e),
        "alerts": [*e.ledger.problems, *_alerts(e)],
        "ledger": _ledger(e),
        "ledger_lead": _ledger_lead(e),
        "losses": [(s.node, what, n) for s in e.run.statuses.values() for what, n in s.losses.items() if n],
        "alignment": _alignment(e),
        "alignment_lead": _alignment_lead(e),
        "latency_lead": _latency_lead(e),
        "stages": _stages(e),
        **(_detection(e) if e.detection else {}),
        **(_tracking(e) if e.tracking else {}),
        "gap_kinds": [_KIND_WORDS[k] for k in KINDS],
        "causes": _causes(e.gaps),
        "gaps_lead": _gaps_lead(e.gaps),
        "graph_yaml": e.run.info.graph_yaml.strip(),
        "eval_yaml": to_yaml(e.config).strip(),
        "rig_yaml": e.run.info.rig_yaml.strip(),
    }


def gap_card(e: Evaluation, gap: Gap, picture: str) -> dict[str, Any]:
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
    return (
        f"The 90 % region of a track holds its labelled object in <b>{100 * u.coverage(0.9):.0f} %</b> of"
        f" {len(u.mahalanobis2)} cases, the 50 % region in {100 * u.coverage(0.5):.0f} %; on the dashed line the stated"
        f" uncertainty would be exact. Position NLL {number(_mean(u.nll), 2)} nats; existence is off by"
        f" {number(u.existence_ece, 3)} on average (ECE)."
    )


def weights_lead(e: Evaluation) -> str:
    rho, pairs = e.weight_correlation
    text = (
        "Share of the last update's precision by sensor: the mean over all tracks, then the tracks that lived longest."
    )
    if np.isfinite(rho):
        text += (
            f" Spearman correlation of a sensor's weight with how close its own detection lay: <b>{rho:+.2f}</b>"
            f" over {pairs} pairs (1 = the better sensor always weighs more)."
        )
    return text


def _under(e: Evaluation) -> str:
    times = [f.time_ns for f in e.run.frames]
    seconds = (max(times) - min(times)) / 1e9 if times else 0.0
    graph = f"{e.metrics.graph} · " if e.metrics.graph else ""
    span = f"{len(e.run.scenes)} scenes over {seconds:.1f} s"
    return f"{graph}{span} · {len(e.run.sensors)} sensors · scored as {e.config.name}"


def _tiles(e: Evaluation) -> list[dict[str, str]]:
    v = e.metrics.values
    tiles = []
    if e.detection:
        best = e.best_sensor
        gain = e.detection["fused"].mean_ap - e.detection[best].mean_ap if best else float("nan")
        note = f"best single sensor, {best}: {number(v.get(f'detection/{best}/mAP'))} ({gain:+.3f})" if best else ""
        tiles.append(_tile("mAP, fused", number(v.get("detection/fused/mAP")), "", note, "good" if gain > 0 else ""))
    if e.tracking:
        note = (
            f"HOTA {number(v['tracking/HOTA'])} · IDF1 {number(v['tracking/IDF1'])} · {v['tracking/switches']} switches"
        )
        tiles.append(_tile("AMOTA", number(v["tracking/AMOTA"]), "", note))
    if e.streaming:
        note = f"{number(v.get('streaming/held/mAP'))} where tracks are not moved to the label's instant"
        tiles.append(_tile("streaming mAP", number(v.get("streaming/predicted/mAP")), "", note))
    if e.latency.scenes:
        note = f"p99 {number(v['latency/sensor_to_scene_ms_p99'], 0)} ms · {e.latency.basis}"
        tiles.append(_tile("sensor to scene, p50", number(v["latency/sensor_to_scene_ms_p50"], 0), "ms", note))
    if e.tracking:
        between = [g for g in e.gaps if g.kind == "between"]
        longest = max(between, key=lambda g: g.duration_ns, default=None)
        note = f"longest {longest.duration_ns / 1e9:.1f} s, {longest.history.name}" if longest else "no object vanished"
        tiles.append(_tile("lost and found again", str(len(between)), "times", note))
    residual, worst = (v.get(f"alignment/residual_m_{p}") for p in ("p50", "p99"))
    if isinstance(residual, float) and isinstance(worst, float):
        note = f"p99 {100 * worst:.1f} cm, 1-sigma, after compensation"
        tiles.append(_tile("alignment residual, p50", f"{100 * residual:.1f}", "cm", note))
    if e.uncertainty is not None and len(e.uncertainty.mahalanobis2):
        note = f"50 % region: {100 * e.uncertainty.coverage(0.5):.0f} % · ECE {number(e.uncertainty.existence_ece)}"
        tiles.append(_tile("in the 90 % region", f"{100 * e.uncertainty.coverage(0.9):.0f}", "%", note))
    received, dropped = sum(r.received for r in e.ledger.rows), sum(sum(r.dropped.values()) for r in e.ledger.rows)
    note = f"{received} messages received, {dropped} dropped with a reason"
    mood = "good" if e.ledger.balanced else "bad"
    tiles.append(_tile("ledger", "balanced" if e.ledger.balanced else "NOT BALANCED", "", note, mood))
    return tiles


def _tile(what: str, value: str, unit: str, note: str, mood: str = "") -> dict[str, str]:
    return {"what": what, "value": value, "unit": unit, "note": note, "mood": mood}


def _alerts(e: Evaluation) -> list[str]:
    failed = [f"{s.node}: {s.failed} failed steps; last: {s.last_error}" for s in e.run.statuses.values() if s.failed]
    lost = [
        f"{s.node} lost {n} messages on the bus: {what}"
        for s in e.run.statuses.values()
        for what, n in s.losses.items()
        if n and what.endswith(_BUS_LOSSES)
    ]
    return [*failed, *lost, *(f"Recording damaged: {what}" for what in e.run.damage)]


def _ledger(e: Evaluation) -> list[dict[str, Any]]:
    rows = []
    for row in e.ledger.rows:
        dropped, total = sum(row.dropped.values()), max(1, row.received)
        sent = e.ledger.sent.get(row.sensor, -1)
        rows.append(
            {
                "sensor": row.sensor,
                "sent": sent if sent >= 0 else "–",
                "received": row.received,
                "fused": row.fused,
                "in_flight": row.in_flight,
                "dropped": dropped,
                "why": sorted(row.dropped.items(), key=lambda item: -item[1]),
                "fused_share": f"{100 * row.fused / total:.1f}",
                "dropped_share": f"{100 * dropped / total:.1f}",
            }
        )
    return rows


def _ledger_lead(e: Evaluation) -> str:
    if not e.ledger.rows:
        return "No ledger was recorded."
    received, fused = sum(r.received for r in e.ledger.rows), sum(r.fused for r in e.ledger.rows)
    dropped, flying = sum(sum(r.dropped.values()) for r in e.ledger.rows), sum(r.in_flight for r in e.ledger.rows)
    verdict = "The books balance." if e.ledger.balanced else "<b class='bad'>The books do not balance.</b>"
    return (
        f"<b>{received}</b> messages received = <b>{fused}</b> fused + <b>{dropped}</b> dropped + <b>{flying}</b> in"
        f" flight. {verdict}"
    )


def _alignment(e: Evaluation) -> list[dict[str, Any]]:
    rows = []
    for s in e.alignment:
        offset, left, place = percentiles(s.offset_ms), percentiles(s.residual_ms), percentiles(s.residual_m * 100)
        numbers = [number(offset["p50"], 2), number(percentiles(np.abs(s.offset_ms))["p99"], 2)]
        numbers += [number(left["p50"], 3), number(left["p99"], 3)]
        numbers += [number(place[p], 2) for p in ("p50", "p99", "max")]
        rows.append({"sensor": s.sensor, "taken": s.taken, "reasons": list(s.reasons.items()), "numbers": numbers})
    return rows


def _alignment_lead(e: Evaluation) -> str:
    missing = sum(len(s.missing) - s.taken for s in e.alignment)
    slots = sum(len(s.missing) for s in e.alignment)
    return (
        "Every sensor is moved to the frame set's reference instant with the ego motion. Offset: how far its message"
        " lay from that instant. Left: what remains, 1-sigma, in time and as displacement of a static object."
        f" <b>{missing}</b> of {slots} slots are empty."
    )


def _latency_lead(e: Evaluation) -> str:
    if not e.latency.scenes:
        return "No timing of scenes was recorded."
    total, age = (percentiles([getattr(s, f) for s in e.latency.scenes]) for f in ("from_arrival_ms", "age_ms"))
    return (
        f"From the last sensor message to the scene: <b>{total['p50']:.0f} ms</b> median, {total['p99']:.0f} ms p99,"
        f" {total['max']:.0f} ms at worst. When it is out, a scene is {age['p50']:.0f} ms old (p99 {age['p99']:.0f})."
        f" Basis: {e.latency.basis}."
    )


def _stages(e: Evaluation) -> list[dict[str, Any]]:
    rows = []
    for stage in e.latency.stages:
        step, wait = percentiles(stage.step_ms), percentiles(stage.wait_ms)
        numbers = [number(step[p], 2) for p in ("p50", "p90", "p99", "max")]
        numbers += [number(wait[p], 2) for p in ("p50", "p99")] if e.latency.paced else []
        status = e.run.statuses.get(stage.node)
        rows.append(
            {
                "node": stage.node,
                "steps": len(stage.step_ms),
                "numbers": numbers,
                "failed": status.failed if status else 0,
                "cpu": f"{status.cpu_s:.1f}" if status else "–",
                "memory": f"{status.rss_bytes / 1e6:.0f}" if status else "–",
            }
        )
    return rows


def _detection(e: Evaluation) -> dict[str, Any]:
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


def _tracking(e: Evaluation) -> dict[str, Any]:
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
        " match distance, or a tenth of the range, of the label at its own instant."
        " In the pictures the lost object is in the middle; markers: △ camera, + LiDAR, ◇ radar detections."
    )


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
