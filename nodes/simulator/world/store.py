"""A placed world in a file: traffic takes seconds to play out, reading it back takes milliseconds.

Arrays lie in an `.npz` without pickles; everything else is one MessagePack document among them. What is read back moves
to the bit as what was written.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from nodes.simulator.world.environment import Light, Weather
from nodes.simulator.world.mesh import Mesh
from nodes.simulator.world.motion import Motion
from nodes.simulator.world.world import Actor, Lamp, Manoeuvre, World
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings

VERSION = 2
_MAX_BYTES = 256 << 20


class _Actor(Settings, frozen=True):
    object_id: int
    kind: str
    size: tuple[float, float, float]
    shape: str
    paint: tuple[int, int, int]
    manoeuvres: tuple[Manoeuvre, ...]
    towed_by: int


class _Rest(Settings, frozen=True):
    """All of a world that is no array."""

    version: int
    name: str
    seed: int
    duration: float
    actors: tuple[_Actor, ...]
    weather: Weather
    light: Light
    lamps: tuple[Lamp, ...]
    roofed: tuple[tuple[float, float], ...]
    ego_size: tuple[float, float, float]
    ego_tail: float


def save_world(world: World, path: Path) -> None:
    """Write ``world``; the file appears under its name only when it is whole."""
    motions = [world.ego, *(actor.motion for actor in world.actors)]
    rest = _Rest(
        version=VERSION,
        actors=tuple(_Actor(**{k: getattr(a, k) for k in _Actor.__struct_fields__}) for a in world.actors),
        **{k: getattr(world, k) for k in _Rest.__struct_fields__ if k not in ("version", "actors")},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            rest=np.frombuffer(msgspec.msgpack.encode(rest), np.uint8),
            times=np.concatenate([motion.times for motion in motions]),
            samples=np.concatenate([motion.samples for motion in motions]),
            ends=np.cumsum([len(motion.times) for motion in motions]),
            **{f"static_{name}": array for name, array in world.static._asdict().items()},
        )
    partial.replace(path)


def load_world(path: Path) -> World:
    """Inverse of `save_world`.

    Raises:
        BadInput: not such a file, or one that is damaged or of another version.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise BadInput(path, "size", f"at most {_MAX_BYTES} bytes", path.stat().st_size)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        rest = msgspec.msgpack.decode(arrays["rest"].tobytes(), type=_Rest)
        if rest.version != VERSION:
            raise BadInput(path, "version", str(VERSION), rest.version)
        motions = _motions(arrays)
        static = Mesh(*(arrays[f"static_{name}"] for name in Mesh._fields))
        actors = [
            Actor(**{k: getattr(a, k) for k in _Actor.__struct_fields__}, motion=motion)
            for a, motion in zip(rest.actors, motions[1:], strict=True)
        ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(path, "file", "a world that was written here", error) from error
    of_world = {k: getattr(rest, k) for k in _Rest.__struct_fields__ if k not in ("version", "actors")}
    return World(ego=motions[0], actors=tuple(actors), static=static, **of_world)


def _motions(arrays: dict[str, npt.NDArray[np.float64]]) -> list[Motion]:
    ends = arrays["ends"].tolist()
    times, samples = (np.split(arrays[name], ends[:-1]) for name in ("times", "samples"))
    return [Motion(t, x[:, :3], x[:, 3], x[:, 4], x[:, 5]) for t, x in zip(times, samples, strict=True)]
