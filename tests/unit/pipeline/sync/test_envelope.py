"""The clock estimate: as exact as it says, for every kind of jitter, and in bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.spatial import ConvexHull

from pipeline.sync.envelope import Envelope, EnvelopeSettings, _Hull

MS = 1_000_000
OFFSET = 20 * MS
SKEW = 50e-6
SECOND = 1_000_000_000


def excess(kind: str, rng: np.random.Generator, count: int, scale: float = 5e-3) -> np.ndarray:
    """One-sided jitter of 5 ms, seconds."""
    if kind == "exponential":
        return rng.exponential(scale, count)
    if kind == "uniform":
        return rng.uniform(0, scale, count)
    return np.abs(rng.normal(0, scale, count))


def errors(kind: str, rate: float, seeds: range, at: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Error and stated sigma, ns, each (seeds, times)."""
    wrong, sigma = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        sensor = ((np.arange(int(max(at) * rate) + 2) + rng.uniform()) / rate * 1e9).astype(np.int64)
        delay = OFFSET + SKEW * sensor + excess(kind, rng, len(sensor)) * 1e9
        envelope, due = Envelope(EnvelopeSettings()), list(at)
        for t, arrival in zip(sensor.tolist(), (sensor + delay.astype(np.int64)).tolist(), strict=True):
            envelope.add(t, arrival)
            if due and t >= due[0] * SECOND:
                due.pop(0)
                estimate = envelope.at(t)
                wrong.append(estimate.offset_ns - OFFSET - SKEW * t)
                sigma.append(estimate.sigma_ns)
    shape = (len(seeds), len(at))
    return np.array(wrong).reshape(shape), np.array(sigma).reshape(shape)


@pytest.mark.parametrize("kind", ["exponential", "uniform", "half_normal"])
@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_after_ten_seconds_the_error_is_within_the_target(kind: str, rate: float) -> None:
    """5 ms one-sided jitter, 50 ppm, 20 ms; no hardware: p50 <= 100 us, p99 <= 500 us, right after 10 s and later."""
    wrong, sigma = errors(kind, rate, range(80), at=(10, 12, 15.5, 20, 29, 31, 38))
    late = np.abs(wrong)
    assert np.median(late[:, 0]) <= 110_000, "at 10 s sharp, 80 runs"
    assert np.median(late) <= 100_000
    assert np.quantile(late, 0.99) <= 500_000
    assert 0.84 <= np.mean(late <= 1.645 * sigma) <= 0.96, "80 runs give the 90 % to about 3 %"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["exponential", "uniform", "half_normal"])
def test_the_stated_sigma_covers_what_it_says(kind: str) -> None:
    """Of 700 independent runs, 90 +- 3 % of the errors lie within the 90 % interval."""
    wrong, sigma = errors(kind, 10.0, range(1000, 1700), at=(13, 17, 24, 31, 40))
    assert np.mean(np.abs(wrong) <= 1.645 * sigma) == pytest.approx(0.90, abs=0.03)


def test_the_error_falls_as_one_over_the_rate() -> None:
    at = (14.0, 28.0)
    slow, _ = errors("exponential", 10.0, range(60), at)
    fast, _ = errors("exponential", 80.0, range(60), at)
    assert np.median(np.abs(fast)) < np.median(np.abs(slow)) / 4


def test_posterior_is_that_of_its_formula() -> None:
    """Mean and deviation against numerical integration over offset and skew."""
    rng = np.random.default_rng(3)
    t = np.sort(rng.uniform(0, 10, 30))
    y = 0.3 + 2e-5 * t + rng.exponential(0.005, 30)
    hull = _Hull()
    for point in zip(t.tolist(), y.tolist(), strict=True):
        hull.add(*point)
    density, slope, at = 200.0, 1e-4, 10.0
    line = hull.line(at, density, slope)

    rate = 30 * density

    def integral(moment: int) -> float:
        def weight(offset: float, s: float) -> float:
            return math.exp(rate * (offset + s * t.mean() - 0.3)) * (offset + s * at - 0.3) ** moment

        def highest(s: float) -> float:
            return float((y - s * t).min())

        return dblquad(weight, -slope, slope, lambda s: highest(s) - 20 / rate, highest, epsabs=1e-14, epsrel=1e-8)[0]

    mass, first, second = (integral(m) for m in range(3))
    assert line.height == pytest.approx(0.3 + first / mass, abs=1e-8)
    assert line.sigma == pytest.approx(math.sqrt(second / mass - (first / mass) ** 2), rel=2e-3)


