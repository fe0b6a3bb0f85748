"""Clock models: cost of an update, and how exact they are and say they are, simulated.

    python -m benchmarks clock

5 ms one-sided jitter of several distributions, 50 ppm drift, 20 ms offset, no hardware. Errors are those of the
corrected stamps of runs of their own, taken between 10 and 40 s after the start; "at 10 s" is right then. The gamma
distribution has no density at its smallest value, as a sum of two delays has none: its smallest excess cannot be told
from a larger minimum delay, and `min_delay_sigma_ns` is where a user says so.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from calibration.rig import Clock
from pipeline.sync.clock_model import ClockSettings, Reading, SensorClock
from pipeline.sync.envelope import Envelope, EnvelopeSettings
from pipeline.sync.trigger import TriggerMatcher, TriggerSettings

MS = 1_000_000
SECOND = 1_000_000_000
OFFSET, SKEW, JITTER = 20 * MS, 50e-6, 5e-3
AT = (10.0, 11.3, 13.7, 15.2, 18.1, 22.4, 26.9, 29.8, 30.6, 35.3, 39.9)
RUNS = {10.0: 400, 30.0: 150, 100.0: 50}


def excess(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """Delay beyond the smallest, seconds."""
    if kind == "exponential":
        return rng.exponential(JITTER, count)
    if kind == "uniform":
        return rng.uniform(0, JITTER, count)
    if kind == "half-normal":
        return np.abs(rng.normal(0, JITTER, count))
    return rng.gamma(2.0, JITTER / 2, count)


def simulated(kind: str, rate: float, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Error and stated sigma, ns, each (runs, len(AT))."""
    wrong, sigma = [], []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        stamps = ((np.arange(int(AT[-1] * rate) + 2) + rng.uniform()) / rate * 1e9).astype(np.int64)
        arrivals = stamps + (OFFSET + SKEW * stamps + excess(kind, rng, len(stamps)) * 1e9).astype(np.int64)
        envelope, due = Envelope(EnvelopeSettings()), list(AT)
        for stamp, arrival in zip(stamps.tolist(), arrivals.tolist(), strict=True):
            envelope.add(stamp, arrival)
            if due and stamp >= due[0] * SECOND:
                due.pop(0)
                estimate = envelope.at(stamp)
                wrong.append(estimate.offset_ns - OFFSET - SKEW * stamp)
                sigma.append(estimate.sigma_ns)
    shape = (runs, len(AT))
    return np.array(wrong).reshape(shape), np.array(sigma).reshape(shape)


def update_us(count: int = 6_000, rate: float = 100.0) -> tuple[float, float]:
    """Microseconds per message: envelope with its estimate, whole clock model."""
    rng = np.random.default_rng(0)
    stamps = (np.arange(count) / rate * 1e9).astype(np.int64)
    arrivals = (stamps + OFFSET + SKEW * stamps + rng.exponential(JITTER, count) * 1e9).astype(np.int64).tolist()
    pairs = list(zip(stamps.tolist(), arrivals, strict=True))

    def envelope() -> None:
        it = Envelope(EnvelopeSettings())
        for stamp, arrival in pairs:
            it.add(stamp, arrival)
            it.at(stamp)

    def model() -> None:
        it = SensorClock(Clock(discipline="free"), ClockSettings())
        for stamp, arrival in pairs:
            it.take(Reading(stamp, arrival))

    out = []
    for what in (envelope, model):
        taken = []
        for _ in range(5):
            start = time.process_time()
            what()
            taken.append(time.process_time() - start)
        out.append(statistics.median(taken) / count * 1e6)
    return out[0], out[1]


def trigger_error_ns(count: int = 3_000) -> float:
    """Largest error with pulses known to 0.2 us, 1 % of them not reported, 1 % not answered, 5 % of the frames lost."""
    rng = np.random.default_rng(0)
    it = TriggerMatcher(TriggerSettings(period_ns=100 * MS, counter_bits=8))
    counter, worst = 250, 0.0
    for n in range(count):
        pulse = n * 100 * MS
        reported, answered, arrived = rng.random(3) < (0.99, 0.99, 0.95)
        if reported:
            it.pulse(pulse + round(rng.normal(0, 200)))
        if answered:
            counter += 1
            if arrived:
                found = it.match(
                    counter % 256, round(pulse * (1 + SKEW)), pulse + 30 * MS + int(rng.exponential(5 * MS))
                )
                worst = max(worst, abs(found.time_ns - pulse)) if found else worst
    return worst


def row(name: str, value: float, unit: str, limit: float | None = None, limit_name: str = "") -> dict[str, Any]:
    ratio = value / limit if limit else None
    return {"name": name, "value": value, "unit": unit, "limit": limit, "limit_name": limit_name, "ratio": ratio}


def run() -> list[dict[str, Any]]:
    envelope, model = update_us()
    rows = [
        row("envelope, add and estimate", envelope, "us"),
        row("clock model, one message", model, "us", 10_000.0, "period at 100 Hz"),
        row("trigger matching, worst error", trigger_error_ns() * 1e-3, "us", 1.0, "target: at most"),
    ]
    for rate, runs in RUNS.items():
        for kind in ("exponential", "uniform", "half-normal", "gamma, no density at 0"):
            wrong, sigma = simulated(kind, rate, runs)
            late = np.abs(wrong) * 1e-3
            name = f"{kind}, {rate:.0f} Hz"
            rows += [
                row(f"{name}: error p50", float(np.median(late)), "us", 100.0, "target: at most"),
                row(f"{name}: error p99", float(np.quantile(late, 0.99)), "us", 500.0, "target: at most"),
                row(f"{name}: error p50 at 10 s", float(np.median(late[:, 0])), "us", 100.0, "target: at most"),
                row(f"{name}: error p99 at 10 s", float(np.quantile(late[:, 0], 0.99)), "us", 500.0, "target: at most"),
                row(f"{name}: coverage", float(np.mean(np.abs(wrong) <= 1.645 * sigma)), "", 0.9, "stated 90 %"),
            ]
    return rows


if __name__ == "__main__":
    for line in run():
        limit = f"{line['limit_name']} {line['limit']:,.4g}" if line["limit"] else ""
        print(f"{line['name']:50s} {line['value']:10,.3f} {line['unit']:4s} {limit}")
