"""A GNSS receiver that speaks NMEA 0183, over UDP, TCP or a serial line.

Two sentences make a fix, of any talker (GP, GN, ...) and in either order, each with its checksum:

    $GPRMC,hhmmss.ss,A,ddmm.mmmm,N,dddmm.mmmm,E,knots,course,ddmmyy,,,A*hh      date, and whether it is valid
    $GPGGA,hhmmss.ss,ddmm.mmmm,N,dddmm.mmmm,E,quality,satellites,HDOP,altitude,M,geoid,M,,*hh      place and height

All other sentences are passed over. Lines may be cut anywhere between two chunks of bytes.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from nodes.sources.live.driver import DatagramDriver, Datagrams, DriverSettings, FeedSettings, Raw
from pipeline.core.clock import Clock
from pipeline.core.errors import BadInput
from pipeline.core.messages import GnssFix

_MAX_LINE = 256  # the standard says 82, receivers say more
_SENTENCE = re.compile(rb"\$[A-Z]{2}(RMC|GGA),([ -~]*)\*([0-9A-Fa-f]{2})")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)(?:\.(\d{1,9}))?")
_DEGREES = re.compile(r"(\d{2,3})([0-5]\d(?:\.\d{1,12})?)")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY_NS = 86_400_000_000_000


class NmeaSettings(DriverSettings, frozen=True, tag_field="driver", tag="nmea"):
    """range_error_m: 1-sigma of one satellite's range; accuracy = this times the receiver's HDOP, a rough guess and the
    only one that these sentences allow."""

    receive: FeedSettings = FeedSettings(address="127.0.0.1:10110")
    range_error_m: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.range_error_m < 1000:
            raise ValueError(f"range_error_m: expected 0..1000, got {self.range_error_m}")


class Rmc(NamedTuple):
    """time_ns: of the day. date_ns: midnight of its day, since 1970, UTC."""

    time_ns: int
    date_ns: int
    valid: bool


class Gga(NamedTuple):
    """time_ns: of the day. fix: None without one."""

    time_ns: int
    fix: GnssFix | None


def parse_sentence(line: bytes, range_error_m: float = 5.0) -> Rmc | Gga | None:
    """One line without its end; None for a sentence that is not of the two.

    Raises:
        BadInput: damaged, or a field that is none; the field says which.
    """
    found = _SENTENCE.fullmatch(line)
    if found is None:
        if b"*" not in line and line[3:6] in (b"RMC", b"GGA"):
            raise BadInput("sentence", "checksum", "two digits after a *", line)
        return None
    told, real = int(found[3], 16), _checksum(line[1 : line.rindex(b"*")])
    if told != real:
        raise BadInput("sentence", "checksum", f"{real:02X}", f"{told:02X}")
    fields = found[2].decode("ascii").split(",")
    if found[1] == b"RMC":
        if len(fields) < 9:
            raise BadInput("sentence", "RMC fields", "9 or more", len(fields))
        return Rmc(_time(fields[0]), _date(fields[8]), fields[1] == "A")
    if len(fields) < 11:
        raise BadInput("sentence", "GGA fields", "11 or more", len(fields))
    time_ns = _time(fields[0])
    if fields[5] in ("", "0"):
        return Gga(time_ns, None)
    dilution = _number(fields[7], "HDOP", 0.0, 1000.0) if fields[7] else math.nan
    geoid = _number(fields[10], "geoid", -200.0, 200.0) if fields[10] else 0.0
    fix = GnssFix(
        latitude=_degrees(fields[1], fields[2], "NS", "latitude", 90),
        longitude=_degrees(fields[3], fields[4], "EW", "longitude", 180),
        height=_number(fields[8], "altitude", -1e4, 1e5) + geoid,
        accuracy=dilution * range_error_m,
    )
    return Gga(time_ns, fix)


def encode_fix(fix: GnssFix, time_ns: int, range_error_m: float = 5.0) -> bytes:
    """Both sentences of a fix at ``time_ns`` (UTC, to 1 ms), as a receiver sends them."""
    at = _EPOCH + timedelta(milliseconds=round(time_ns / 1e6))
    clock = f"{at:%H%M%S}.{at.microsecond // 1000:03d}"
    place = f"{_dm(fix.latitude, 2)},{'NS'[fix.latitude < 0]},{_dm(fix.longitude, 3)},{'EW'[fix.longitude < 0]}"
    dilution = f"{fix.accuracy / range_error_m:.2f}" if math.isfinite(fix.accuracy) else ""
    rmc = f"GPRMC,{clock},A,{place},,,{at:%d%m%y},,,A"
    gga = f"GPGGA,{clock},{place},1,08,{dilution},{fix.height:.3f},M,0.0,M,,"
    return b"".join(b"$%s*%02X\r\n" % (s.encode(), _checksum(s.encode())) for s in (rmc, gga))


class Nmea(DatagramDriver):
    """Driver; sensor_ns = the fix's own UTC.

    losses: ``malformed ...`` by field, ``malformed line`` = longer than 256 bytes. given_up: ``no_fix`` = the receiver
    says that it has none.
    """

    def __init__(self, settings: NmeaSettings, datagrams: Datagrams, clock: Clock) -> None:
        super().__init__(f"gnss {settings.receive.address}", datagrams, clock)
        self._settings = settings
        self._rest = b""
        self._rmc: Rmc | None = None
        self._gga: Gga | None = None
        self._ready: deque[Raw] = deque()

    def read(self, timeout_s: float) -> Raw | None:
        return self._ready.popleft() if self._ready else super().read(timeout_s)

    def discard(self) -> None:
        super().discard()
        self._rest = b""
        self._ready.clear()

    def _take(self, data: bytes, arrival_ns: int) -> Raw | None:
        for line in self._lines(data):
            self._sentence(self._parsed(line), arrival_ns)
        return self._ready.popleft() if self._ready else None

    def _parsed(self, line: bytes) -> Rmc | Gga | None:
        try:
            return parse_sentence(line, self._settings.range_error_m)
        except BadInput as error:
            self._malformed(error)
            return None

    def _lines(self, data: bytes) -> Iterator[bytes]:
        """Whole lines; of a stream, the last piece waits for its end."""
        *lines, rest = (self._rest + data).split(b"\n")
        if self._settings.receive.transport in ("tcp", "serial"):
            self._rest = rest[: _MAX_LINE + 1]
        else:
            lines.append(rest)
        for line in lines:
            if len(line) > _MAX_LINE:
                self._malformed(BadInput("sentence", "line", f"at most {_MAX_LINE} bytes", "more"))
            else:
                yield line.rstrip(b"\r")

    def _sentence(self, said: Rmc | Gga | None, arrival_ns: int) -> None:
        """Two sentences of one instant make a fix; one that stays alone is replaced by the next."""
        if isinstance(said, Rmc):
            self._rmc = said
        elif isinstance(said, Gga):
            self._gga = said
        rmc, gga = self._rmc, self._gga
        if rmc is None or gga is None or rmc.time_ns != gga.time_ns:
            return
        self._rmc = self._gga = None
        if gga.fix is None or not rmc.valid:
            self._given_up["no_fix"] += 1
        else:
            self._ready.append(Raw(rmc.date_ns + rmc.time_ns, arrival_ns, gga.fix))


def _checksum(text: bytes) -> int:
    value = 0
    for byte in text:
        value ^= byte
    return value


def _time(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadInput("sentence", "time", "hhmmss.sss", text)
    hours, minutes, seconds = (int(part) for part in found.groups()[:3])
    return (hours * 3600 + minutes * 60 + seconds) * 1_000_000_000 + int((found[4] or "0").ljust(9, "0"))


def _date(text: str) -> int:
    """Two digits of the year: 80 to 99 are of the last century."""
    try:
        if not (len(text) == 6 and text.isdecimal()):
            raise ValueError("six digits")
        year = int(text[4:])
        day = datetime(year + (1900 if year >= 80 else 2000), int(text[2:4]), int(text[:2]), tzinfo=timezone.utc)
    except ValueError as error:
        raise BadInput("sentence", "date", "ddmmyy", text) from error
    return (day - _EPOCH).days * _DAY_NS


def _degrees(text: str, side: str, sides: str, field: str, limit: int) -> float:
    found = _DEGREES.fullmatch(text)
    value = int(found[1]) + float(found[2]) / 60 if found else math.inf
    if value > limit or side not in tuple(sides):
        raise BadInput("sentence", field, f"degrees and minutes, and one of {sides}", f"{text},{side}")
    return -value if side == sides[1] else value


def _dm(degrees: float, digits: int) -> str:
    whole, rest = divmod(round(abs(degrees) * 60e7), 60 * 10**7)  # in 1e-7 minutes, so that 60 minutes never appear
    return f"{whole:0{digits}d}{rest / 1e7:010.7f}"


def _number(text: str, field: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise BadInput("sentence", field, f"a number in {low:g}..{high:g}", text)
    return value
