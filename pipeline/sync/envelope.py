"""The clock of a free-running sensor from the lower envelope of its delays.

A message stamped t by the sensor arrives after an unknown delay, never a negative one:

    arrival - t = offset + skew * t + minimum delay + excess,    excess >= 0

so the line offset + skew * t lies under all points (t, arrival - t), and touches some of them. Near its lower edge
every distribution of the excess that has a density f > 0 there looks alike: n points leave the region between the line
and themselves empty with probability exp(-n f * mean height of the region), a Poisson process, which is the
extreme-value limit for such an edge. With a flat prior on offset, and on skew within what an oscillator can do, the
posterior is

    p(offset, skew) ~ exp(n f (offset + skew * mean(t)))    for lines under all points, 0 for others

and depends on the points only through the vertices of their lower convex hull. For a given skew the line has its upper
limit at one vertex and lies below it by an exponentially distributed distance of mean 1 / (n f): the correction for the
smallest excess not being zero. Over skew the posterior is an exponential on each interval between two slopes of the
hull, so its mean and variance at any time are sums over the vertices in closed form. The mean is the estimator of least
variance among those that move with the data (Pitman, 1939); its error falls as 1/n, that of an average as 1/sqrt(n).

What this cannot see: the minimum delay itself, which is configured; and a density that is 0 at the edge, as of a sum of
several delays, whose smallest excess then acts like a larger minimum delay.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from pipeline.core.settings import Settings

_SHAPE = 0.92
"""Half-width of the 90 % interval over 1.645 standard deviations, for a posterior between normal (1) and exponential
(0.79). It does not depend on rate, window or jitter, which only scale the posterior. `benchmarks/bench_clock.py`."""

_FIT = 512  # excesses that the density at the edge is estimated from
_ENOUGH = 8
_GENERATIONS = 4


class EnvelopeSettings(Settings, frozen=True):
    """window_ns: so much of the past is looked at, or up to a quarter less.

    max_skew_ppm: no oscillator is further off. jitter_ns: scale of the excess delay until it is measured.
    min_delay_ns: the smallest delay there can be, not observable; min_delay_sigma_ns: how well it is known, to be
    chosen larger where delays have no sharp edge. wander_ppb_per_s: how fast the skew may change.
    """

    window_ns: int = 30_000_000_000
    max_skew_ppm: float = 100.0
    jitter_ns: int = 5_000_000
    min_delay_ns: int = 0
    min_delay_sigma_ns: int = 0
    wander_ppb_per_s: float = 20.0

    def __post_init__(self) -> None:
        if not (self.window_ns > 0 and self.max_skew_ppm > 0 and self.jitter_ns > 0):
            raise ValueError("window_ns, max_skew_ppm, jitter_ns: expected > 0")


class Estimate(NamedTuple):
    """vehicle time = sensor time + offset_ns, at one sensor time; 1-sigma; skew of the sensor's clock there."""

    offset_ns: int
    sigma_ns: int
    skew_ppb: float


