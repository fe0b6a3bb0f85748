"""An answer in sentences and a table, every number of it from the accounts."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fusion.account import Account, Contribution, Told
from pipeline.evaluate.reasons import REASONS
from pipeline.why.answer import Answer
from pipeline.why.place import Nothing
from pipeline.why.story import NETWORK, Blame, Loss

_REJECTED = {
    "gate": "outside the gate",
    "clutter": "chance explains it better",
    "other_track": "another track took it",
    "seat_taken": "another detection of the sensor fits better",
    "duplicate": "repeats another detection of the sensor",
    "unusable": "has no finite position or no positive covariance",
}
_ENDINGS = {
    "doubted": "it was no longer believed to be there",
    "unseen_too_long": "no sensor had seen it for too long",
    "repeats_another": "it only repeated another track",
    "surplus": "there were more tracks than are kept",
    "time_jump": "a gap in time, or a new epoch of the ego poses, ended all tracks",
}


def told(a: Answer) -> str:
    """The whole answer, for a terminal."""
    first, last = a.life[0], a.life[-1]
    lines = [
        f"track {a.track_id}, {a.moment.class_name}: {_s(a, first.time_ns)} to {_s(a, last.time_ns)},"
        f" {len(a.life)} frame sets, {min(x.range_m for x in a.life):.0f}–{max(x.range_m for x in a.life):.0f} m away"
    ]
    if a.differs_at >= 0:
        lines.append(
            f"NOT AS RECORDED: repeated, the run's scenes differ from {a.differs_at} on (other weights, other code,"
            " or a tracker that was started anew); what follows is what the repetition thinks"
        )
    lines += ["", *_beginning(a), *(line for loss in a.losses for line in _loss(a, loss)), *_end(a)]
    lines += ["", f"over its life  {'weight':>6}  {'evidence':>8}  what it did, in frame sets"]
    for s in a.sensors:
        faults = "".join(f"; said to be {what} {_s(a, one)[:-2]}–{_s(a, two)}" for what, one, two in s.faults)
        did = ", ".join(f"{what} {n}" for what, n in s.did.items())
        lines.append(f"  {s.sensor:<13}{s.weight:6.2f}  {s.evidence:+8.2f}  {did}{faults}")
    return "\n".join([*lines, "", *moment(a, a.moment)])


def moment(a: Answer, account: Account) -> Iterator[str]:
    """One frame set: the sum that existence is, and what each sensor did."""
    odds = account.carried + account.opinion + sum(c.evidence for c in account.contributions)
    parts = [f"{account.carried:+.2f} carried on"]
    parts += [f"{c.evidence:+.2f} {c.sensor}" for c in account.contributions if abs(c.evidence) >= 0.005]
    if abs(account.opinion) >= 0.005:
        parts.append(f"{account.opinion:+.2f} the network's own opinion")
    yield (
        f"at {_s(a, account.time_ns)} (frame set {account.index}), {account.range_m:.1f} m away: existence"
        f" {account.existence:.2f}, position ± {account.sigma_m:.2f} m"
    )
    yield f"  log-odds {odds:+.2f} = {' '.join(parts)}"
    for c in account.contributions:
        ails = f"; said to be {c.fault} (healthy {c.health:.2f})" if c.fault else ""
        yield f"  {c.sensor:<13}{c.weight:6.2f}  {c.evidence + 0.0:+8.2f}  {contribution(c)}{ails}"


def contribution(c: Contribution) -> str:
    """What one sensor did, in a clause."""
    if c.what == "used" and c.detection is not None:
        return f"used: {_used(c.detection)}"
    if c.what == "rejected":
        why = _REJECTED[c.reason]
        return f"rejected: {why}" + (f": {_rejected(c.detection, c.reason)}" if c.detection is not None else "")
    if c.what == "missing":
        return f"missing: {c.reason}" + (f": {REASONS[c.reason]}" if c.reason in REASONS else "")
    if c.what == "out_of_view":
        return "out of its field of view"
    if c.what == "hidden":
        return f"nothing seen; a nearer object stands before it (would have been seen with {c.chance:.2f})"
    if c.what == "silent":
        return f"nothing seen, though it would have been with {c.chance:.2f}"
    return "not fused by this graph"


def nothing(n: Nothing) -> str:
    """Where no track was."""
    x, y = n.place
    lines = [
        f"no track came within {n.reach_m:g} m of x {x:.1f}, y {y:.1f} m (odom) around {n.time_s:.2f} s;"
        f" a track begins with a detection of score {n.birth_score:g} or more that no other track takes"
    ]
    for h in n.heard:
        if h.missing:
            what = f"missing: {h.missing}"
        else:
            what = f"{h.detections} detections near it, best score {h.score:.2f}" if h.detections else "nothing there"
        lines.append(f"  {h.sensor:<13}{what}")
    return "\n".join(lines)


def _beginning(a: Answer) -> Iterator[str]:
    first = a.life[0]
    founders = [f"{c.sensor} ({c.detection.class_name}, score {c.detection.score:.2f})"
                for c in first.contributions if c.what == "used" and c.detection is not None]  # fmt: skip
    yield f"{_s(a, first.time_ns)}  begun by {' and '.join(founders)}"
    if a.before is not None:
        b = a.before
        yield f"         track {b.track_id} ({b.class_name}) ended {b.gap_s:.1f} s before, {b.distance_m:.1f} m away"
    sure = next((x for x in a.life if x.existence >= a.confirmed), None)
    if sure is None:
        yield f"         never confirmed: its existence stayed below {a.confirmed:g}"
    elif sure is not first:
        yield f"{_s(a, sure.time_ns)}  confirmed: existence {sure.existence:.2f}"


def _loss(a: Answer, loss: Loss) -> Iterator[str]:
    back = f", confirmed again at {_s(a, loss.end_ns)}" if loss.end_ns >= 0 else ", not confirmed again"
    if not loss.blames and loss.low >= a.confirmed:
        return  # the end says it
    seconds = ((loss.end_ns if loss.end_ns >= 0 else a.life[-1].time_ns) - loss.start_ns) / 1e9
    yield (
        f"{_s(a, loss.start_ns)}  LOST for {seconds:.1f} s ({loss.frames} frame sets): existence {loss.high:.2f} fell"
        f" from {_s(a, loss.falls_ns)} on to {loss.low:.2f}{back}"
    )
    for blame in loss.blames:
        yield f"         {_blame(blame)}"
    for sensor, reasons in loss.dropped.items():
        yield f"         ledger: {sensor} lost {', '.join(f'{n} {why}' for why, n in reasons.items())}"


def _blame(b: Blame) -> str:
    if b.sensor == NETWORK:
        return f"the network's own opinion: log-odds {b.before:+.2f} before, {b.during:+.2f} in the fall"
    what = ", ".join(f"{did} in {n}" for did, n in b.what.items())
    scores = ""
    if "used" in b.what and not any(map(math.isnan, b.scores)):
        scores = f", its score {b.scores[0]:.2f} before, {b.scores[1]:.2f} then"
    return (
        f"{b.sensor}: brought {b.before:+.2f} a frame set before, {b.during:+.2f} in the fall ({what}{scores});"
        f" as before, existence would have stayed at about {b.kept:.2f} or above"
    )


def _end(a: Answer) -> Iterator[str]:
    last = a.life[-1]
    if last.ending:
        into = f", {a.merged_into}" if a.merged_into else ""
        yield f"{_s(a, last.time_ns)}  ended: {_ENDINGS[last.ending]}{into} (existence {last.existence:.2f})"
    if a.after is not None and last.ending:
        b = a.after
        yield f"         track {b.track_id} ({b.class_name}) began {b.gap_s:.1f} s later, {b.distance_m:.1f} m away"


def _used(d: Told) -> str:
    stated, believed = d.stated_sigma_m, d.believed_sigma_m
    words = f"{d.class_name} {d.score:.2f}, {d.distance_m:.1f} m from where it was expected ({d.sigmas:.1f} sigma)"
    words += f"; stated ± {stated[0]:.2f} m along, {stated[1]:.2f} across"
    if max(abs(math.log(b / s)) for b, s in zip(believed, stated, strict=True)) > 0.05:
        words += f", believed ± {believed[0]:.2f}, {believed[1]:.2f}"
    if max(map(abs, d.bias_m)) > 0.05:
        words += f", taken to be {d.bias_m[0]:+.2f} m along and {d.bias_m[1]:+.2f} m across off"
    return words


def _rejected(d: Told, reason: str) -> str:
    words = f"{d.class_name} {d.score:.2f}, {d.distance_m:.1f} m off, {d.sigmas:.1f} sigma"
    if reason == "other_track":
        return f"{words}; it went to track {d.other}"
    if reason == "clutter":
        return f"{words}, log likelihood ratio {d.gain:+.1f}, of which the classes {d.agreement:+.1f}"
    return words


def _s(a: Answer, time_ns: int) -> str:
    return f"{(time_ns - a.start_ns) / 1e9:.2f} s"
