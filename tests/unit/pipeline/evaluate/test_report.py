"""The report of a made-up run: self-contained, complete, honest about what is wrong."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from pipeline.core.messages import Message, Scene
from pipeline.evaluate import objects
from pipeline.evaluate.config import load_config
from pipeline.evaluate.draw import Bev
from pipeline.evaluate.judge import Evaluation, judge
from pipeline.evaluate.report import FILM, render, write_report
from pipeline.evaluate.run_log import load_run
from pipeline.evaluate.video import encode
from pipeline.evaluate.weights import TrackWeights

CONFIG = load_config(Path(__file__).parents[4] / "configs" / "eval" / "nuscenes.yaml")
WriteRun = Callable[..., Path]
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balance(HTMLParser):
    """Collects ids and links, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(html: str) -> Balance:
    page = Balance()
    page.feed(html)
    assert not page.open
    return page


def test_the_page_is_whole_and_needs_nothing_else(good: Evaluation, tmp_path: Path) -> None:
    path = write_report(good, tmp_path)
    html = path.read_text(encoding="utf-8")
    assert path.name == "report.html"
    assert len(html) < 15_000_000
    assert base64.b64encode((tmp_path / FILM).read_bytes()).decode() in html
    page = read(html)
    outside = [link for link in page.links if not link.startswith(("#", "data:"))]
    assert not outside
    assert not re.findall(r"https?:|url\((?!#)|@import|<script", html)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)  # no link leads nowhere
    for section in ("film", "messages", "alignment", "latency", "detection", "tracking", "gaps", "weights", "honesty"):
        assert section in page.ids
    assert "gap-1" in page.ids
    assert "#5ce0" not in html  # every colour became the page's
    assert "No sensor detected it; 30–30 LiDAR returns on it; top missing (late)." in html


def test_a_run_without_identities_images_or_latency_still_reports(write_run: WriteRun) -> None:
    run = load_run(write_run(identities=False, images=False, frames=5))
    page = read(render(judge(dataclasses.replace(run, timings=[]), CONFIG)))
    assert "tracking" not in page.ids
    assert "detection" in page.ids


def test_an_unbalanced_ledger_stands_at_the_top(write_run: WriteRun) -> None:
    html = render(judge(load_run(write_run(images=False, unbalanced=True, frames=5)), CONFIG))
    assert "NOT BALANCED" in html
    assert html.index('class="alert"') < html.index('id="messages"')


@pytest.mark.slow
def test_names_from_the_recording_are_escaped(write_run: WriteRun) -> None:
    folder = write_run(images=False, frames=4, graph="name: <script>alert(1)</script>\n")
    assert "<script" not in render(judge(load_run(folder), CONFIG))


def test_an_empty_run_still_gives_a_page(write_run: WriteRun) -> None:
    page = read(render(judge(load_run(write_run(frames=0)), CONFIG)))
    assert "settings" in page.ids


def test_film_is_h264_of_the_size_given() -> None:
    frames = [np.full((64, 96, 3), 20 * i, np.uint8) for i in range(5)]
    data = encode(frames, (96, 64), 10.0, 1_000_000)
    with av.open(io.BytesIO(data)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 96, 64)
        assert sum(1 for _ in film.decode(stream)) == 5
    assert encode([], (96, 64), 10.0, 1) == b""


def test_bev_puts_ahead_up_and_left_left() -> None:
    bev = Bev(200, 100, 2.0, (10.0, 0.0))
    np.testing.assert_allclose(bev.pixels([[10.0, 0.0], [20.0, 0.0], [10.0, 5.0]]), [[100, 50], [100, 30], [90, 50]])


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_runs(write_run: WriteRun, frames: int) -> None:
    read(render(judge(load_run(write_run(frames=frames)), CONFIG)))


def test_what_ails_a_sensor_stands_where_it_was_first_named(write_run: WriteRun) -> None:
    run = load_run(write_run(images=False, frames=12))
    scenes = []
    for i, message in enumerate(run.scenes):
        assert isinstance(message.payload, Scene)
        n = len(message.payload.sensors)
        health = np.full(n, 1.0, np.float32)
        health[0] = 1.0 if i < 4 else 0.1
        fault = ("" if i < 4 else "misaligned", *[""] * (n - 1))
        judged = msgspec.structs.replace(message.payload, sensor_health=health, sensor_fault=fault)
        scenes.append(Message(message.topic, message.stamp, judged))
    html = render(judge(dataclasses.replace(run, scenes=scenes), CONFIG))
    assert "health" in read(html).ids
    assert html.count(">misaligned</text>") == 1
    since = (scenes[4].stamp.time_ns - run.start_ns) / 1e9
    assert f"from {since:.1f} s: healthy with 0.1, said to be misaligned" in html
    assert "health" not in read(render(judge(run, CONFIG))).ids


def test_objects_are_those_that_were_lost_that_changed_and_that_stayed() -> None:
    def track(number: int, weight: np.ndarray, existence: np.ndarray) -> TrackWeights:
        n = len(existence)
        times = np.arange(n, dtype=np.int64) * 100_000_000
        ones = np.ones(n)
        return TrackWeights(number, "car", times, weight, existence, 20 * ones, 0.5 * ones, np.arange(n))

    steady, sure = np.tile([0.5, 0.5], (40, 1)), np.full(40, 0.9)
    turned = np.repeat([[0.9, 0.1], [0.2, 0.8]], 20, axis=0)
    lost = np.where((np.arange(40) >= 10) & (np.arange(40) < 20), 0.2, 0.9)
    tracks = [
        track(1, steady, sure),
        track(2, turned, sure),
        track(3, steady, lost),
        track(4, steady, np.full(40, 0.3)),
    ]
    found = {t.track_id: why for t, why in objects.chosen(tracks, 0.5)}
    assert found[3] == "lost for 1.0 s and found again"
    assert found[2] == "its weights changed by 70%"
    assert found[1] == "there for 3.9 s"
    assert 4 not in found
    assert objects.unconfirmed([0, 10**8, 2 * 10**8], [0.9, 0.1, 0.9], 0.5) == [[1]]
