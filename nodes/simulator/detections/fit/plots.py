"""Fitted against real, on one page. The upper rows are what was fitted; the lowest is a check: depth errors of cameras
are not fitted but follow from boxes that go through the detector's own lifting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from scipy.stats import t as student

from calibration.rig import CameraSensor
from nodes.simulator.detections import camera
from nodes.simulator.detections.columns import Drawn
from nodes.simulator.detections.fit.estimate import BOX_ERRORS, camera_covariate, polar_error, score_logit
from nodes.simulator.detections.fit.observe import Observed, Table
from nodes.simulator.detections.fit.statistics import rows
from nodes.simulator.detections.looks import Looks
from nodes.simulator.detections.model import GROUP_OF_CLASS, DetectionModel, Ghosts, Hits, Spread, StudentT

mpl.use("Agg")
from matplotlib import pyplot as plt

FloatArray = npt.NDArray[np.float64]

_REAL, _FITTED = "#888888", "#c8442b"


def plot(
    model: DetectionModel, cameras: Sequence[Observed], lidars: Sequence[Observed], radar: Observed, path: Path
) -> None:
    """Draw the page."""
    figure, axes = plt.subplots(5, 4, figsize=(17, 19), layout="constrained")
    looks = {
        "camera": _all([o.looks for o in cameras]),
        "LiDAR": _all([o.looks for o in lidars]),
        "radar": radar.looks,
    }
    covariates: dict[str, tuple[FloatArray, str, Callable[[float], Any]]] = {
        "camera": (camera_covariate(cameras), "resolved height, px", np.exp),
        "LiDAR": (np.log1p(looks["LiDAR"]["returns"]), "LiDAR returns", np.expm1),
        "radar": (looks["radar"]["distance"], "range, m", float),
    }
    hits = {"camera": model.camera.hits, "LiDAR": model.lidar.hits, "radar": model.radar.hits}
    for axis, (kind, (values, label, back)) in zip(axes[0], covariates.items(), strict=False):
        _detection(axis, kind, looks[kind], values, label, back, hits[kind])
    lines = {"camera": (cameras, model.camera.ghosts), "LiDAR": (lidars[:1], model.lidar.ghosts),
             "radar": ([radar], model.radar.ghosts)}  # fmt: skip
    for colour, (kind, (observed, ghosts)) in zip(("C0", "C1", "C2"), lines.items(), strict=True):
        _ghosts(axes[0][3], kind, observed, ghosts, colour)

    found = {kind: rows(table, table["hit"] > 0) for kind, table in looks.items()}
    whole = {kind: rows(table, table["visible"] > 0.7) for kind, table in found.items()}
    for row, kind, part in ((1, "LiDAR", model.lidar), (2, "radar", model.radar)):
        away, across = polar_error(whole[kind])
        _errors(axes[row][0], f"{kind}: error away / stated", away, part.away.whole)
        _errors(axes[row][1], f"{kind}: error across / stated", across, part.across.whole)
    _errors(axes[1][2], "LiDAR: height error, m", whole["LiDAR"]["d_position"][:, 2] - whole["LiDAR"]["centre"][:, 2],
            model.lidar.up.whole)  # fmt: skip
    cars = rows(found["LiDAR"], found["LiDAR"]["class_id"] == 0)
    _spread(axes[1][3], "LiDAR: score of cars found, logit", score_logit(cars["d_score"]), model.lidar.score["car"])
    moving = np.abs(found["radar"]["d_radial_speed"]) > np.maximum(0.7, 3 * found["radar"]["d_radial_sigma"])
    logit = score_logit(found["radar"]["d_score"])
    _spread(axes[2][2], "radar: score of what moves, logit", logit[moving], model.radar.score_moving)
    _spread(axes[2][3], "radar: score of false alarms, logit", score_logit(radar.false["score"]),
            model.radar.ghosts.score)  # fmt: skip
    fits = (model.camera.sideways, model.camera.bottom, model.camera.height, model.camera.width)
    for axis, (name, error), fit in zip(axes[3], BOX_ERRORS.items(), fits, strict=True):
        _errors(axis, f"camera: {name} of the box / height" if name in ("sideways", "bottom") else
                f"camera: log {name} over true", error(whole["camera"]), fit.whole)  # fmt: skip
    _check_depth(axes[4], model, cameras)
    figure.suptitle(f"Detection errors: real (grey) and fitted (red). {model.source}", fontsize=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _detection(
    axis: Axes, kind: str, looks: Table, values: FloatArray, label: str, back: Callable[[float], Any], hits: Hits
) -> None:
    probability = hits.probability(
        values, 1 - looks["visible"], (looks["gap"] < 1).astype(float), GROUP_OF_CLASS[looks["class_id"].astype(int)]
    )
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 11)))
    cell = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    x, real, fitted, n = ([], [], [], [])
    for number in range(len(edges) - 1):
        of = cell == number
        if of.sum() >= 5:
            x.append(float(back(np.median(values[of]))))
            real.append(looks["hit"][of].mean())
            fitted.append(probability[of].mean())
            objects = max(len(np.unique(looks["identity"][of])), 1)
            n.append(np.sqrt(max(real[-1] * (1 - real[-1]), 0.02) / objects))
    axis.errorbar(x, real, yerr=n, fmt="o", color=_REAL, capsize=2)
    axis.plot(x, fitted, "-", color=_FITTED)
    axis.set(title=f"{kind}: found, n = {hits.n} of {hits.objects} objects", xlabel=label, ylim=(0, 1.05))
    if kind != "radar":
        axis.set_xscale("log" if kind == "camera" else "symlog")
        axis.set_xticks([20, 50, 100, 200, 400] if kind == "camera" else [0, 1, 10, 100, 1000])
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()


def _ghosts(axis: Axes, kind: str, observed: Sequence[Observed], ghosts: Ghosts, colour: str) -> None:
    edges = np.linspace(0, 100, 11)
    count, area = np.zeros(10), np.zeros(10)
    for o in observed:
        away = (o.false["position"] - o.false["origin"])[:, :2]
        count += np.histogram(np.hypot(*away.T), edges)[0]
        area += o.messages * 0.5 * o.sector * np.diff(edges**2)
    axis.plot(
        0.5 * (edges[1:] + edges[:-1]),
        np.maximum(count / area, 1e-5),
        "o",
        color=colour,
        label=f"{kind}, n = {ghosts.n}",
    )
    x = np.arange(101.0)
    axis.plot(x, np.interp(x, ghosts.range_m, ghosts.per_m2), "-", color=colour)
    axis.set(title="false alarms per message and m²", xlabel="range, m", yscale="log")
    axis.legend(fontsize=8)


def _errors(axis: Axes, title: str, values: FloatArray, fit: StudentT) -> None:
    low, high = np.quantile(values, [0.01, 0.99]) if len(values) else (-1.0, 1.0)
    bins = np.linspace(low, high, 40).tolist()
    axis.hist(np.clip(values, low, high), bins, density=True, color=_REAL)
    x = np.linspace(low, high, 300)
    axis.plot(x, student.pdf(x, fit.dof, fit.loc, fit.scale), color=_FITTED)
    axis.set_title(f"{title}\nn = {fit.n} of {fit.objects} objects, rho {fit.rho:.2f}, dof {fit.dof:.1f}", fontsize=10)


def _spread(axis: Axes, title: str, values: FloatArray, fit: Spread) -> None:
    bins = np.linspace(values.min(), values.max(), 40).tolist()
    whole = fit.of(np.random.default_rng(0).standard_normal(20_000),
                   np.random.default_rng(1).normal(fit.mean, fit.sigma, 20_000))  # fmt: skip
    axis.hist(values, bins, density=True, color=_REAL)
    axis.hist(whole, bins, density=True, histtype="step", color=_FITTED)
    axis.set_title(f"{title}\nn = {fit.n}, rho {fit.rho:.2f}, follows its covariate by {fit.slope:.2f}", fontsize=10)


def _check_depth(axes: Sequence[Axes], model: DetectionModel, cameras: Sequence[Observed]) -> None:
    """Depth and sideways errors that come out of drawn boxes after lifting, against the real ones of the same looks."""
    real: list[FloatArray] = []
    drawn: list[FloatArray] = []
    for o in cameras:
        assert isinstance(o.sensor, CameraSensor)
        seen = rows(o.looks, o.looks["hit"] > 0)
        real.append(_of_sight(seen["d_position"], seen))
        drawn.append(_redrawn(model, seen, o.sensor))
    titles = ("depth: log of stated over true range", "sideways, m", "depth error / stated", "sideways error / stated")
    for column, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        a, b = np.concatenate(real)[:, column], np.concatenate(drawn)[:, column]
        low, high = np.nanquantile(a, [0.01, 0.99])
        bins = np.linspace(low, high, 40).tolist()
        axis.hist(np.clip(a, low, high), bins, density=True, color=_REAL)
        axis.hist(np.clip(b, low, high), bins, density=True, histtype="step", color=_FITTED)
        q, r = (np.nanquantile(v, [0.05, 0.5, 0.95]) for v in (a, b))
        axis.set_title(f"check, camera {title}\n5/50/95 %: real {q.round(2)}, drawn {r.round(2)}", fontsize=9)


def _redrawn(model: DetectionModel, seen: Table, sensor: CameraSensor) -> FloatArray:
    rng = np.random.default_rng(0)
    order = np.lexsort((seen["message"], seen["identity"]))
    seen = {name: column[order] for name, column in seen.items()}
    n = len(order)
    frame = seen["message"].astype(np.int64)
    looks = Looks(
        frame=frame, key=seen["identity"].astype(np.int64), object_id=np.arange(n), cause=np.zeros(n, np.uint8),
        centre=seen["centre"],
        yaw=seen["yaw"], size=seen["size"], velocity=np.zeros((n, 2)),
        group=GROUP_OF_CLASS[seen["class_id"].astype(int)], said=np.full(n, -1), distance=seen["distance"],
        azimuth=seen["azimuth"], visible=seen["visible"], sr=seen["sr"], crowded=np.zeros(n),
    )  # fmt: skip
    pitch = rng.standard_normal(int(frame.max()) + 1)
    boxes = camera.describe(model.camera, looks, seen["box2d"], sensor, np.zeros(n), "object", pitch, rng)
    found: Drawn = camera.lifted(boxes, sensor)
    of = found.columns["object_id"].astype(np.int64)
    again = {name: seen[name][of] for name in ("centre", "origin", "distance")}
    again["d_position_cov"] = found.columns["position_cov"].astype(np.float64)
    return _of_sight(found.columns["position"].astype(np.float64), again)


def _of_sight(position: FloatArray, seen: Table) -> FloatArray:
    """(N, 4): log range ratio, sideways error in m, both errors over the stated 1-sigma."""
    away = (seen["centre"] - seen["origin"])[:, :2]
    unit = away / np.linalg.norm(away, axis=1)[:, None]
    left = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    error = (position - seen["centre"])[:, :2]
    cov = seen["d_position_cov"][:, :2, :2]
    sigma = [np.sqrt(np.einsum("ni,nij,nj->n", u, cov, u)) for u in (unit, left)]
    depth, side = (error * unit).sum(axis=1), (error * left).sum(axis=1)
    ratio = np.log(np.maximum(seen["distance"] + depth, 0.5) / seen["distance"])
    return np.stack([ratio, side, depth / sigma[0], side / sigma[1]], axis=1)


def _all(tables: list[Table]) -> Table:
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
