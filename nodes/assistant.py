"""Assistant on the bus: the newest scene and what was said in; what it meant, the reply and warnings out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nodes.intent.assistant import Assistant, Reply
from nodes.intent.pool import Pool
from nodes.intent.scene import SceneSettings, View
from nodes.voice.warnings import Warned, Warnings, WarningSettings
from pipeline.core.messages import Message, Scene, Stamp
from pipeline.core.settings import Settings
from pipeline.core.speech import Alert, Answer, Intent, Meaning, Utterance


class AssistantSettings(Settings, frozen=True):
    """position: of the vehicle in the town of the points of interest, m. pool: file that keeps odd sentences, redacted,
    for the project to learn from; "" keeps none."""

    scene: SceneSettings = SceneSettings()
    warnings: WarningSettings = WarningSettings()
    position: tuple[float, float] = (0.0, 0.0)
    pool: str = ""


class Listen:
    """Node around one `Assistant`: `text` -> `intent` and `reply`; `scene` -> `alert` where there is one.

    Freshness: an utterance is answered from the newest scene that has come, and the reply says how old that was when it
    was said: by the utterance's own time, else by the time the runner gives. A replay that runs as fast as it can has
    no such time; there the newest scene is now. Older than `SceneSettings.fresh_s` the answer is "I cannot tell".
    """

    def __init__(self, settings: AssistantSettings | None = None, assistant: Assistant | None = None) -> None:
        self._settings = settings or AssistantSettings()
        self._warnings = Warnings(self._settings.warnings)
        self._newest: tuple[Scene, int] | None = None
        self._sequence = 0
        self._pool = Pool(Path(self._settings.pool)) if self._settings.pool else None
        self.assistant = assistant or Assistant(position=self._settings.position)
        for greeting in ("hello", "你好"):  # templates compile at the first sentence: now, while nobody waits
            self.assistant.hear(greeting, partial=True)

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        payload = message.payload
        if isinstance(payload, Scene):
            return self._look(message, payload)
        if isinstance(payload, Utterance):
            return self._hear(message, payload, now_ns)
        raise TypeError(f"assistant takes scenes and utterances, not {type(payload).__name__} on {message.topic}")

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        return []

    def view(self, now_ns: int) -> View:
        """What is seen at ``now_ns``, vehicle time."""
        scene, scene_ns = self._newest or (None, 0)
        return View(scene, scene_ns, now_ns, self._settings.scene)

    def forget(self) -> None:
        """Nothing is seen until the next scene; the conversation stays."""
        self._newest = None
        self._warnings = Warnings(self._settings.warnings)

    def _look(self, message: Message, scene: Scene) -> list[Message]:
        time_ns = message.stamp.time_ns
        self._newest = (scene, time_ns)
        self._warnings.muted = self.assistant.session.vehicle.warnings_muted
        warned = self._warnings.step(scene, time_ns)
        if warned is None:
            return []
        self.assistant.session = self.assistant.session.updated(warning=(warned.english, warned.chinese))
        return [self._said("alert", message, time_ns, alert(warned))]

    def _hear(self, message: Message, heard: Utterance, now_ns: int) -> list[Message]:
        said_ns = message.stamp.time_ns or now_ns or (self._newest[1] if self._newest else 0)
        view = self.view(said_ns)
        reply = self.assistant.hear(heard.text, view, heard.partial)
        found = [self._said("intent", message, said_ns, intent(heard, reply))]
        if not heard.partial:
            if self._pool is not None:
                self._pool.offer(heard.text, reply.language, reply.frames)
            age_s = view.age_s if view.scene is not None else float("nan")
            found.append(self._said("reply", message, said_ns, answer(heard, reply, age_s)))
        return found

    def _said(self, topic: str, cause: Message, time_ns: int, payload: Intent | Answer | Alert) -> Message:
        self._sequence += 1
        arrival_ns = cause.stamp.arrival_ns
        stamp = Stamp(sensor_ns=time_ns, arrival_ns=arrival_ns, time_ns=time_ns, sequence=self._sequence)
        return Message(topic, stamp, payload)


def intent(heard: Utterance, reply: Reply) -> Intent:
    """What was meant, as it travels."""
    meanings = tuple(Meaning(intent=f.intent, slots=f.slots, confidence=f.confidence) for f in reply.frames)
    return Intent(id=heard.id, language=reply.language, meanings=meanings, partial=heard.partial)


def answer(heard: Utterance, reply: Reply, scene_age_s: float) -> Answer:
    """The reply, as it travels."""
    return Answer(
        id=heard.id,
        language=reply.language,
        text=reply.text,
        acted=reply.acted,
        tracks=reply.tracks,
        waits=reply.waits,
        scene_age_s=scene_age_s,
    )


def alert(warned: Warned) -> Alert:
    """The warning, as it travels."""
    return Alert(
        level=2 if warned.level == 2 else 1,
        track_id=warned.track_id,
        seconds=warned.seconds,
        english=warned.english,
        chinese=warned.chinese,
    )
