"""The table of faults: every name, what it befalls, and what its three severities are in physical units."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Stage: TypeAlias = Literal["air", "sensor", "mounting", "clock", "link"]
SEVERITIES = (1, 2, 3)

_PERCEPTION = ("camera", "lidar", "radar")
_EVERY_TEN = "s of every ten"
_STREAMS = ("camera", "lidar", "radar", "imu", "wheel", "gnss", "pose")


class FaultKind(NamedTuple):
    """stage: where on the way from the world to us it acts. befalls: modalities; `pose` only where it is named.

    amounts: of the severities 1, 2, 3, in ``unit``. lowest, highest: of an amount given as a number.
    source: where model and amounts come from.
    """

    name: str
    stage: Stage
    befalls: tuple[str, ...]
    unit: str
    amounts: tuple[float, float, float]
    lowest: float
    highest: float
    doc: str
    source: str

    @property
    def cyclic(self) -> bool:
        """It comes and goes every ten seconds, and is there for the amount."""
        return self.unit == _EVERY_TEN


FAULTS = (
    FaultKind("fog", "air", _PERCEPTION, "m of visibility", (150, 100, 50), 5, 10_000,
        "contrast and range lost with distance, returns from the fog itself; hardly anything in radar",
        "Koschmieder 1924; Hahner et al., ICCV 2021; ITU-R P.840; visibilities as in MultiCorrupt"),
    FaultKind("rain", "air", _PERCEPTION, "mm/h", (10, 25, 60), 0.1, 200,
        "streaks and paler images, weaker and false LiDAR returns, attenuated radar with echo near it",
        "Marshall and Palmer 1948; Garg and Nayar 2007; Kilic et al. 2021; ITU-R P.838-3"),
    FaultKind("snow", "air", _PERCEPTION, "mm/h of water", (1, 2.5, 5), 0.1, 50,
        "flakes and paler images, many false LiDAR returns near the sensor; little in radar",
        "Gunn and Marshall 1958; Al Naboulsi et al. 2004; Kilic et al. 2021"),
    FaultKind("dark", "sensor", ("camera",), "stops of light less", (4, 6, 8), 0, 12,
        "as at night: less light, amplified as far as the camera goes, with the noise that comes with it",
        "photon noise; EMVA 1288"),
    FaultKind("glare", "sensor", ("camera",), "degrees around the sun that are white", (3, 6, 12), 0.1, 60,
        "a low sun in the picture: a white disc and a veil that falls with the square of the angle",
        "CIE 146:2002, disability glare"),
    FaultKind("dirt", "sensor", ("camera",), "share of the image", (0.1, 0.25, 0.5), 0, 1,
        "mud on the lens, out of focus, at the same places all through the drive", "thin-lens blur of the aperture"),
    FaultKind("drops", "sensor", ("camera",), "drops on the lens", (15, 40, 100), 1, 1000,
        "each shows a small blurred picture upside down; they change every two seconds", "Halimeh and Roser 2009"),
    FaultKind("blur", "sensor", ("camera",), "share of the width, diameter", (0.004, 0.008, 0.016), 0, 0.2,
        "out of focus: every point becomes a disc", "thin lens"),
    FaultKind("motion_blur", "sensor", ("camera",), "share of the width, length", (0.01, 0.02, 0.04), 0, 0.3,
        "smeared sideways and a little up and down, as by vibration in a long exposure", "box kernel"),
    FaultKind("beam_loss", "sensor", ("lidar",), "beams that are left", (16, 8, 4), 1, 128,
        "only so many beams, evenly spread, still give returns", "MultiCorrupt"),
    FaultKind("fov_cut", "sensor", ("lidar",), "degrees around ahead that are left", (180, 120, 60), 1, 360,
        "nothing is seen beside and behind", "Yu et al. 2022"),
    FaultKind("crosstalk", "sensor", ("lidar",), "share of the points", (0.005, 0.02, 0.1), 0, 1,
        "another LiDAR's pulses: points at random ranges on true beams", "Dong et al., CVPR 2023"),
    FaultKind("interference", "sensor", ("radar",), "dB of raised noise floor", (3, 6, 12), 0, 60,
        "another radar: what is weaker than the raised floor is lost", "Kunert 2012, MOSARIM"),
    FaultKind("clutter", "sensor", ("radar",), "false returns a scan", (10, 30, 100), 0, 5000,
        "ghosts anywhere in the field of view, with any range rate", "uniform Poisson clutter"),
    FaultKind("frozen", "sensor", _PERCEPTION, _EVERY_TEN, (1, 3, 10), 0, 10,
        "the last payload again and again, under fresh stamps", "Yu et al. 2022: stuck sensor"),
    FaultKind("stale", "sensor", _PERCEPTION, "probability", (0.2, 0.4, 0.6), 0, 1,
        "a frame is replaced by the one delivered before it, under a fresh stamp", "MultiCorrupt"),
    FaultKind("miscalibrated", "mounting", _PERCEPTION, "degrees about each axis", (1, 2, 3), 0, 45,
        "the rig believes the sensor to be turned about each axis and 2 m off", "MultiCorrupt"),
    FaultKind("misaligned", "mounting", _PERCEPTION, "degrees about each axis", (0.3, 1, 3), 0, 45,
        "the rig believes the sensor to be turned about each axis, as after a knock", "turned only"),
    FaultKind("clock_step", "clock", _PERCEPTION, "ms ahead", (20, 50, 200), -10_000, 10_000,
        "the sensor's clock jumps after a third of the drive, or for the time given", "lost and regained time server"),
    FaultKind("clock_drift", "clock", _PERCEPTION, "ppm fast", (50, 500, 5000), -20_000, 20_000,
        "the sensor's clock runs fast", "free oscillator; 500 and more: a broken one"),
    FaultKind("dead", "link", _STREAMS, _EVERY_TEN, (1, 3, 10), 0, 10, "nothing comes", "one sensor dead"),
    FaultKind("gnss_loss", "link", ("gnss",), _EVERY_TEN, (3, 6, 10), 0, 10, "no satellite fixes", "tunnels"),
    FaultKind("missing", "link", ("camera",), "probability", (0.2, 0.4, 0.6), 0, 1,
        "images that never come", "MultiCorrupt: missing camera"),
    FaultKind("packet_loss", "link", _STREAMS, "probability", (0.02, 0.1, 0.3), 0, 1,
        "messages that never come", "independent losses"),
    FaultKind("duplicate", "link", _STREAMS, "probability", (0.02, 0.1, 0.3), 0, 1,
        "a message comes a second time, up to half a period later", "switch with a loop"),
    FaultKind("reorder", "link", _STREAMS, "probability", (0.02, 0.1, 0.3), 0, 1,
        "a message comes after the one that follows it", "paths of different length"),
    FaultKind("delay", "link", _STREAMS, "ms", (20, 50, 150), 0, 4000,
        "everything comes later; stamps stay true", "loaded link"),
    FaultKind("bandwidth", "link", _STREAMS, "share of what the stream needs", (0.95, 0.7, 0.4), 0.01, 10,
        "a token bucket of two messages: what exceeds it waits, and is dropped beyond five periods",
        "generic cell rate algorithm, ITU-T I.371; messages of one stream count alike"),
)  # fmt: skip


def kind_named(name: str) -> FaultKind | None:
    """The row of that name."""
    return next((kind for kind in FAULTS if kind.name == name), None)


def as_markdown() -> str:
    """The table as `docs/faults.md` shows it."""
    lines = ["| fault | befalls | 1, 2, 3 | what happens | source |", "|---|---|---|---|---|"]
    for kind in FAULTS:
        amounts = ", ".join(f"{amount:g}" for amount in kind.amounts)
        befalls = ", ".join(kind.befalls)
        lines.append(f"| `{kind.name}` | {befalls} | {amounts} {kind.unit} | {kind.doc} | {kind.source} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())
