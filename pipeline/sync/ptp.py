"""A clock that PTP (IEEE 1588) disciplines: believed while its port is locked, then carried on with growing doubt.

Without lock the clock runs free from where it was. Two things are then known of its error: it grew from 0 at no more
than the oscillator's drift; and the envelope of the delays has moved by it, give or take what the envelope itself is
unsure of, now and at the loss of lock. Both are combined by their precision.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pipeline.core.settings import Settings
from pipeline.sync.envelope import Estimate


class PtpPort(NamedTuple):
    """State of the sensor's PTP port (IEEE 1588-2019, 8.2.15.3.1), its grandmaster, its last offset from the master."""

    state: str = ""
    grandmaster: str = ""
    offset_ns: int = 0


class PtpSettings(Settings, frozen=True):
    """locked: port states in which the clock is believed. sigma_ns: 1-sigma in lock, at least.

    grandmaster: the one that shows vehicle time; empty = the first one seen. utc_offset_ns: subtracted from the
    sensor's time, for a PTP timescale (TAI, 37 s ahead of UTC since 2017) beside a vehicle clock in UTC.
    drift_ppb: of the oscillator without lock, 1-sigma.
    """

    locked: tuple[str, ...] = ("SLAVE", "MASTER", "PASSIVE")
    sigma_ns: int = 1_000
    grandmaster: str = ""
    utc_offset_ns: int = 0
    drift_ppb: float = 20_000.0


class PtpClock:
    """Follows the port; `at` turns its state and the envelope's estimate into an offset with its sigma.

    The envelope must begin anew when `hear` says so: the oscillator runs at another rate from then on.

    alarm: empty, or why the clock is not believed.
    """

    def __init__(self, settings: PtpSettings) -> None:
        self.port = PtpPort()
        self.alarm = ""
        self._settings = settings
        self._grandmaster = settings.grandmaster
        self._anchor: tuple[int, Estimate] | None = None  # sensor time and envelope when last locked

    def hear(self, port: PtpPort | None) -> bool:
        """Take the port's state in; True when the clock came under discipline or fell out of it: its skew changed."""
        was_locked = not self.alarm
        self.port = port or PtpPort()
        self._grandmaster = self._grandmaster or self.port.grandmaster
        if self.port.state not in self._settings.locked:
            self.alarm = f"PTP port {self.port.state or 'silent'}"
        elif self.port.grandmaster != self._grandmaster:
            self.alarm = f"PTP grandmaster {self.port.grandmaster or 'unknown'}, not {self._grandmaster}"
        else:
            self.alarm = ""
        return was_locked == bool(self.alarm)

    def at(self, sensor_ns: int, envelope: Estimate) -> Estimate:
        """Offset to vehicle time; the envelope's own estimate where the port was never locked."""
        s = self._settings
        if not self.alarm:
            self._anchor = (sensor_ns, envelope)
            sigma_ns = max(s.sigma_ns, abs(self.port.offset_ns))
            return Estimate(-s.utc_offset_ns, sigma_ns, envelope.skew_ppb)
        if self._anchor is None:
            return envelope
        locked_ns, then = self._anchor
        drift_ns = s.sigma_ns + abs(sensor_ns - locked_ns) * s.drift_ppb * 1e-9
        moved_ns, moved_sigma_ns = envelope.offset_ns - then.offset_ns, math.hypot(envelope.sigma_ns, then.sigma_ns)
        share = drift_ns**2 / (drift_ns**2 + moved_sigma_ns**2)
        sigma_ns = round(drift_ns * moved_sigma_ns / math.hypot(drift_ns, moved_sigma_ns))
        return Estimate(round(share * moved_ns) - s.utc_offset_ns, sigma_ns, envelope.skew_ppb)
