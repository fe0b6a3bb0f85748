"""What weather and lens faults cost per message, on one core, beside decoding and encoding the image as JPEG."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from nodes.simulator.world.environment import Weather
from nodes.sources.faults.images import IMAGE_FAULTS, Shot
from nodes.sources.faults.table import kind_named
from nodes.weather.camera import weathered_image
from nodes.weather.lidar import weathered_sweep
from pipeline.core.messages import POINT

REPEATS = 25
WEATHER = {
    "fog, 100 m": Weather(visibility_m=100.0),
    "rain, 25 mm/h": Weather(rain_mm_h=25.0),
    "snow, 2.5 mm/h": Weather(snow_mm_h=2.5),
}


def run() -> list[dict[str, Any]]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [*_images(640, 360, lens=True), *_images(1920, 1080, lens=False), *_sweeps()]
    finally:
        cv2.setNumThreads(threads)


def _images(width: int, height: int, lens: bool) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 20, width // 20, 3), dtype=np.uint8)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    depth = cv2.resize(rng.uniform(2.0, 300.0, (18, 32)).astype(np.float32), (width, height))
    file = cv2.imencode(".jpg", image)[1]
    jpeg_ms = _median_ms(lambda: cv2.imencode(".jpg", cv2.imdecode(file, cv2.IMREAD_COLOR)))
    rows = [
        _row(f"{name}, {width}x{height}", _median_ms(lambda w=w: weathered_image(image, depth, w, rng)), jpeg_ms)
        for name, w in WEATHER.items()
    ]
    if lens:
        shot = Shot(lambda: depth, 0.6 * width, 0, lambda which: np.random.default_rng(which))
        for name in ("dark", "glare", "dirt", "drops", "blur"):
            kind = kind_named(name)
            assert kind is not None
            cost = _median_ms(lambda f=IMAGE_FAULTS[name], a=kind.amounts[1]: f(image, a, shot, rng))
            rows.append(_row(f"{name}:2, {width}x{height}", cost, jpeg_ms))
    return rows


def _sweeps() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    points = np.zeros(167_000, POINT)
    points["x"], points["y"], points["z"] = rng.normal(0.0, 30.0, (3, len(points)))
    points["intensity"] = rng.uniform(0.0, 0.8, len(points))
    return [
        _row(f"{name}, 167k points", _median_ms(lambda w=w: weathered_sweep(points, w, 200.0, rng)), None)
        for name, w in WEATHER.items()
    ]


def _median_ms(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e3


def _row(name: str, value: float, limit: float | None) -> dict[str, Any]:
    ratio = None if limit is None else value / limit
    limit_name = None if limit is None else "JPEG decoded and encoded"
    return {"name": name, "value": value, "unit": "ms", "limit": limit, "ratio": ratio, "limit_name": limit_name}
