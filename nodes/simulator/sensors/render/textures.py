"""Pictures that the shaders look up: a tile of noise that repeats without a seam, and the sky."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from nodes.simulator.sensors.render.levels import Levels
from nodes.simulator.world.environment import Light

_TILE = 256
_SKY_GAIN = 2.1  # a sky that is seen is brighter than one that is averaged over the hemisphere
_SKY = 512  # texels on a side of the map of the sky
SKY_REACH = 1.2
"""Half a side of the map of the sky, which is the plane p = d.xy / (1 + d.z) of directions d: the horizon lies at 1."""


@functools.cache
def noise_tile() -> npt.NDArray[np.uint8]:
    """(256, 256, 4) uint8: grain, clouds of all sizes, the same again, blots. Uniform in 0..1."""
    rng = np.random.default_rng(20)
    layers = [_spectrum_noise(rng, power) for power in (0.25, 1.25, 1.25, 1.9)]
    return (255.0 * np.stack(layers, axis=-1)).astype(np.uint8)


def sky_map(light: Light, levels: Levels, seed: int) -> npt.NDArray[np.float32]:
    """(512, 512, 3) float32 kilolux: gradient, glow around the sun, clouds in one layer; rows along y."""
    side = SKY_REACH * (2.0 * (np.arange(_SKY) + 0.5) / _SKY - 1.0)
    x, y = np.meshgrid(side, side)
    r2 = x * x + y * y
    ray = np.stack([2.0 * x, 2.0 * y, 1.0 - r2], axis=-1) / (1.0 + r2)[..., None]
    elevation = np.arcsin(ray[..., 2])
    up = np.clip(ray[..., 2:], 0.0, 1.0)
    share = np.exp(-up * 4.0)
    clear = levels.sky * 0.75 * (1.0 - share) + levels.horizon * 1.3 * share
    to_sun = np.clip(ray @ levels.direction, -1.0, 1.0)[..., None]
    glow = 0.9 * np.exp((to_sun - 1.0) * 9.0) + 5.0 * np.exp((to_sun - 1.0) * 160.0)
    warm = (levels.sun + 0.4 * levels.horizon) / max(float((levels.sun + 0.4 * levels.horizon).max()), 1e-9)
    clear = clear + 0.55 * glow * warm * float(levels.horizon.max()) * (1.0 - 0.8 * light.clouds)

    density = _clouds(ray, light.clouds, seed)
    sunlit = levels.sky * 1.0 + levels.horizon * 0.5 + 0.16 * levels.sun
    shade = _grey(levels.sky) * (1.0 - 0.45 * density)
    thin = np.clip(1.0 - density * 1.3, 0.0, 1.0)
    cloud = shade + sunlit * 0.55 * thin + 0.25 * glow * warm * float(levels.horizon.max())
    cover = np.clip(density * 1.8, 0.0, 1.0) * np.clip(ray[..., 2:] * 9.0, 0.0, 1.0)
    overcast = _grey(levels.sky) * (0.75 + 0.5 * up)
    flat = np.clip(2.0 * light.clouds - 1.0, 0.0, 1.0)
    sky = clear * (1.0 - cover) + cloud * cover
    haze = np.exp(-up * 14.0) * 0.6 * flat
    out = sky * (1.0 - haze) + overcast * haze
    below = np.clip(-np.degrees(elevation)[..., None] / 1.5, 0.0, 1.0)
    out = _SKY_GAIN * out
    return np.asarray(out * (1.0 - below) + (levels.ground * 0.8 + 0.1 * levels.horizon) * below, np.float32)


def _clouds(ray: npt.NDArray[np.float64], cover: float, seed: int) -> npt.NDArray[np.float64]:
    """(..., 1): 0 clear .. 1 thick, where a ray meets a layer of clouds."""
    tile = _spectrum_noise(np.random.default_rng(seed + 1), 1.45)
    at = ray[..., :2] / (np.maximum(ray[..., 2:], 0.0) + 0.12)
    total = sum(_lookup(tile, at * scale) * weight for scale, weight in ((22.0, 0.7), (83.0, 0.3)))
    return np.clip((total - (1.0 - cover)) * 2.2, 0.0, 1.0)[..., None]


def _lookup(tile: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bilinear, repeating."""
    low = np.floor(at).astype(np.int64)
    f = at - low
    x0, y0, x1, y1 = (n % _TILE for n in (low[..., 0], low[..., 1], low[..., 0] + 1, low[..., 1] + 1))
    top = tile[y0, x0] * (1.0 - f[..., 0]) + tile[y0, x1] * f[..., 0]
    bottom = tile[y1, x0] * (1.0 - f[..., 0]) + tile[y1, x1] * f[..., 0]
    return np.asarray(top * (1.0 - f[..., 1]) + bottom * f[..., 1])


def _spectrum_noise(rng: np.random.Generator, power: float) -> npt.NDArray[np.float64]:
    """(256, 256) float64, values spread evenly over 0..1; amplitude falls with frequency ** power."""
    k = np.fft.fftfreq(_TILE) * _TILE
    frequency = np.hypot(k[:, None], k[None])
    frequency[0, 0] = np.inf
    wave = np.fft.fft2(rng.normal(size=(_TILE, _TILE))) / np.maximum(frequency, 1.0) ** power
    flat = np.fft.ifft2(wave).real.ravel()
    rank = np.empty(flat.size)
    rank[np.argsort(flat, kind="stable")] = np.arange(flat.size)
    return (rank / flat.size).reshape(_TILE, _TILE)


def _grey(colour: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return float(colour.mean()) * np.array([0.98, 1.0, 1.04])
