"""The stamps of one sensor's whole drive: what really happened, what its clock said, when the host had it, and what the
pipeline's own clock model makes of that.

The vehicle clock is the truth, and the host's. Made once, before any payload, so that whoever reads a part of a drive
finds the stamps that a reader of all of it finds.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from calibration.rig import Clock as ClockSpec
from pipeline.core.settings import Settings
from pipeline.sync.clock_model import ClockSettings, Reading, SensorClock
from pipeline.sync.envelope import EnvelopeSettings
from pipeline.sync.ptp import PtpPort

Ns: TypeAlias = npt.NDArray[np.int64]

_GRANDMASTER = "vehicle"


class ClockBehaviour(Settings, frozen=True):
    """What one kind of device does with time; seconds unless said otherwise.

    offset_s: of a free clock, ahead by up to so much. skew_ppm: 1-sigma of its rate; wander_ppb: 1-sigma by which the
    rate walks in a second. jitter_s: of a stamp. ptp_s: 1-sigma of a disciplined clock. period_jitter_s: of the
    measurement itself. latency_s: the least there is from measurement to host; tail_s: mean of what may come on top,
    exponential; hiccup, hiccup_s: share of messages that take longer still, by up to so much.
    """

    offset_s: float = 100.0
    skew_ppm: float = 25.0
    wander_ppb: float = 3.0
    jitter_s: float = 20e-6
    ptp_s: float = 400e-9
    period_jitter_s: float = 0.0
    latency_s: float = 0.002
    tail_s: float = 0.001
    hiccup: float = 0.002
    hiccup_s: float = 0.03


BEHAVIOURS: dict[str, ClockBehaviour] = {
    "camera": ClockBehaviour(latency_s=0.012, tail_s=0.003, hiccup_s=0.06, jitter_s=50e-6),
    "lidar": ClockBehaviour(latency_s=0.003, tail_s=0.0015, jitter_s=2e-6, period_jitter_s=50e-6),
    "radar": ClockBehaviour(latency_s=0.025, tail_s=0.004, jitter_s=200e-6, period_jitter_s=500e-6),
    "imu": ClockBehaviour(latency_s=0.0008, tail_s=0.0004, jitter_s=5e-6, hiccup_s=0.01),
    "gnss": ClockBehaviour(latency_s=0.04, tail_s=0.01, jitter_s=100e-6),
    "wheel": ClockBehaviour(latency_s=0.004, tail_s=0.002, jitter_s=200e-6, hiccup_s=0.02),
}
"""Plausible, of the order that devices show; not of any one device."""


class StampTable(NamedTuple):
    """N messages in order of arrival, which is that of measurement too.

    true_ns: when it was measured, vehicle clock. sensor_ns, arrival_ns, time_ns, sigma_ns, sequence, epoch: as in
    `Stamp`. counter: of the exposure where a pulse fires it, else -1. clock_offset_ns, clock_skew_ppb: of the device's
    clock against the vehicle's at that moment, as in `TruthSensor`.
    """

    true_ns: Ns
    sensor_ns: Ns
    arrival_ns: Ns
    time_ns: Ns
    sigma_ns: Ns
    sequence: Ns
    epoch: Ns
    counter: Ns
    clock_offset_ns: Ns
    clock_skew_ppb: npt.NDArray[np.float64]

    @property
    def messages(self) -> int:
        """N."""
        return len(self.true_ns)


def stamps(
    spec: ClockSpec,
    behaviour: ClockBehaviour,
    start_ns: int,
    first: float,
    last: float,
    rate_hz: float,
    rng: np.random.Generator,
) -> StampTable:
    """The table of one stream.

    Messages that the clock model refuses (none, as long as no fault acts) are left out and leave a gap in `sequence`.

    Args:
        start_ns: vehicle time of the scenario's start. first, last: s since then, of the first measurement and of what
            none lies beyond.
    """
    n = max(math.floor((last - first) * rate_hz + 1e-9) + 1, 0)
    t = first + np.arange(n) / rate_hz
    if spec.discipline != "trigger":
        t = np.clip(t + behaviour.period_jitter_s * rng.standard_normal(n), first, last)
    true_ns = start_ns + _ns(np.maximum.accumulate(t))
    offset_ns, skew_ppb = _clock(spec, behaviour, t, rng)
    sensor_ns = true_ns + offset_ns + _ns(_stamp_error(spec, behaviour, n, rng))
    latency = behaviour.latency_s + behaviour.tail_s * rng.exponential(1.0, n)
    latency += np.where(rng.random(n) < behaviour.hiccup, behaviour.hiccup_s * rng.random(n), 0.0)
    arrival_ns = np.maximum.accumulate(true_ns + _ns(latency))
    counter = np.arange(n, dtype=np.int64) + 1000 if spec.discipline == "trigger" else np.full(n, -1, np.int64)
    table = _believed(spec, behaviour, true_ns, sensor_ns, arrival_ns, counter)
    kept = table[:, 1] >= 0
    sequence = np.arange(n, dtype=np.int64)
    for epoch in np.unique(table[:, 2]):  # numbers start anew with each epoch
        sequence[table[:, 2] == epoch] -= int(np.flatnonzero(table[:, 2] == epoch)[0])
    whole = StampTable(
        true_ns=true_ns,
        sensor_ns=sensor_ns,
        arrival_ns=arrival_ns,
        time_ns=table[:, 0],
        sigma_ns=table[:, 1],
        sequence=sequence,
        epoch=table[:, 2],
        counter=counter,
        clock_offset_ns=offset_ns,
        clock_skew_ppb=skew_ppb,
    )
    return StampTable._make(column[kept] for column in whole)


def _clock(
    spec: ClockSpec, behaviour: ClockBehaviour, t: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[Ns, npt.NDArray[np.float64]]:
    """Offset (ns) and rate error (ppb) of the device's clock; only a free one has any to speak of."""
    n = len(t)
    if spec.discipline in ("vehicle", "ptp"):
        return np.zeros(n, np.int64), np.zeros(n)
    step = np.diff(t, prepend=t[:1])
    walk = np.cumsum(behaviour.wander_ppb * np.sqrt(step) * rng.standard_normal(n))
    skew_ppb = 1e3 * behaviour.skew_ppm * float(np.clip(rng.standard_normal(), -2.5, 2.5)) + walk
    begin = rng.uniform(0.0, behaviour.offset_s)
    return _ns(begin + np.cumsum(skew_ppb * 1e-9 * step)), skew_ppb


