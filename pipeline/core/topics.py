"""The table of topics: every name on the bus, its type, how it queues and whether it is recorded.

Liveness checks, the recorder, the viewer and `docs/topics.md` derive from it.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

from pipeline.core import messages as m
from pipeline.core import speech
from pipeline.core.arrays import Payload
from pipeline.core.heads import TrackHeads, WeatherHead
from pipeline.core.truth import TruthBehaviour, TruthObjects, TruthSensor, TruthVisibility


class Topic(NamedTuple):
    """pattern: a name, or `prefix/*` for one per sensor or node.

    queue: `lossless` waits in order up to `depth` and then counts losses; `latest` keeps only the newest.
    role: `sensor` = from outside; `derived` = computed by a node; `truth` = labels; `run` = about the run; `person` =
    from a person, by whoever is on the bus: a graph that listens needs no publisher of it.
    """

    pattern: str
    payload: type[Payload]
    role: Literal["sensor", "derived", "truth", "run", "person"]
    queue: Literal["lossless", "latest"]
    depth: int
    recorded: bool
    doc: str


TOPICS = (
    Topic(
        "camera/*", m.CameraImage, "sensor", "lossless", 24, True, "images as the camera or the recording gives them"
    ),
    Topic("lidar/*", m.PointCloud, "sensor", "lossless", 16, True, "one sweep per message"),
    Topic("radar/*", m.RadarScan, "sensor", "lossless", 64, True, "one cycle per message"),
    Topic("imu/*", m.ImuSample, "sensor", "lossless", 512, True, "angular rate and acceleration"),
    Topic("wheel/*", m.WheelSpeed, "sensor", "lossless", 256, True, "rear axle speed"),
    Topic("gnss/*", m.GnssFix, "sensor", "lossless", 64, True, "satellite fixes"),
    Topic("pose/*", m.EgoPose, "sensor", "lossless", 512, True, "odom_SE3_ego; pose/ego is the one the pipeline uses"),
    Topic("detections/*", m.Detections, "derived", "lossless", 64, True, "one detector's output, per sensor"),
    Topic(
        "calibration/*", m.CalibrationState, "derived", "lossless", 64, True, "whether a camera still sits as it did"
    ),
    Topic("frames", m.FrameSet, "derived", "lossless", 64, True, "sensors aligned to one reference instant"),
    Topic("scene", m.Scene, "derived", "lossless", 64, True, "fused tracks with weight per sensor"),
    Topic("text", speech.Utterance, "person", "lossless", 16, False, "what was said; words are never recorded"),
    Topic("intent", speech.Intent, "derived", "lossless", 16, False, "what an utterance meant"),
    Topic("reply", speech.Answer, "derived", "lossless", 16, False, "what is answered, and how old the scene was"),
    Topic("alert", speech.Alert, "derived", "lossless", 16, True, "warnings to speak now, from the scene alone"),
    Topic("heads/tracks", TrackHeads, "derived", "lossless", 64, True, "intent, hazard and attention of each track"),
    Topic("heads/weather", WeatherHead, "derived", "lossless", 64, True, "the weather as the sensors show it"),
    Topic("truth/objects", TruthObjects, "truth", "lossless", 64, True, "labels; never an input of fusion"),
    Topic("truth/behaviour", TruthBehaviour, "truth", "lossless", 64, True, "manoeuvre and hazard of each object"),
    Topic("truth/visibility/*", TruthVisibility, "truth", "lossless", 64, True, "what each sensor could see"),
    Topic("truth/sensor/*", TruthSensor, "truth", "lossless", 64, True, "true clock, place and faults of a sensor"),
    Topic("truth/ego", m.EgoPose, "truth", "lossless", 512, True, "true pose of the vehicle"),
    Topic("stream/*", m.StreamStatus, "run", "lossless", 256, True, "each sensor stream's own count and watermark"),
    Topic("clock/*", m.ClockState, "run", "lossless", 256, True, "each sensor clock's estimated state"),
    Topic("ledger", m.LedgerState, "run", "latest", 1, True, "received = fused + dropped(reason) + in flight"),
    Topic("status/*", m.NodeStatus, "run", "lossless", 64, True, "heartbeat of each node"),
    Topic("timing/*", m.Timing, "run", "lossless", 1024, True, "where each step's time went"),
    Topic("progress", m.Progress, "run", "lossless", 256, False, "flow control: how far fusion has come"),
    Topic(
        "progress/*",
        m.Progress,
        "run",
        "lossless",
        256,
        False,
        "flow control: how far the recorder has come",
    ),
    Topic("run/control", m.Control, "run", "lossless", 64, True, "pause, step, seek and rate of a replay"),
    Topic("run/info", m.RunInfo, "run", "latest", 1, True, "what runs: rig, graph, version; repeated for late comers"),
)


@functools.lru_cache(maxsize=4096)
def topic_row(name: str) -> Topic:
    """The row for a topic name.

    Raises:
        KeyError: no row matches.
    """
    for row in TOPICS:
        if topic_matches(row.pattern, name):
            return row
    raise KeyError(f"no topic {name!r} in the topics table")


def topic_matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` is the name itself or `prefix/*` over it."""
    return pattern == name or (pattern.endswith("/*") and pattern[:-2] == name.rpartition("/")[0])


def as_markdown() -> str:
    """The table as `docs/topics.md` shows it; written there by ``python -m pipeline.core.topics > docs/topics.md``."""
    lines = [
        "# Topics",
        "",
        "Every name on the bus. Written by `python -m pipeline.core.topics > docs/topics.md` from the table in",
        "`pipeline/core/topics.py`; what each type holds, with shapes, units and frames, stands in",
        "`pipeline/core/messages.py`, for heads in `pipeline/core/heads.py` and for truth in `pipeline/core/truth.py`.",
        "",
        "| topic | type | role | queue | depth | recorded | what |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in TOPICS:
        kept = "yes" if row.recorded else "no"
        name = row.payload.__name__
        lines.append(f"| `{row.pattern}` | {name} | {row.role} | {row.queue} | {row.depth} | {kept} | {row.doc} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(as_markdown())
