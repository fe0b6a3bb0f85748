"""Faults of a camera: what is done to an image (H, W, 3) uint8 blue-green-red, sRGB."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np

from nodes.simulator.world.environment import Weather
from nodes.weather.camera import Exposure, to_image, to_linear, weathered_image

Image: TypeAlias = np.ndarray  # uint8
Field: TypeAlias = np.ndarray  # float32

_FULL_WELL = 8000.0  # electrons of white in daylight
_READ_NOISE = 4.0  # electrons
_MOST_GAIN = 16.0  # that a camera makes up for
_MUD_BGR = (38.0, 52.0, 66.0)
_DROPS_LAST_NS = 2_000_000_000


class Shot(NamedTuple):
    """What a fault may know of an image. depth: makes (h, w) metres, any size of the same view. focal_px: pixels.

    since_ns: since the drive's start. lens: a generator that is the same for every image of
    this camera; given a number, for every image with that number.
    """

    depth: Callable[[], Field]
    focal_px: float
    since_ns: int
    lens: Callable[[int], np.random.Generator]


ImageFault = Callable[[Image, float, Shot, np.random.Generator], Image]


def fog(image: Image, visibility_m: float, shot: Shot, rng: np.random.Generator) -> Image:
    return weathered_image(image, shot.depth(), Weather(visibility_m=visibility_m), rng, Exposure(shot.focal_px))


def rain(image: Image, mm_h: float, shot: Shot, rng: np.random.Generator) -> Image:
    return weathered_image(image, shot.depth(), Weather(rain_mm_h=mm_h), rng, Exposure(shot.focal_px))


def snow(image: Image, mm_h: float, shot: Shot, rng: np.random.Generator) -> Image:
    return weathered_image(image, shot.depth(), Weather(snow_mm_h=mm_h), rng, Exposure(shot.focal_px))


def dark(image: Image, stops: float, shot: Shot, rng: np.random.Generator) -> Image:
    """Less light by so many stops. The camera amplifies by up to 16, and its photon and read noise with it.

    The variance in electrons is signal + read noise^2 (EMVA 1288); noise is as good as normal from ten electrons on.
    """
    share = 2.0**-stops
    gain = min(1.0 / share, _MOST_GAIN)
    electrons = to_linear(image)
    electrons *= np.float32(_FULL_WELL * share)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise *= cv2.sqrt(electrons + np.float32(_READ_NOISE**2))
    electrons += noise
    electrons *= np.float32(gain / _FULL_WELL)
    return to_image(electrons)


def glare(image: Image, white_degrees: float, shot: Shot, rng: np.random.Generator) -> Image:
    """A sun in the upper part of the picture whose veil, c / (angle^2 + disc^2), reaches white at ``white_degrees``."""
    height, width = image.shape[:2]
    lens = shot.lens(0)
    at = np.array([lens.uniform(0.2, 0.8) * width, lens.uniform(0.15, 0.4) * height])
    step = max(1, width // 160)
    v, u = np.mgrid[0:height:step, 0:width:step].astype(np.float32)
    degrees = np.degrees(np.arctan(np.hypot(u - at[0], v - at[1]) / shot.focal_px))
    veil = ((white_degrees**2 + 1.0) / (degrees**2 + 1.0)).astype(np.float32)
    veil = cv2.resize(np.minimum(veil, 8.0), (width, height), interpolation=cv2.INTER_LINEAR)
    return to_image(cv2.add(to_linear(image), cv2.merge([0.85 * veil, 0.95 * veil, veil])))


def dirt(image: Image, share: float, shot: Shot, rng: np.random.Generator) -> Image:
    """Smooth random patches that cover this share of the image, mud-coloured, with soft edges."""
    height, width = image.shape[:2]
    small = shot.lens(0).standard_normal((90, 160)).astype(np.float32)
    patches = np.sum([cv2.GaussianBlur(small, (0, 0), s) * s for s in (3.0, 7.0, 14.0)], axis=0)
    edge = float(np.quantile(patches, 1.0 - share)) if 0 < share < 1 else (-math.inf if share else math.inf)
    cover = 1.0 / (1.0 + np.exp(-np.clip((patches - edge) / (0.12 * float(patches.std())), -30, 30)))
    cover = cv2.resize(0.97 * cover.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    mud = np.full(image.shape, _MUD_BGR, np.uint8)
    return np.asarray(cv2.blendLinear(image, mud, np.clip(1.0 - cover, 0, 1), np.clip(cover, 0, 1)))


def drops(image: Image, number: float, shot: Shot, rng: np.random.Generator) -> Image:
    """Drops on the lens: a wide view of the scene, upside down and out of focus, in each."""
    height, width = image.shape[:2]
    lens = shot.lens(1 + shot.since_ns // _DROPS_LAST_NS)
    cover = np.zeros((height, width), np.uint8)
    for _ in range(round(number)):
        centre = (int(lens.integers(width)), int(lens.integers(height)))
        radius = max(2, round(width * float(lens.gamma(4.0, 0.0035))))
        cv2.ellipse(cover, centre, (radius, round(radius * lens.uniform(1.0, 1.4))), 0, 0, 360, 255, -1)
    edge = max(3, width // 160) | 1
    weight = cv2.GaussianBlur(cover, (edge, edge), 0).astype(np.float32) * np.float32(0.9 / 255)
    shape = (width // 4, height // 4)
    through = cv2.GaussianBlur(cv2.flip(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), 0), (0, 0), width / 120)
    through = cv2.resize(through, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(image, through, 1.0 - weight, weight))


def blur(image: Image, share: float, shot: Shot, rng: np.random.Generator) -> Image:
    """Every point becomes a disc of this share of the width; in linear light, so that lamps stay bright."""
    radius = 0.5 * share * image.shape[1]
    v, u = np.mgrid[-math.ceil(radius) : math.ceil(radius) + 1, -math.ceil(radius) : math.ceil(radius) + 1]
    disc = np.clip(radius + 0.5 - np.hypot(u, v), 0.0, 1.0).astype(np.float32)
    return to_image(cv2.filter2D(to_linear(image), -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE))


def motion_blur(image: Image, share: float, shot: Shot, rng: np.random.Generator) -> Image:
    """Every point becomes a line of this share of the width, up to 15 degrees off the horizontal."""
    size = max(1, round(share * image.shape[1])) | 1
    kernel = np.zeros((size, size), np.float32)
    half, angle = size // 2, math.radians(float(rng.uniform(-15.0, 15.0)))
    reach = np.array([math.cos(angle), math.sin(angle)]) * half
    start, end = (np.rint(half + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return to_image(cv2.filter2D(to_linear(image), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


IMAGE_FAULTS: dict[str, ImageFault] = {
    "fog": fog,
    "rain": rain,
    "snow": snow,
    "dark": dark,
    "glare": glare,
    "dirt": dirt,
    "drops": drops,
    "blur": blur,
    "motion_blur": motion_blur,
}
"""By the names of the table."""
