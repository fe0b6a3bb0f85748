"""Fog, rain and snow in an image: light lost on the way, air light gained, and single drops and flakes near the camera.

Koschmieder 1924: I = J exp(-e d) + A (1 - exp(-e d)), in linear light. A drop or flake is seen as a piece of that same
air light A, mixed by the share of the exposure in which it covers a pixel (Garg and Nayar, IJCV 2007).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from nodes.simulator.world.environment import Weather
from nodes.weather.air import extinction, fall_speed, rain_drops, snow_flakes

Image: TypeAlias = np.ndarray  # uint8
Field: TypeAlias = np.ndarray  # float32

_SKY_M = 150.0  # beyond it, what is seen is taken for sky or is as pale
_ENOUGH_SKY = 0.01  # share of the image
_SEEN_PIXELS = 0.35  # width from which a drop is drawn; smaller ones are part of the extinction
_FLAKE_PIXELS = 1.0
_FLAKE_PER_MELTED = 4.0  # diameter of a flake over that of its water: some 2 % of the density of water
_FLAKE_SPEED = 1.0  # m/s
_MOST_DRAWN = 2500
_SUBPIXEL = 4  # binary digits
_STRIP = 48  # rows at a time, which stay in the cache
_RAIN_SIZES = np.arange(0.75, 6.0, 0.25)
_SNOW_SIZES = np.arange(0.5, 4.0, 0.25)


class Exposure(NamedTuple):
    """focal_px: focal length, pixels; 0 = that of a lens 80 degrees wide. seconds: for how long. speed: of the camera
    along its axis, m/s, which turns falling drops into streaks from the point it goes to."""

    focal_px: float = 0.0
    seconds: float = 0.004
    speed: float = 0.0


def weathered_image(
    image: Image,
    depth: Field,
    weather: Weather,
    rng: np.random.Generator,
    exposure: Exposure | None = None,
    spray: Field | None = None,
) -> Image:
    """The image as the camera would see the scene in this weather.

    Args:
        image: (H, W, 3) blue-green-red, sRGB, of the scene in clear air.
        depth: (h, w) metres from the camera along the ray, inf for the sky; any size of the same view.
        spray: (h, w) optical depth of what wheels throw up in front of what is seen there; any size of the same view.

    Returns:
        (H, W, 3) as the image; the image itself where the air is clear.
    """
    per_metre = extinction(weather)
    if per_metre == 0.0 and spray is None:
        return image
    height, width = image.shape[:2]
    passes = _sized(cv2.exp(np.minimum(depth, 1e6) * np.float32(-per_metre)), width, height)
    if spray is not None:
        passes *= cv2.exp(-_sized(spray, width, height))
    drops = _drops(height, width, weather, exposure or Exposure(), rng)
    if drops is not None:
        passes *= 1.0 - drops
    air = air_light(image, depth)
    out = np.empty_like(image)
    for top in range(0, height, _STRIP):
        rows = slice(top, top + _STRIP)
        linear, share = to_linear(image[rows]), passes[rows]
        rest = 1.0 - share
        linear = cv2.multiply(linear, cv2.merge([share, share, share]), dst=linear)
        out[rows] = to_image(cv2.add(linear, cv2.merge([colour * rest for colour in air]), dst=linear))
    return out


def _sized(field: Field, width: int, height: int) -> Field:
    if field.shape == (height, width):
        return field
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR))


def air_light(image: Image, depth: Field) -> tuple[float, float, float]:
    """Blue, green, red, linear, of the light that comes out of the air: that of the sky, half way to grey as under
    cloud; where little sky is seen, that of the brightest tenth of the image."""
    step = max(1, image.shape[0] // 90)
    some = image[::step, ::step]
    pixels = to_linear(some).reshape(-1, 3)
    far = cv2.resize(depth, (some.shape[1], some.shape[0]), interpolation=cv2.INTER_NEAREST).reshape(-1) > _SKY_M
    if far.mean() < _ENOUGH_SKY:
        brightness = pixels.sum(axis=1)
        far = brightness >= np.quantile(brightness, 0.9)
    colour = np.median(pixels[far], axis=0)
    blue, green, red = (0.5 * colour + 0.5 * colour.mean()).tolist()
    return blue, green, red


def to_linear(image: Image) -> Field:
    """(H, W, 3) float32 light, 0..1. A square law stands for the curve of sRGB: near it, and much faster."""
    field = image.astype(np.float32)
    return np.asarray(cv2.multiply(field, field, dst=field, scale=1 / 255**2))


def to_image(linear: Field) -> Image:
    """(H, W, 3) uint8; what is above white is white, below black black. Writes over its argument."""
    linear = cv2.sqrt(np.maximum(linear, 0.0, out=linear), dst=linear)
    return np.asarray(cv2.convertScaleAbs(linear, alpha=255.0))


# --- drops and flakes


def _drops(height: int, width: int, weather: Weather, exposure: Exposure, rng: np.random.Generator) -> Field | None:
    """(H, W) float32: the share of its light that each pixel has from drops and flakes; None where there are none."""
    focal = exposure.focal_px or 0.6 * width
    layer = np.zeros((height, width), np.uint8)
    if weather.rain_mm_h > 0:
        size, xyz = _scattered(
            rain_drops(weather.rain_mm_h, _RAIN_SIZES), _RAIN_SIZES, 1.0, _SEEN_PIXELS, focal, layer, rng
        )
        speed = fall_speed(size)
        covers = 1e-3 * size / np.hypot(speed, exposure.speed) / exposure.seconds  # share of the exposure
        _draw(layer, size, xyz, speed, covers, focal, exposure)
    if weather.snow_mm_h > 0:
        size, xyz = _scattered(
            snow_flakes(weather.snow_mm_h, _SNOW_SIZES),
            _SNOW_SIZES,
            _FLAKE_PER_MELTED,
            _FLAKE_PIXELS,
            focal,
            layer,
            rng,
        )
        speed = np.full(len(size), _FLAKE_SPEED)
        covers = 1e-3 * size / np.hypot(speed, exposure.speed) / exposure.seconds
        _draw(layer, size, xyz, speed, covers, focal, exposure)
    if not layer.any():
        return None
    return np.asarray(cv2.GaussianBlur(layer, (3, 3), 0.6).astype(np.float32) * np.float32(1 / 255))


def _scattered(
    density: npt.NDArray[np.float64],
    sizes_mm: npt.NDArray[np.float64],
    spread: float,
    smallest_px: float,
    focal: float,
    layer: Image,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sizes (N,) mm and places (N, 3) m, camera frame, of all that are near enough to be seen one by one.

    Of each size, those nearer than where it is ``smallest_px`` wide, evenly in the pyramid that the camera sees.
    """
    height, width = layer.shape
    seen_mm = sizes_mm * spread
    reach = 1e-3 * seen_mm * focal / smallest_px
    expected = density * 0.25 * reach**3 / 3.0 * (width * height / focal**2)
    number = rng.poisson(expected * min(1.0, _MOST_DRAWN / max(expected.sum(), 1.0)))
    size, farthest = np.repeat(seen_mm, number), np.repeat(reach, number)
    z = np.maximum(farthest * rng.random(len(size)) ** (1 / 3), 0.25)
    x = z * (rng.random(len(size)) - 0.5) * width / focal
    y = z * (rng.random(len(size)) - 0.5) * height / focal
    return size, np.stack([x, y, z], axis=1)


