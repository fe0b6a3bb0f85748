"""How much of a laser pulse a surface sends back to where it came from.

Rough surfaces after M. Oren and S. K. Nayar, SIGGRAPH 1994, with source and eye in one place, where it becomes
A cos(a) + B sin(a)^2: unlike Lambert's, a rough road still answers at grazing incidence. Glossy paint loses what it
mirrors away, and shines where it is hit squarely; most of what car paint sends back comes from flakes that lie flat
in it, so it fades within some 25 degrees; the lighter the paint, the fewer. Retro-reflectors answer alike up to some
60 degrees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.simulator.world.material import MATERIAL_ID, MATERIALS

Float32 = npt.NDArray[np.float32]

_ROUGH = 0.22  # rad, spread of the slopes of asphalt, grass, brick, bark
_ROUGH2 = _ROUGH**2
_A, _B = 1.0 - 0.5 * _ROUGH2 / (_ROUGH2 + 0.33), 0.45 * _ROUGH2 / (_ROUGH2 + 0.09)
_LOBE2 = np.deg2rad(6.0) ** 2
_RETRO_GAIN = {"marking": 1.5, "sign": 40.0, "plate": 40.0, "tail_lamp": 12.0, "headlamp": 4.0}

SEE_THROUGH = np.array([material.see_through for material in MATERIALS])
_REFLECTIVITY = np.array([material.reflectivity for material in MATERIALS], np.float32)
_GLOSS = np.array([material.gloss for material in MATERIALS], np.float32)
_GAIN = np.array([_RETRO_GAIN.get(m.name, 10.0) if m.retro else 0.0 for m in MATERIALS], np.float32)
_DIFFUSE_A = np.where(_GLOSS > 0, 1.0, _A).astype(np.float32)
_DIFFUSE_B = np.where(_GLOSS > 0, 0.0, _B).astype(np.float32)
_PAINT = MATERIAL_ID["paint"]
_WHITE = 0.7
_FLAKES, _FLAKES2 = 0.75, np.sin(np.deg2rad(25.0)) ** 2  # share of a black paint's answer, how far they lie from flat


def reflectance(material: npt.NDArray[np.uint8], colour: npt.NDArray[np.uint8], cosine: npt.NDArray[Any]) -> Float32:
    """(N,) share of a white diffuser hit squarely that comes back; retro-reflectors beyond 1.

    cosine: (N,) of the angle of incidence, 0..1.
    """
    base = _REFLECTIVITY[material]
    cosine = cosine.astype(np.float32)
    sine2 = 1.0 - cosine * cosine
    painted = np.flatnonzero(material == _PAINT)
    paint = paint_reflectivity(colour[painted])
    flakes = _FLAKES * (1.0 - paint / _WHITE)
    base[painted] = paint * (1.0 - flakes * (1.0 - np.exp(-sine2[painted] / _FLAKES2)))
    out = base * (_DIFFUSE_A[material] * cosine + _DIFFUSE_B[material] * sine2)
    gloss = _GLOSS[material]
    glossy = np.flatnonzero((gloss > 0) & (sine2 < 9.0 * _LOBE2))
    out *= 1.0 - 0.5 * gloss
    out[glossy] += 3.0 * gloss[glossy] * np.exp(-sine2[glossy] / _LOBE2)
    retro = np.flatnonzero(_GAIN[material] > 0)
    facing = np.clip((cosine[retro] - 0.02) / 0.4, 0.0, 1.0)
    out[retro] = np.maximum(out[retro], base[retro] * _GAIN[material[retro]] * facing)
    return np.asarray(out, dtype=np.float32)


def paint_reflectivity(colour: npt.NDArray[np.uint8]) -> Float32:
    """(N,) at 905 nm of car paint hit squarely from its sRGB (N, 3): .02 for black to .7 for white.

    Near infrared follows red most, and pigments other than carbon black are brighter there than in visible light.
    """
    linear = (colour.astype(np.float32) / 255.0) ** 2.2
    seen = linear @ np.array([0.5, 0.3, 0.2], np.float32)
    saturation = (linear.max(axis=-1, initial=0.0) - linear.min(axis=-1, initial=1.0)).clip(0.0, 1.0)
    return np.asarray(0.01 + (_WHITE - 0.01) * np.clip(seen**0.8 + 0.2 * saturation, 0.0, 1.0), dtype=np.float32)


def reading(reflected: Float32) -> Float32:
    """(N,) intensity 0..1 as units give it: range is calibrated out, 100 % of a diffuser is 100 of 255, and
    retro-reflectors fill the rest on a logarithmic scale up to 255."""
    diffuse = reflected * np.float32(100.0 / 255.0)
    with np.errstate(divide="ignore"):
        retro = np.float32(100.0 / 255.0) + np.float32(155.0 / 255.0) * np.log(np.maximum(reflected, 1.0)) / np.log(
            np.float32(15.0)
        )
    return np.asarray(np.where(reflected < 1.0, diffuse, np.minimum(retro, 1.0)), dtype=np.float32)
