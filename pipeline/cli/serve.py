"""`syncline serve`: the assistant over HTTP, with a page to type and speak at, and the scene beside it."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nodes.talk.conversation import Conversation
from nodes.talk.server import LOOPBACK, TalkServer
from pipeline.core.clock import SystemClock
from pipeline.run.scenes import SceneFeed, recorded_scenes
from pipeline.run.watch import is_running


def serve(
    run: Annotated[
        Path | None, typer.Option(help="Run whose scene is talked about: one that goes on, or a recorded one.")
    ] = None,
    port: Annotated[int, typer.Option(help="0 = any free one.", min=0, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback open it to the network.")] = (
        "127.0.0.1"
    ),
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve the assistant: POST /say a sentence, get intent, slots, objects and reply; a page to do so by hand.

    Example: syncline serve --run out/demo
    """
    console, feed, done = Console(stderr=True), SceneFeed(), threading.Event()
    if run is not None and not is_running(run):
        recorded_scenes(run)  # raises now rather than in the thread
    conversation = Conversation(feed.now_ns)
    with TalkServer(conversation, host, port) as server:
        if host not in LOOPBACK:
            console.print(f"[yellow]anyone who reaches {host} may talk to this vehicle[/yellow]")
        console.print(f"{server.url}   (Ctrl-C ends it)", soft_wrap=True)
        if browser:
            webbrowser.open(server.url)
        looking = threading.Thread(target=_look, args=(run, feed, conversation, done), daemon=True)
        looking.start()
        with contextlib.suppress(KeyboardInterrupt):
            _until_told()
        done.set()
        looking.join()


def _look(run: Path | None, feed: SceneFeed, conversation: Conversation, done: threading.Event) -> None:
    if run is None:
        return
    if is_running(run):
        feed.follow(run, conversation.see, done.is_set)
        return
    while not done.is_set():  # a recording begins again, as one would look at it again
        conversation.forget()
        feed.play(run, conversation.see, done.is_set)


def _until_told() -> None:
    clock = SystemClock()
    while True:
        clock.sleep_until(clock.now_ns() + 3_600_000_000_000)