def _draw(
    layer: Image,
    size_mm: npt.NDArray[np.float64],
    xyz: npt.NDArray[np.float64],
    speed: npt.NDArray[np.float64],
    covers: npt.NDArray[np.float64],
    focal: float,
    exposure: Exposure,
) -> None:
    """Streaks from where each is at the beginning of the exposure to where it is at its end."""
    height, width = layer.shape
    ends = (
        xyz + np.stack([np.zeros(len(speed)), speed, np.full(len(speed), -exposure.speed)], axis=1) * exposure.seconds
    )
    near = np.maximum(np.stack([xyz[:, 2], ends[:, 2]]), 0.1)
    centre = np.array([0.5 * width, 0.5 * height])
    from_px = (xyz[:, :2] / near[0][:, None] * focal + centre) * (1 << _SUBPIXEL)
    to_px = (ends[:, :2] / near[1][:, None] * focal + centre) * (1 << _SUBPIXEL)
    wide = 1e-3 * size_mm * focal / near[1]
    share = np.minimum(covers, 1.0) * np.minimum(wide, 1.0)
    grey = np.clip(255.0 * share, 3.0, 235.0).astype(int).tolist()
    thick = np.clip(np.rint(wide), 1, 24).astype(int).tolist()
    starts, stops = np.rint(from_px).astype(int).tolist(), np.rint(to_px).astype(int).tolist()
    for start, stop, shade, pixels in zip(starts, stops, grey, thick, strict=True):
        cv2.line(layer, start, stop, shade, pixels, cv2.LINE_8, _SUBPIXEL)
