"""What surfaces are made of, as light, a laser and a radar see it."""

from __future__ import annotations

from typing import NamedTuple


class Material(NamedTuple):
    """reflectivity: share of 905 nm light that a diffuse surface sends back, 0..1. gloss: share of visible light that
    mirrors, 0..1. retro: sends light back to where it came from (plates, signs, markings). see_through: a laser passes.

    Reflectivities are of the order that measurement campaigns give for asphalt (.1-.2) and for weathered concrete,
    brick and plaster (.2-.3). Leaves send back .5, but half of a beam meets the gaps between them. Retro-reflective
    sheeting is far above 1 of a white diffuser. What real LiDARs read of them: docs/realism.md.
    """

    name: str
    reflectivity: float
    gloss: float = 0.0
    retro: bool = False
    see_through: bool = False


MATERIALS = (
    Material("asphalt", 0.14),
    Material("marking", 0.60, retro=True),
    Material("pavement", 0.22),
    Material("grass", 0.28),
    Material("concrete", 0.25),
    Material("brick", 0.20),
    Material("facade", 0.26),
    Material("window", 0.10, gloss=0.6),
    Material("foliage", 0.25),
    Material("bark", 0.18),
    Material("metal", 0.40, gloss=0.3),
    Material("paint", 0.50, gloss=0.35),  # a vehicle's body: its colour and reflectivity follow the instance
    Material("glass", 0.06, gloss=0.8, see_through=True),
    Material("tyre", 0.05),
    Material("plastic", 0.12),
    Material("headlamp", 0.60, gloss=0.5, retro=True),
    Material("tail_lamp", 0.50, retro=True),
    Material("plate", 0.90, retro=True),
    Material("sign", 0.90, retro=True),
    Material("skin", 0.45),
    Material("cloth", 0.35),
    Material("street_lamp", 0.50),
)
"""Index = material id in a mesh."""

MATERIAL_ID = {material.name: index for index, material in enumerate(MATERIALS)}