class Envelope:
    """Offset and skew of one clock, online: amortised O(1) per message, O(log n) per estimate, bounded memory.

    Several generations of points overlap, begun a quarter of the window apart: the oldest answers until its time is
    over, so that nothing ever has to be removed from a hull.
    """

    def __init__(self, settings: EnvelopeSettings) -> None:
        self._settings = settings
        self._density = 1e9 / settings.jitter_ns  # of the excess at 0, 1/s
        self._times = np.zeros(_FIT)
        self._delays = np.zeros(_FIT)
        self.forget()

    def __len__(self) -> int:
        """Points that the estimate rests on."""
        return self._generations[0].count

    def forget(self) -> None:
        """The clock is not what it was; only the jitter of its messages is."""
        self._origin_ns = self._base_ns = 0
        self._generations = deque([_Hull()])
        self._count = 0
        self._next_fit = _ENOUGH

    def add(self, sensor_ns: int, arrival_ns: int) -> None:
        """Take in one message."""
        window = self._settings.window_ns * 1e-9
        generations = self._generations
        t = (sensor_ns - self._origin_ns) * 1e-9
        if self._count and t - generations[-1].last > window:
            self.forget()
            generations = self._generations
        if not self._count:
            self._origin_ns, self._base_ns, t = sensor_ns, arrival_ns - sensor_ns, 0.0
        elif t - generations[-1].start >= window / _GENERATIONS:
            generations.append(_Hull())
            if t - generations[0].start >= window:
                generations.popleft()
        y = (arrival_ns - sensor_ns - self._base_ns) * 1e-9
        for generation in generations:
            generation.add(t, y)
        self._times[self._count % _FIT], self._delays[self._count % _FIT] = t, y
        self._count += 1
        if self._count >= self._next_fit:
            self._fit(t)

    def at(self, sensor_ns: int) -> Estimate:
        """What is believed of the clock at a sensor time, by preference one not far from the last.

        Raises:
            ValueError: no message was taken in yet.
        """
        if not self._count:
            raise ValueError("an envelope of no messages")
        t = (sensor_ns - self._origin_ns) * 1e-9
        s = self._settings
        oldest = self._generations[0]
        line = oldest.line(t, self._density, s.max_skew_ppm * 1e-6)
        bend = 0.125e-9 * s.wander_ppb_per_s * (t - oldest.start) ** 2
        offset_ns = self._base_ns + round(line.height * 1e9) - s.min_delay_ns
        sigma_ns = math.hypot(_SHAPE * line.sigma * 1e9, bend * 1e9, s.min_delay_sigma_ns)
        return Estimate(offset_ns, round(sigma_ns), line.slope * 1e9)

    def _fit(self, t: float) -> None:
        """Density of the excess at 0, from the smallest ones.

        If F is linear near 0, f = p / x at its p-quantile x; if it is exponential, -log(1 - p) / x: halfway between is
        within some percent for both and for a half-normal. p = 2.5 / sqrt(n) makes that error and the scatter alike.
        """
        n = min(self._count, _FIT)
        line = self._generations[0].line(t, self._density, self._settings.max_skew_ppm * 1e-6)
        excess = self._delays[:n] - (line.height + line.slope * (self._times[:n] - t))
        k = min(math.ceil(2.5 * math.sqrt(n)), n - 1)
        p = k / n
        x = max(float(np.partition(excess, k - 1)[k - 1]), 1e-7)
        self._density = 0.5 * (p - math.log1p(-p)) / x * (k - 1) / k
        self._next_fit = self._count + min(max(self._count // 8, 1), 32)


class _Line(NamedTuple):
    """Posterior of the line at one time: mean height (s), its standard deviation (s), mean slope."""

    height: float
    sigma: float
    slope: float


class _Hull:
    """Lower convex hull of points whose times increase (Andrew's monotone chain)."""

    def __init__(self) -> None:
        self.vertices: list[tuple[float, float]] = []
        self.count = 0
        self.start = self.last = 0.0
        self._sum_t = 0.0

    def add(self, t: float, y: float) -> None:
        if not self.count:
            self.start = t
        self.count += 1
        self.last = t
        self._sum_t += t
        vertices = self.vertices
        if vertices and t <= vertices[-1][0]:
            if y < vertices[-1][1]:  # out of order: it counts where it is lowest, a little late
                vertices[-1] = (vertices[-1][0], y)
            return
        while len(vertices) >= 2:
            (t1, y1), (t2, y2) = vertices[-2:]
            if (y2 - y1) * (t - t2) < (y - y2) * (t2 - t1):
                break
            vertices.pop()
        vertices.append((t, y))

    def line(self, at: float, density: float, max_slope: float) -> _Line:
        """Mean and deviation of the posterior at time ``at``; see the head of this file."""
        rate = self.count * density  # n f
        mean_t = self._sum_t / self.count
        parts: list[tuple[float, float, float, float]] = []  # log weight, mean height, variance of it, mean slope
        low, top = -max_slope, -math.inf
        last = len(self.vertices) - 1
        for index, (t, y) in enumerate(self.vertices):
            high = max_slope
            if index < last:
                next_t, next_y = self.vertices[index + 1]
                high = min((next_y - y) / (next_t - t), max_slope)
            if high <= low and not (index == last and not parts):
                continue
            # exp(rate * (y - slope * (t - mean_t))) over slope in middle -+ half
            middle, half = 0.5 * (low + high), 0.5 * (high - low)
            log_mass, shift, variance = _exponential(rate * (t - mean_t) * half)
            slope = middle - half * shift
            weight = rate * (y - middle * (t - mean_t)) + log_mass + math.log(max(half, 1e-30))
            parts.append((weight, y + slope * (at - t), variance * (half * (at - t)) ** 2, slope))
            top = max(top, weight)
            low = high
            if low >= max_slope:
                break
        total = height = square = slope = 0.0
        origin = parts[0][1]
        for weight, mean, variance, mean_slope in parts:
            share = math.exp(weight - top)
            total += share
            height += share * (mean - origin)
            square += share * (variance + (mean - origin) ** 2)
            slope += share * mean_slope
        height /= total
        spread = max(square / total - height**2, 0.0)
        return _Line(origin + height - 1.0 / rate, math.sqrt(spread + 1.0 / rate**2), slope / total)


def _exponential(u: float) -> tuple[float, float, float]:
    """Of the density exp(-u x) on -1..1: log of its integral, minus its mean, its variance."""
    size = abs(u)
    if size < 1e-3:
        return math.log(2.0) + u * u / 6.0, u / 3.0, 1.0 / 3.0
    log_mass = size - math.log(size) + math.log1p(-math.exp(-2.0 * size))
    langevin = 1.0 / math.tanh(u) - 1.0 / u
    return log_mass, langevin, max(1.0 - 2.0 * langevin / u - langevin**2, 0.0)
