"""By how much the stamps of two sensors differ, from a motion that both of them feel.

In each window the two signals (turning, or speed) are smoothed alike and correlated over a range of lags; the peak must
be high and alone. There a fit, ``first(t) = A second(t - offset) + c + d t``, gives the offset to a fraction of a
sample, with a covariance widened for noise that lasts. The windows must agree. Signals may be vectors: the matrix A
then takes up gains and how one sensor is mounted against the other; c and d take up biases.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import numpy as np
from scipy.interpolate import CubicSpline, make_interp_spline
from scipy.ndimage import gaussian_filter1d
from scipy.stats import t as student

from calibration.cannot import CannotCalibrate
from calibration.least_squares import fit
from calibration.se3 import FloatArray

_LEAST_SAMPLES = 50
_BLOCKS = 8  # of a window, for the jackknife
_OF_FEW = float(student.ppf(0.97725, _BLOCKS - 1)) / 2.0  # so that two sigmas hold 95 %, as Student's t has it
_AGAIN = "a drive with turns, starts and stops: at least a minute in which speed or turning changes every few seconds"


class TimeOffsetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """window_s, stride_s: pieces that each give an offset. max_lag_s: searched to both sides.

    smooth_s: both are smoothed at least so much, 1-sigma. min_correlation: of the peak. rival: another peak must stay
    below this share of it. min_windows: must pass. max_spread_s: 1-sigma spread of the windows' offsets beyond which
    they do not agree.
    """

    window_s: float = 25.0
    stride_s: float = 8.0
    max_lag_s: float = 0.5
    smooth_s: float = 0.0
    min_correlation: float = 0.7
    rival: float = 0.95
    min_windows: int = 3
    max_spread_s: float = 0.02


class Signal(NamedTuple):
    """name: for messages. t: (N,) seconds, increasing, small numbers. value: (N,) or (N, D)."""

    name: str
    t: FloatArray
    value: FloatArray


class Window(NamedTuple):
    """start_s: of the window. offset_s, sigma_s: NaN where refused says why. correlation: at the peak.

    lags, correlations: the whole curve.
    """

    start_s: float
    offset_s: float
    sigma_s: float
    correlation: float
    lags: FloatArray
    correlations: FloatArray
    refused: Literal["", "no common motion", "peak at the edge", "two peaks"]


class TimeOffset(NamedTuple):
    """offset_s: to be added to the second's stamps to bring them onto the first's clock. sigma_s: of it.

    spread_s: standard deviation over the windows that passed.
    """

    offset_s: float
    sigma_s: float
    spread_s: float
    windows: tuple[Window, ...]

    @property
    def passed(self) -> list[Window]:
        return [window for window in self.windows if not window.refused]


def time_offset(first: Signal, second: Signal, settings: TimeOffsetSettings | None = None) -> TimeOffset:
    """Offset of two signals of the same motion.

    Raises:
        ValueError: times that do not increase, or values that are no numbers.
        CannotCalibrate: too little common motion, or windows that do not agree.
    """
    settings = settings or TimeOffsetSettings()
    for signal in (first, second):
        _check(signal)
    begin, end = max(first.t[0], second.t[0]), min(first.t[-1], second.t[-1])
    last = end - settings.max_lag_s - settings.window_s
    starts = np.arange(begin + settings.max_lag_s, last + 1e-9, settings.stride_s)
    if len(starts) < settings.min_windows:
        raise CannotCalibrate(f"{first.name} and {second.name} overlap for {max(end - begin, 0):.1f} s only", _AGAIN)
    a, b = smoothed(first, second, settings.smooth_s)
    of_second = CubicSpline(b.t, b.value)
    step = float(min(np.median(np.diff(a.t)), np.median(np.diff(b.t)), settings.max_lag_s / 20))
    lags = np.arange(-settings.max_lag_s, settings.max_lag_s + step / 2, step)
    windows = tuple(_in_window(a, of_second, lags, float(start), settings) for start in starts)
    passed = [window for window in windows if not window.refused]
    if len(passed) < settings.min_windows:
        best = max(window.correlation for window in windows)
        reasons = ", ".join(sorted({window.refused for window in windows if window.refused}))
        raise CannotCalibrate(
            f"{len(passed)} of {len(windows)} windows of {first.name} against {second.name} show a clear common motion "
            f"({reasons}; best correlation {best:.2f}), at least {settings.min_windows} must",
            _AGAIN,
        )
    offsets = np.array([window.offset_s for window in passed])
    sigmas = np.array([window.sigma_s for window in passed])
    spread = float(offsets.std(ddof=1))
    if spread > settings.max_spread_s:
        raise CannotCalibrate(
            f"the windows do not agree: offsets from {offsets.min() * 1e3:.1f} to {offsets.max() * 1e3:.1f} ms; "
            "a clock drifts, or messages are stamped on arrival and wait",
            _AGAIN + ", stamped by the sensors themselves",
        )
    # A sigma from so few blocks is itself uncertain by a quarter: no window counts more for one that came out small.
    weight = 1.0 / np.maximum(sigmas, np.median(sigmas)) ** 2
    offset = float((weight * offsets).sum() / weight.sum())
    # What the windows show may be more than what each of them states; windows that overlap share half of their data.
    share = settings.stride_s / settings.window_s
    independent = max(1.0, len(passed) * min(share, 1.0))
    stated = float(weight.sum() ** -0.5) * np.sqrt(len(passed) / independent)
    return TimeOffset(offset, float(max(stated, spread / np.sqrt(independent))), spread, windows)


def _check(signal: Signal) -> None:
    if signal.t.ndim != 1 or len(signal.t) != len(signal.value) or len(signal.t) < _LEAST_SAMPLES:
        raise ValueError(f"{signal.name}: expected at least {_LEAST_SAMPLES} times and as many values")
    if not (np.isfinite(signal.t).all() and np.isfinite(signal.value).all() and (np.diff(signal.t) > 0).all()):
        raise ValueError(f"{signal.name}: expected finite values at increasing times")


def smoothed(first: Signal, second: Signal, smooth_s: float) -> tuple[Signal, Signal]:
    """Both on even grids of their own rate, low-passed alike, so that the slower one's bandwidth is that of both."""
    steps = [float(np.median(np.diff(signal.t))) for signal in (first, second)]
    width = max(1.5 * max(steps), smooth_s)
    smooth = []
    for signal, step in zip((first, second), steps, strict=True):
        t = np.arange(signal.t[0], signal.t[-1], step)
        value = make_interp_spline(signal.t, signal.value.reshape(len(signal.t), -1), k=1)(t)
        smooth.append(Signal(signal.name, t, gaussian_filter1d(value, width / step, axis=0)))
    return smooth[0], smooth[1]


