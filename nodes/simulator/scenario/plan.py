"""A plan of a world from above: `python -m nodes.simulator.scenario.plan NAME out.png [SEED]`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import matplotlib.patches
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from nodes.simulator.scenario.load import open_world
from nodes.simulator.world.world import World

_SQUARE = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
_NARROW = 1.2  # m: what is smaller is drawn this large, so that it is seen
_COLOURS = {"car": "#1f6fd0", "truck": "#7a4fc0", "bus": "#7a4fc0", "pedestrian": "#d03a2b", "bicycle": "#e08a00"}


def plan(world: World, path: Path, instants: int = 4) -> None:
    """Draw the world at equal instants, around the ego, into a picture file."""
    matplotlib.use("Agg")
    figure = Figure(figsize=(16, 4.2 * instants), layout="constrained")
    vertices = world.static.vertices
    order = np.argsort(vertices[world.static.triangles][:, :, 2].mean(axis=1), kind="stable")
    corners = vertices[world.static.triangles[order]]
    for row, t in enumerate(np.linspace(0.0, world.duration, instants)):
        axes = figure.add_subplot(instants, 1, row + 1)
        middle = world.ego.position(t)[:2] + 25.0 * np.array([np.cos(world.ego.yaw(t)), np.sin(world.ego.yaw(t))])
        window = np.array([90.0, 23.0])
        near = (np.abs(corners[..., :2] - middle) < window + 20.0).all(axis=-1).any(axis=-1)
        paint = world.static.colour[order[near]] / 255.0
        axes.add_collection(
            PolyCollection(list(corners[near][..., :2].astype(float)), facecolors=paint, edgecolors="none")
        )
        _bodies(axes, world, float(t))
        axes.set(xlim=middle[0] + [-90, 90], ylim=middle[1] + [-23, 23], aspect="equal")
        axes.set_title(f"{world.name}, seed {world.seed}: t = {t:.1f} s", loc="left")
    figure.savefig(path, dpi=70)


def _bodies(axes: Axes, world: World, t: float) -> None:
    times = np.linspace(t, min(t + 3.0, world.duration), 16)
    for actor in world.actors:
        box = actor.box(t)
        size = np.maximum(actor.size[:2], _NARROW)
        corners = (box.rotation[:2, :2] @ (_SQUARE * size).T).T + box.translation[:2]
        doing = actor.manoeuvre(t)
        edge = "red" if doing.hazard else "black"
        axes.add_patch(
            matplotlib.patches.Polygon(corners, facecolor=_COLOURS.get(actor.kind, "#e0b000"), edgecolor=edge)
        )
        ahead = actor.motion.position(times)
        axes.plot(ahead[:, 0], ahead[:, 1], color="black", linewidth=0.8)
        if doing.name not in ("keep", "park"):
            axes.annotate(doing.name, (ahead[0, 0], ahead[0, 1]), fontsize=8, color=edge, clip_on=True)
    box = world.ego_box(t)
    corners = (box.rotation[:2, :2] @ (_SQUARE * world.ego_size[:2]).T).T + box.translation[:2]
    axes.add_patch(matplotlib.patches.Polygon(corners, facecolor="#10b050", edgecolor="black"))
    ahead = world.ego.position(times)
    axes.plot(ahead[:, 0], ahead[:, 1], color="#10b050", linewidth=1.5)
    axes.annotate(
        f"{np.linalg.norm(world.ego.velocity(t)):.1f} m/s",
        (box.translation[0], box.translation[1]),
        fontsize=8,
        clip_on=True,
    )


if __name__ == "__main__":
    plan(open_world(sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else None), Path(sys.argv[2]))
