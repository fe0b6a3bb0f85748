"""One look for every plot: drawn by matplotlib, coloured by the page, so that light and dark both come out right.

Plots use the colours of `COLOUR` and `sensor_colours`: placeholders that `to_svg` turns into CSS variables of the page.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.use("Agg")

P = ParamSpec("P")

# A placeholder is a colour that nothing else draws with: #5ce0NN.
_NAMES = (
    "ink",
    "muted",
    "line",
    "fused",
    "good",
    "bad",
    "truth",
    *(f"{modality}-{shade}" for modality in ("camera", "lidar", "radar") for shade in range(4)),
    *(f"class-{number}" for number in range(10)),
    *(f"track-{number}" for number in range(6)),
)
COLOUR: dict[str, str] = {name: f"#5ce0{number:02x}" for number, name in enumerate(_NAMES)}
"""CSS variable name -> placeholder."""

_RC: Any = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": COLOUR["line"],
    "axes.labelcolor": COLOUR["muted"],
    "axes.titlecolor": COLOUR["ink"],
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": COLOUR["line"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOUR["muted"],
    "ytick.color": COLOUR["muted"],
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "text.color": COLOUR["ink"],
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.labelcolor": COLOUR["muted"],
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "path.simplify": True,
}


def plot(draw: Callable[P, Figure | None]) -> Callable[P, str]:
    """Makes a function that draws a figure one that gives inline SVG, "" for None, in the look of the report."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        with mpl.rc_context(_RC):
            fig = draw(*args, **kwargs)
            return "" if fig is None else to_svg(fig, draw.__name__.replace("_", "-"))

    return drawn


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Figure, list[Any]]:
    """A figure of ``width`` x ``height`` inches and its axes, row by row."""
    fig = Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False, **kwargs)
    return fig, list(axes.ravel())


def to_svg(fig: Figure, name: str) -> str:
    """Inline SVG whose colours and font are the page's. ``name`` keeps the ids of several figures apart."""
    buffer = io.StringIO()
    nothing: Any = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name, "svg.id": name}):
        fig.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("xlink:href", "href").replace('id="', f'id="{name}-').replace("url(#", f"url(#{name}-")
    svg = svg.replace('href="#', f'href="#{name}-')
    svg = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1var(--font)", svg)
    for css, placeholder in COLOUR.items():
        svg = svg.replace(placeholder, f"var(--{css})")
    return svg.strip()


def sensor_colours(modality: Mapping[str, str]) -> dict[str, str]:
    """CSS variable names of sensors: one hue per modality, one shade per sensor of it."""
    seen: dict[str, int] = {}
    names = {}
    for sensor, kind in modality.items():
        names[sensor] = f"{kind}-{seen.get(kind, 0) % 4}"
        seen[kind] = seen.get(kind, 0) + 1
    return names


def legend(ax: Any, columns: int = 4, names: Sequence[str] = ()) -> None:
    """Above the axes, left aligned, without a box."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            handles,
            list(names) or labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            borderaxespad=0.2,
            handlelength=1.4,
            columnspacing=1.2,
        )