def _stamp_error(
    spec: ClockSpec, behaviour: ClockBehaviour, n: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Seconds by which single stamps are off."""
    sigma = {"vehicle": spec.sigma_ns * 1e-9, "ptp": behaviour.ptp_s}.get(spec.discipline, behaviour.jitter_s)
    return np.asarray(sigma * rng.standard_normal(n))


def _believed(
    spec: ClockSpec, behaviour: ClockBehaviour, true_ns: Ns, sensor_ns: Ns, arrival_ns: Ns, counter: Ns
) -> Ns:
    """(N, 3): time_ns, sigma_ns (-1 = refused), epoch, by the clock model that a live run has too.

    It is told the least latency, as a vehicle's configuration would tell it, and the stamps' jitter as its uncertainty.
    """
    jitter_ns = round(1e9 * behaviour.jitter_s)
    least_ns = round(1e9 * behaviour.latency_s)
    clock = SensorClock(
        spec,
        ClockSettings(
            envelope=EnvelopeSettings(
                min_delay_ns=least_ns,
                min_delay_sigma_ns=3 * jitter_ns,
                jitter_ns=round(1e9 * behaviour.tail_s),
            ),
            trigger_min_delay_ns=least_ns,
        ),
    )
    triggered = spec.discipline == "trigger"
    port = PtpPort("SLAVE", _GRANDMASTER) if spec.discipline == "ptp" else None
    out = np.zeros((len(true_ns), 3), np.int64)
    rows = zip(true_ns.tolist(), sensor_ns.tolist(), arrival_ns.tolist(), counter.tolist(), strict=True)
    for row, (true, stamp, arrival, number) in enumerate(rows):
        if triggered:
            clock.pulse(true)  # pulses are reported at once, long before the exposure arrives
        taken = clock.take(Reading(stamp, arrival, number if triggered else None, port))
        out[row] = taken.time_ns, -1 if taken.refused else taken.sigma_ns, clock.epoch
    return out


def _ns(seconds: npt.ArrayLike) -> Ns:
    return np.rint(np.asarray(seconds, dtype=np.float64) * 1e9).astype(np.int64)
