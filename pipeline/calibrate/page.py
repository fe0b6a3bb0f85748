"""The page of a calibration: what came out, how sure, pictures before and after, what the data cannot tell."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jinja2
import numpy as np
import numpy.typing as npt

from pipeline.evaluate import style

_HERE = Path(__file__).parent
_CSS = Path(style.__file__).with_name("report.css")
_PICTURE_WIDTH = 1280


class Tile(NamedTuple):
    """A number at the top. mood: "good", "bad" or none."""

    what: str
    value: str
    unit: str = ""
    note: str = ""
    mood: str = ""


class Table(NamedTuple):
    """header and rows of text; the first column is a name."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Picture(NamedTuple):
    """bgr: (H, W, 3) uint8."""

    caption: str
    bgr: npt.NDArray[np.uint8]


class Section(NamedTuple):
    """Shown in this order. plots: inline SVG; notes: one line each."""

    title: str
    lead: str
    tables: Sequence[Table] = ()
    plots: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


class Outcome(NamedTuple):
    """What a calibration found. values: for scripts, a flat table. alerts: why it is not to be trusted as it is."""

    title: str
    under: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    values: Mapping[str, Any]
    alerts: Sequence[str] = ()


def write_page(outcome: Outcome, folder: Path) -> Path:
    """`report.html`, which needs nothing else, `result.json` and the pictures as files; the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE), autoescape=True)
    environment.filters["jpeg"] = _jpeg
    page = environment.get_template("page.html.j2").render(of=outcome, css=_CSS.read_text(encoding="utf-8"))
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    values = {"title": outcome.title, "alerts": list(outcome.alerts), **outcome.values}
    (folder / "result.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    for number, picture in enumerate(p for section in outcome.sections for p in section.pictures):
        cv2.imwrite(str(folder / f"picture_{number:02d}.png"), picture.bgr)
    return path


def _jpeg(picture: Picture) -> str:
    """base64."""
    bgr = picture.bgr
    if bgr.shape[1] > _PICTURE_WIDTH:
        size = (_PICTURE_WIDTH, round(bgr.shape[0] * _PICTURE_WIDTH / bgr.shape[1]))
        bgr = np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return base64.b64encode(data.tobytes()).decode()
