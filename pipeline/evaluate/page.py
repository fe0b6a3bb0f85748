"""The words and tables of the report: what each section says first, and its numbers as a person reads them.

Scores stand in `page_scores.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core.settings import to_yaml
from pipeline.evaluate import page_scores
from pipeline.evaluate.judge import Evaluation
from pipeline.evaluate.latency import percentiles
from pipeline.evaluate.page_scores import number
from pipeline.evaluate.reasons import REASONS

_BUS_LOSSES = ("overwritten", "queue_full", "malformed", "not_connected")


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
        "reasons": REASONS,
        "losses": [(s.node, what, n) for s in e.run.statuses.values() for what, n in s.losses.items() if n],
        "alignment": _alignment(e),
        "alignment_lead": _alignment_lead(e),
        "latency_lead": _latency_lead(e),
        "stages": _stages(e),
        **(page_scores.detection(e) if e.detection else {}),
        **(page_scores.tracking(e) if e.tracking else {}),
        **page_scores.gaps(e.gaps),
        "networks": e.run.info.networks,
        "graph_yaml": e.run.info.graph_yaml.strip(),
        "eval_yaml": to_yaml(e.config).strip(),
        "rig_yaml": e.run.info.rig_yaml.strip(),
    }


def _under(e: Evaluation) -> str:
    times = [f.time_ns for f in e.run.frames]
    seconds = (max(times) - min(times)) / 1e9 if times else 0.0
    graph = f"{e.metrics.graph} · " if e.metrics.graph else ""
    span = f"{len(e.run.scenes)} scenes over {seconds:.1f} s"
    faults = f" · faults injected: {', '.join(e.run.faults)}" if e.run.faults else ""
    return f"{graph}{span} · {len(e.run.sensors)} sensors · scored as {e.config.name}{faults}"


def _tiles(e: Evaluation) -> list[dict[str, str]]:
    v = e.metrics.values
    tiles = []
    if e.detection:
        best = e.best_sensor
        gain = e.detection["fused"].mean_ap - e.detection[best].mean_ap if best else float("nan")
        note = f"best single sensor, {best}: {number(v.get(f'detection/{best}/mAP'))} ({gain:+.3f})" if best else ""
        tiles.append(
            _tile(
                "mAP, fused",
                number(v.get("detection/fused/mAP")),
                "",
                note,
                "good" if gain > 0 else "bad" if gain < 0 else "",
            )
        )
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
        tiles.append(_tile("alignment residual, p50", f"{100 * residual:.2g}", "cm", note))
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
    lost = []
    for status in e.run.statuses.values():
        on_bus = {what: n for what, n in status.losses.items() if n and what.endswith(_BUS_LOSSES)}
        if on_bus:
            which = ", ".join(f"{what} {n}" for what, n in on_bus.items())
            lost.append(f"{status.node} lost {sum(on_bus.values())} messages on the bus: {which}")
    bad = [
        f"{sensor}: {n} detections could not be fused: a place or covariance that is no number, absurd or not "
        "positive, or measured over a second away"
        for sensor, n in e.run.unusable.items()
    ]
    return [*failed, *lost, *bad, *(f"Recording damaged: {what}" for what in e.run.damage)]


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
    how = "Every sensor is moved to the frame set's reference instant with the ego motion."
    if not e.run.has_poses:
        how = "<b>The drive has no ego poses:</b> nothing is moved to the frame set's reference instant."
    return (
        f"{how} Offset: how far its message lay from that instant. Left: what remains, 1-sigma, in time and as"
        f" displacement of a static object{'' if e.run.has_poses else ', unknown here'}."
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