def test_hull_is_the_lower_convex_hull() -> None:
    rng = np.random.default_rng(4)
    points = np.stack([np.arange(200.0), rng.exponential(1.0, 200)], axis=1)
    hull = _Hull()
    for t, y in points.tolist():
        hull.add(t, y)
    full = ConvexHull(points)
    below = {
        int(i) for facet, normal in zip(full.simplices, full.equations, strict=True) if normal[1] < 0 for i in facet
    }
    assert [v[0] for v in hull.vertices] == sorted(float(i) for i in below)


def test_skew_is_found() -> None:
    rng = np.random.default_rng(6)
    envelope = Envelope(EnvelopeSettings())
    for t in range(0, 30 * SECOND, SECOND // 100):
        envelope.add(t, t + OFFSET + round(-80e-6 * t) + int(rng.exponential(5 * MS)))
    assert envelope.at(30 * SECOND).skew_ppb == pytest.approx(-80_000, abs=5_000)


def test_the_minimum_delay_cannot_be_seen_and_is_configured() -> None:
    plain, told = Envelope(EnvelopeSettings()), Envelope(EnvelopeSettings(min_delay_ns=3 * MS))
    for t in range(0, 10 * SECOND, 100 * MS):
        for envelope in (plain, told):
            envelope.add(t, t + OFFSET + 3 * MS)
    assert plain.at(10 * SECOND).offset_ns - told.at(10 * SECOND).offset_ns == 3 * MS


def test_what_is_not_known_of_the_minimum_delay_is_part_of_sigma() -> None:
    vague = Envelope(EnvelopeSettings(min_delay_sigma_ns=700_000))
    for t in range(0, 10 * SECOND, 100 * MS):
        vague.add(t, t + OFFSET)
    assert vague.at(10 * SECOND).sigma_ns == pytest.approx(700_000, rel=0.01)


def test_a_clock_that_changes_its_skew_is_followed_within_a_window() -> None:
    rng = np.random.default_rng(8)
    envelope = Envelope(EnvelopeSettings())
    true = 0.0
    for n in range(1200):
        true += (60e-6 if n < 600 else -40e-6) * 100 * MS
        envelope.add(n * 100 * MS, n * 100 * MS + OFFSET + round(true) + int(rng.exponential(5 * MS)))
    estimate = envelope.at(1199 * 100 * MS)
    assert estimate.offset_ns - OFFSET == pytest.approx(true, abs=4 * estimate.sigma_ns)


def test_one_message_gives_an_honest_guess() -> None:
    envelope = Envelope(EnvelopeSettings())
    with pytest.raises(ValueError, match="no messages"):
        envelope.at(0)
    envelope.add(5 * SECOND, 5 * SECOND + OFFSET)
    estimate = envelope.at(5 * SECOND)
    assert estimate.offset_ns == OFFSET - 5 * MS
    assert 4 * MS <= estimate.sigma_ns <= 6 * MS


def test_messages_out_of_order_and_a_long_silence_do_no_harm() -> None:
    rng = np.random.default_rng(9)
    envelope = Envelope(EnvelopeSettings())
    times = [*range(0, 20 * SECOND, 100 * MS), *range(400 * SECOND, 420 * SECOND, 100 * MS)]
    for a in range(0, len(times) - 1, 6):
        times[a], times[a + 1] = times[a + 1], times[a]
    for t in times:
        envelope.add(t, t + OFFSET + int(rng.exponential(MS)))
    assert len(envelope) <= 200, "what was before the silence is forgotten"
    assert abs(envelope.at(420 * SECOND).offset_ns - OFFSET) < MS


def test_memory_is_bounded() -> None:
    envelope = Envelope(EnvelopeSettings())
    rng = np.random.default_rng(10)
    for t in range(0, 200 * SECOND, SECOND // 200):
        envelope.add(t, t + OFFSET + int(rng.exponential(5 * MS)))
    assert sum(len(generation.vertices) for generation in envelope._generations) < 150
    assert len(envelope._generations) <= 4


@pytest.mark.parametrize("wrong", [{"window_ns": 0}, {"max_skew_ppm": 0.0}, {"jitter_ns": -1}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected > 0"):
        EnvelopeSettings(**wrong)  # type: ignore[arg-type]
