"""`syncline say`: a sentence to the assistant, with the scene of a recorded run or of one that goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from nodes.assistant import Listen
from nodes.intent.assistant import Assistant
from nodes.talk.conversation import as_plain
from pipeline.core.messages import Message, Stamp
from pipeline.core.speech import MAX_TEXT, Answer, Intent, Utterance
from pipeline.run.ask import asking
from pipeline.run.scenes import recorded_scenes


def say(
    sentences: Annotated[list[str] | None, typer.Argument(help="One after the other, in one conversation.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder or recording whose scene is asked about.")] = None,
    at: Annotated[float, typer.Option(help="Seconds from the run's first scene.", min=0)] = 0.0,
    live: Annotated[
        Path | None, typer.Option(help="Folder of a run that goes on now, with the graph `assistant`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each sentence.")] = False,
) -> None:
    """Say something to the vehicle, in English or Chinese; without sentences they are read from standard input.

    Example: syncline say "导航到最近的加油站" "那家有充电桩吗?"
    """
    texts = iter(sentences) if sentences else (line.strip() for line in sys.stdin)
    console = Console(highlight=False)
    for text, meant, reply in _to_live(live, texts) if live else _to_recording(run, at, texts):
        if as_json:
            print(msgspec.json.encode({"text": text, **as_plain(meant, reply)}).decode())
            continue
        understood = ", ".join(" ".join([m.intent, *(f"{k}={v}" for k, v in m.slots.items())]) for m in meant.meanings)
        console.print(f"[dim]> {text}   ({understood})[/dim]\n{reply.text}")


def asked(listen: Listen, text: str, said_ns: int) -> tuple[Intent, Answer]:
    """Ask a `Listen` in this process. said_ns: vehicle time."""
    stamp = Stamp(sensor_ns=said_ns, arrival_ns=said_ns, time_ns=said_ns, sequence=0)
    heard = Message("text", stamp, Utterance(id="", text=text[:MAX_TEXT]))
    meant, reply = (message.payload for message in listen.step(heard, said_ns))
    assert isinstance(meant, Intent)
    assert isinstance(reply, Answer)
    return meant, reply


def _to_live(folder: Path, texts: Iterator[str]) -> Iterator[tuple[str, Intent, Answer]]:
    with asking(folder) as asker:
        for text in texts:
            yield text, *asker.ask(text)


def _to_recording(run: Path | None, at: float, texts: Iterator[str]) -> Iterator[tuple[str, Intent, Answer]]:
    listen = Listen(assistant=Assistant())
    now_ns = until(listen, run, at) if run else 0
    for text in texts:
        yield text, *asked(listen, text, now_ns)


def until(listen: Listen, run: Path, at: float) -> int:
    """Show ``listen`` the run's scenes up to that second; the vehicle time then. Raises BadInput: it holds no scene."""
    scenes = recorded_scenes(run)
    now_ns = scenes[0].stamp.time_ns + round(at * 1e9)
    for message in scenes:
        if message.stamp.time_ns <= now_ns:
            list(listen.step(message, now_ns))
    return now_ns
