"""Warnings: from the scene that shows a hazard to the first sample that the sound card is given.

    python -m benchmarks warning

A standing truck comes nearer at 20 m/s among 40 other tracks; the speaker is in the middle of a reply and is asked for
blocks of 10 ms. Counted: the node's step on the scene, the look-up, the pre-emption, and the wait for the next block at
its longest. Not counted: the sound card's own buffer, and what perception took before there was a scene. The sentences
are tones here, so that it runs without a synthesiser; how they sound changes nothing in what is counted.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from nodes.assistant import Listen
from nodes.intent.language.ontology import Language
from nodes.voice.audio import RATE, Samples
from nodes.voice.rendered import WarningSpeaker
from nodes.voice.speaker import Speaker
from pipeline.core.messages import CLASSES, C, Message, Scene, Stamp
from pipeline.core.speech import Alert

_BLOCK = RATE // 100
_RUNS = 40
_TRACKS = 40


class Tones:
    """Half a second of silence, then a tone: the silence is what has to be cut off ahead of time."""

    name = "tones"

    def synthesise(self, text: str, language: Language) -> Samples:
        tone = 0.5 * np.sin(np.arange(RATE) * 0.2)
        return np.concatenate([np.zeros(RATE // 2), tone]).astype(np.float32)


def scene(index: int) -> Message:
    """10 Hz; track 0 is the truck, the others drive beside the road."""
    rng = np.random.default_rng(0)
    position = np.column_stack([rng.uniform(0, 200, _TRACKS), rng.uniform(8, 40, _TRACKS), np.ones(_TRACKS)])
    position[0] = (60.0, 0.0, 1.0)
    score = np.full((_TRACKS, C), 0.01, "<f4")
    score[:, CLASSES.index("truck")] = 0.9
    made = Scene(
        index=index,
        position=(2.0 * index, 0.0, 0.0),
        rotation_wxyz=(1.0, 0.0, 0.0, 0.0),
        sensors=(),
        missing=(),
        track_id=np.arange(_TRACKS, dtype="<i8"),
        track_position=position.astype("<f8"),
        track_velocity=np.zeros((_TRACKS, 2), "<f8"),
        track_size=np.full((_TRACKS, 3), 4.0, "<f4"),
        track_yaw=np.zeros(_TRACKS, "<f8"),
        state_cov=np.tile(0.01 * np.eye(5), (_TRACKS, 1, 1)).astype("<f4"),
        class_score=score,
        existence=np.ones(_TRACKS, "<f4"),
        weight=np.zeros((_TRACKS, 0), "<f4"),
        age=np.full(_TRACKS, 9, "<i4"),
        coasted=np.zeros(_TRACKS, "<i4"),
    )
    stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=index * 100_000_000, sequence=index)
    return Message("scene", stamp, made)


def run() -> list[dict[str, Any]]:
    node, speaker = Listen(), Speaker()
    warnings = WarningSpeaker(Tones(), speaker)
    reply = np.full(60 * RATE, 0.001, np.float32)
    wall, busy = [], []
    for _ in range(_RUNS):
        node.forget()
        speaker.stop()
        speaker.say(reply)
        for index in range(20):
            message = scene(index)
            began, cpu = time.perf_counter(), time.process_time()
            urgent = [m.payload for m in node.step(message, 0) if isinstance(m.payload, Alert) and m.payload.level == 2]
            for alert in urgent:
                warnings.warn(alert)
                first = speaker.read(_BLOCK)
                wall.append((time.perf_counter() - began) * 1e3)
                busy.append((time.process_time() - cpu) * 1e3)
                assert np.abs(first[_BLOCK // 2 :]).max() > 0.01, "the warning's own first sound is in the block"
            if urgent:
                break
            speaker.read(_BLOCK)
    block_ms = 1e3 * _BLOCK / RATE
    lead_ms = 5.0  # kept of the rendered sentence before its first sound
    return [
        {"name": "scene to block, processor, p50", "value": round(statistics.median(busy), 3), "unit": "ms"},
        {"name": "scene to block, wall, worst", "value": round(max(wall), 3), "unit": "ms"},
        {
            "name": "hazard to first sample, worst",
            "value": round(max(wall) + block_ms + lead_ms, 2),
            "unit": "ms",
            "limit": 100,
            "limit_name": "target",
        },
    ]
