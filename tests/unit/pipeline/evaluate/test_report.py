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
import numpy as np
import pytest

from pipeline.evaluate.config import load_config
from pipeline.evaluate.draw import Bev
from pipeline.evaluate.judge import Evaluation, judge
from pipeline.evaluate.report import FILM, render, write_report
from pipeline.evaluate.run_log import load_run
from pipeline.evaluate.video import encode

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