def _in_window(
    a: Signal, of_second: CubicSpline, lags: FloatArray, start: float, settings: TimeOffsetSettings
) -> Window:
    inside = (a.t >= start) & (a.t <= start + settings.window_s)
    t = a.t[inside]
    middle = t - t.mean()
    trend = np.stack([np.ones_like(t), middle], axis=1)
    target = a.value[inside]
    total = _explained(trend, target)[1]

    def basis(offset: float) -> FloatArray:
        return np.concatenate([of_second(t - offset), trend], axis=1)

    left = np.array([_explained(basis(lag), target)[1] for lag in lags])
    curve = np.sqrt(np.clip(1.0 - left / max(total, 1e-300), 0.0, 1.0))
    peak = int(curve.argmax())
    best = float(curve[peak])

    def refused(why: Literal["no common motion", "peak at the edge", "two peaks"]) -> Window:
        return Window(start, np.nan, np.nan, best, lags, curve, why)

    if best < settings.min_correlation:
        return refused("no common motion")
    if peak in (0, len(lags) - 1):
        return refused("peak at the edge")
    is_peak = (curve[1:-1] > curve[:-2]) & (curve[1:-1] >= curve[2:])
    others = [i for i in np.flatnonzero(is_peak) + 1 if abs(i - peak) > 3]
    if others and max(curve[others]) > settings.rival * best:
        return refused("two peaks")
    noise = float(np.sqrt(max(left[peak], 1e-24 * total) / target.size))
    linear = _explained(basis(lags[peak]), target)[0]

    def residuals(x: FloatArray) -> FloatArray:
        return np.asarray((basis(x[0]) @ x[1:].reshape(linear.shape) - target).ravel() / noise)

    found = fit(residuals, np.concatenate([[lags[peak]], linear.ravel()]), 2.0)
    block = np.repeat(np.minimum(np.arange(len(t)) * _BLOCKS // len(t), _BLOCKS - 1), target.shape[1])
    sigma = float(np.sqrt(found.widened(block)[0, 0])) * _OF_FEW
    return Window(start, float(found.x[0]), sigma, best, lags, curve, "")


def _explained(basis: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
    """Least squares: coefficients, and the sum of squares that they leave."""
    linear: FloatArray = np.asarray(np.linalg.lstsq(basis, target, rcond=None)[0], dtype=np.float64)
    return linear, float(((basis @ linear - target) ** 2).sum())
