"""One conversation that several threads may use: scenes go in, sentences go in, replies and the picture come out."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable
from typing import Any

from nodes.assistant import Listen
from nodes.intent.scene import View
from pipeline.core.messages import CLASSES, Message, Stamp
from pipeline.core.speech import MAX_TEXT, Alert, Answer, Intent, Utterance

_SHOWN_M = 120.0
_ALERT_NS = 4_000_000_000  # how long the page shows a warning


class Conversation:
    """Args: now_ns: vehicle time, of which the age of the scene is taken."""

    def __init__(self, now_ns: Callable[[], int], listen: Listen | None = None) -> None:
        self._now_ns = now_ns
        self._listen = listen or Listen()
        self._lock = threading.Lock()
        self._alert: tuple[int, Alert] | None = None

    def see(self, message: Message) -> None:
        """Take in the next scene."""
        with self._lock:
            for out in self._listen.step(message, self._now_ns()):
                if isinstance(out.payload, Alert):
                    self._alert = (message.stamp.time_ns, out.payload)

    def forget(self) -> None:
        """The scenes begin anew, earlier in time: nothing is seen until the first has come. The talk goes on."""
        with self._lock:
            self._listen.forget()
            self._alert = None

    def say(self, text: str) -> dict[str, Any]:
        """What a sentence meant and the reply, as JSON; ``objects`` are those it speaks of, ego frame, metres."""
        with self._lock:
            now_ns = self._now_ns()
            stamp = Stamp(sensor_ns=now_ns, arrival_ns=now_ns, time_ns=now_ns, sequence=0)
            utterance = Utterance(id=uuid.uuid4().hex, text=text[:MAX_TEXT])
            meant, reply = (m.payload for m in self._listen.step(Message("text", stamp, utterance), now_ns))
            view = self._listen.view(now_ns)
        assert isinstance(meant, Intent)
        assert isinstance(reply, Answer)
        return {"text": text[:MAX_TEXT], **as_plain(meant, reply), "objects": _objects(view, reply.tracks)}

    def state(self) -> dict[str, Any]:
        """What the page draws: tracks in the ego frame, what ails the view, the warning of now."""
        with self._lock:
            now_ns = self._now_ns()
            view, alert = self._listen.view(now_ns), self._alert
            vehicle = self._listen.assistant.session.vehicle
        shown = None
        if alert is not None and 0 <= now_ns - alert[0] < _ALERT_NS:
            shown = {"level": alert[1].level, "english": alert[1].english, "chinese": alert[1].chinese}
        return {
            "doubt": view.doubt,
            "age_s": round(view.age_s, 2) if view.scene is not None else None,
            "tracks": _drawn(view),
            "alert": shown,
            "vehicle": {"destination": vehicle.destination, "speed": vehicle.speed, "volume": vehicle.volume},
        }


def as_plain(meant: Intent, reply: Answer) -> dict[str, Any]:
    """What was meant and the reply, as JSON shows them. scene_age_s is null where there is no scene."""
    return {
        "language": reply.language,
        "frames": [{"intent": m.intent, "slots": m.slots, "confidence": m.confidence} for m in meant.meanings],
        "reply": reply.text,
        "acted": list(reply.acted),
        "tracks": list(reply.tracks),
        "waits": reply.waits,
        "scene_age_s": None if math.isnan(reply.scene_age_s) else round(reply.scene_age_s, 3),
    }


def _objects(view: View, tracks: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.track_id,
            "kind": one.kind,
            "side": one.side,
            "distance_m": round(one.distance, 2),
            "sigma_m": round(one.sigma, 2),
            "speed_mps": round(one.speed, 2),
            "x": round(one.forward, 2),
            "y": round(one.left, 2),
        }
        for one in view.seen
        if one.track_id in tracks
    ]


def _drawn(view: View) -> list[dict[str, Any]]:
    scene = view.scene
    if scene is None:
        return []
    ego_SE3_odom = scene.odom_SE3_ego.inverse()
    turn = math.atan2(ego_SE3_odom.rotation[1, 0], ego_SE3_odom.rotation[0, 0])
    drawn = []
    for i, number in enumerate(scene.track_id.tolist()):
        x, y, _ = ego_SE3_odom @ scene.track_position[i]
        if scene.existence[i] < 0.3 or math.hypot(x, y) > _SHOWN_M:
            continue
        drawn.append({
            "id": number,
            "kind": CLASSES[int(scene.class_score[i].argmax())],
            "x": round(float(x), 2),
            "y": round(float(y), 2),
            "yaw": round(float(scene.track_yaw[i]) + turn, 3),
            "length": round(float(scene.track_size[i, 0]), 2),
            "width": round(float(scene.track_size[i, 1]), 2),
            "sure": round(float(scene.existence[i]), 2),
            "coasted": int(scene.coasted[i]),
        })  # fmt: skip
    return drawn
