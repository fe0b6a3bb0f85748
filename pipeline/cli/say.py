"""`syncline say`: a sentence to the assistant, with the scene of a recorded run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from nodes.intent.assistant import Assistant, Reply
from nodes.intent.scene import View
from nodes.voice.warnings import Warned, Warnings
from pipeline.core.errors import BadInput
from pipeline.core.messages import Scene
from pipeline.core.run_recording import RunRecording


def say(
    sentences: Annotated[list[str] | None, typer.Argument(help="One after the other, in one conversation.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder or recording whose scene is asked about.")] = None,
    at: Annotated[float, typer.Option(help="Seconds from the run's first scene.", min=0)] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each sentence.")] = False,
) -> None:
    """Say something to the vehicle, in English or Chinese; without sentences they are read from standard input.

    Example: syncline say "导航到最近的加油站" "那家有充电桩吗?"
    """
    view, warned = heard(run, at) if run else (View(None, 0, 0), None)
    assistant = Assistant()
    if warned:
        assistant.session = assistant.session.updated(warning=(warned.english, warned.chinese))
    console = Console(highlight=False)
    for sentence in sentences or (line.strip() for line in sys.stdin):
        reply = assistant.hear(sentence, view)
        if as_json:
            print(msgspec.json.encode({"text": sentence, **as_plain(reply)}).decode())
            continue
        understood = ", ".join(" ".join([f.intent, *(f"{k}={v}" for k, v in f.slots.items())]) for f in reply.frames)
        console.print(f"[dim]> {sentence}   ({understood})[/dim]\n{reply.text}")


def as_plain(reply: Reply) -> dict[str, Any]:
    """The reply as JSON shows it."""
    return {
        "language": reply.language,
        "frames": msgspec.to_builtins(reply.frames),
        "reply": reply.text,
        "acted": reply.acted,
        "tracks": reply.tracks,
        "waits": reply.waits,
    }


def heard(run: Path, at: float) -> tuple[View, Warned | None]:
    """What is seen at that second of a run, and the last warning until then. Raises BadInput: it holds no scene."""
    with RunRecording(run) as recording:
        scenes = [(m.stamp.time_ns, m.payload) for m in recording.messages(["scene"]) if isinstance(m.payload, Scene)]
    if not scenes:
        raise BadInput(run, "scene", "a run with fused scenes", "none")
    now_ns = scenes[0][0] + round(at * 1e9)
    warnings, last = Warnings(), None
    until = [(time_ns, scene) for time_ns, scene in scenes if time_ns <= now_ns]
    for time_ns, scene in until:
        last = warnings.step(scene, time_ns) or last
    time_ns, newest = until[-1]
    return View(newest, time_ns, now_ns), last
