"""Which way a vehicle points when little of it was seen: as the vehicles around it do.

A cluster longer than a vehicle is wide shows its heading. A shorter one may be a front or a piece of a side; its box
fits two headings a quarter turn apart. Traffic and parked rows share directions, so it takes the one on which the clear
cases nearby agree, the own vehicle being one of them. Headings are axes here: front and back look alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.detect.box import Boxes, extents, quarter_turn
from pipeline.core.settings import Settings

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class HeadingSettings(Settings, frozen=True):
    """clear_length_m: a vehicle box longer than this shows its heading. neighbour_m: reach of a clear neighbour's vote.

    own_weight: votes that the own heading counts as. clear_sigma, doubtful_sigma: rad, of a heading that was seen and
    of one taken from the neighbours. snap: a doubtful box closer than this to the vote is turned onto it, rad.
    """

    clear_length_m: float = 2.4
    neighbour_m: float = 20.0
    own_weight: float = 0.5
    clear_sigma: float = 0.12
    doubtful_sigma: float = 0.4
    snap: float = 0.2


class Headed(NamedTuple):
    boxes: Boxes
    yaw_sigma: Array  # (K,) rad


def settle_headings(
    boxes: Boxes,
    xy: npt.NDArray[np.float32],
    start: npt.NDArray[np.int64],
    vehicle: Mask,
    trusted: Mask,
    settings: HeadingSettings,
) -> Headed:
    """Boxes turned to the heading of the vehicle that they are part of; other boxes stay as they are.

    Args:
        boxes: (K,) visible boxes, longer side first.
        xy, start: the points behind them, as for `box.fit_boxes`.
        vehicle: (K,) taken for vehicles. trusted: (K,) sure enough to vote.
    """
    length = boxes.high[:, 0] - boxes.low[:, 0]
    clear = length > settings.clear_length_m
    place = boxes.centre
    voter = np.flatnonzero(vehicle & trusted & clear)
    squared = ((place[:, None] - place[voter]) ** 2).sum(axis=2)
    vote = np.exp(-squared / (2 * settings.neighbour_m**2)) @ np.exp(2j * boxes.yaw[voter]) + settings.own_weight
    voted = np.angle(vote) / 2

    doubtful = vehicle & ~clear
    turned = quarter_turn(boxes, doubtful & (np.cos(2 * (boxes.yaw - voted)) < 0))
    off = np.angle(np.exp(2j * (voted - turned.yaw))) / 2
    snapped = doubtful & (np.abs(off) < settings.snap)
    yaw = np.where(snapped, turned.yaw + off, turned.yaw)
    low, high = extents(xy, start, yaw) if len(yaw) else (turned.low, turned.high)
    sigma = np.where(doubtful, settings.doubtful_sigma, settings.clear_sigma)
    return Headed(turned._replace(yaw=yaw, low=low, high=high), sigma)
