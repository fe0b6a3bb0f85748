"""The Kalman filter of `fusion.kalman` in torch, so that training can see through it; a test holds the two together.

Columns: x, y, z and radial speed. State (x, y, z, vx, vy). float32, places relative to a window's origin.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_LEAST_COMMON = 1e-6  # m2


class Innovations(NamedTuple):
    """residual (N, 4), H (N, 4, 5), R and predicted = H P H' (N, 4, 4)."""

    residual: Tensor
    H: Tensor
    R: Tensor
    predicted: Tensor


def predict(mean: Tensor, cov: Tensor, dt: Tensor, accel_psd: Tensor, climb_psd: float) -> tuple[Tensor, Tensor]:
    """As `fusion.kalman.predict`; dt (N,)."""
    n = len(mean)
    F = torch.eye(5).repeat(n, 1, 1)
    F[:, 0, 3] = F[:, 1, 4] = dt
    Q = torch.zeros(n, 5, 5)
    for axis in (0, 1):
        Q[:, axis, axis] = accel_psd * dt**3 / 3.0
        Q[:, axis, axis + 3] = Q[:, axis + 3, axis] = accel_psd * dt**2 / 2.0
        Q[:, axis + 3, axis + 3] = accel_psd * dt
    Q[:, 2, 2] = climb_psd * dt
    return (F @ mean[..., None])[..., 0], F @ cov @ F.mT + Q


def innovate(
    mean: Tensor, cov: Tensor, value: Tensor, R: Tensor, radial: Tensor, ambiguity: Tensor, ahead: Tensor,
    sight: Tensor, accel_psd: Tensor, resolve_sigmas: float,
) -> Innovations:  # fmt: skip
    """As `fusion.kalman.innovate`: row i against state i. radial (N,): 1 where a radial speed was measured."""
    variance = torch.einsum("ni,nij,nj->n", sight, cov[:, 3:, 3:], sight) + R[:, 3, 3]
    resolved = (ambiguity == 0.0) | (resolve_sigmas * torch.sqrt(variance) < 0.5 * ambiguity)
    radial = radial * resolved
    wander = accel_psd * ahead.abs() ** 3 / 3.0
    R = R + torch.diag_embed(
        torch.stack([wander, wander, torch.zeros_like(wander), (1.0 - radial) * (1.0 - R[:, 3, 3])], dim=-1)
    )
    H = torch.zeros(len(mean), 4, 5)
    H[:, [0, 1, 2], [0, 1, 2]] = 1.0
    H[:, 0, 3] = H[:, 1, 4] = ahead
    H[:, 3, 3:] = sight * radial[:, None]
    residual = value - (H @ mean[..., None])[..., 0]
    width = torch.where(ambiguity > 0.0, ambiguity, torch.inf)
    wraps = torch.where(ambiguity > 0.0, ambiguity, 0.0) * torch.round(residual[:, 3] / width)
    residual = torch.cat([residual[:, :3], ((residual[:, 3] - wraps.detach()) * radial)[:, None]], dim=-1)
    return Innovations(residual, H, R, H @ cov @ H.mT)


def believed(seen: Innovations, log_scale: Tensor, bias: Tensor, sight: Tensor) -> tuple[Tensor, Tensor]:
    """Residual (N, 4) and R (N, 4, 4) as a verdict of the graph holds them; see `fusion.graph.network.GraphOutput`."""
    along = sight / sight.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    across = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
    axes = torch.stack([along, across], dim=1)
    scale = torch.exp(0.5 * log_scale)
    stretch = torch.zeros(len(sight), 4, 4)
    stretch[:, :2, :2] = axes.mT @ (scale[:, :2, None] * axes)
    stretch[:, 2, 2] = 1.0
    stretch[:, 3, 3] = scale[:, 2]
    off = (axes.mT @ bias[..., None])[..., 0]
    residual = seen.residual - torch.nn.functional.pad(off, (0, 2))
    return residual, stretch @ seen.R @ stretch


def fuse(
    mean: Tensor, cov: Tensor, residual: Tensor, H: Tensor, R: Tensor, trust: Tensor, row: Tensor
) -> tuple[Tensor, Tensor]:
    """As `fusion.kalman.fuse`."""
    HtW = torch.linalg.solve(R, H).mT * trust[:, None, None]
    J = torch.zeros_like(cov).index_add(0, row, HtW @ H)
    pull = torch.zeros_like(mean).index_add(0, row, (HtW @ residual[..., None])[..., 0])
    Lt = torch.linalg.cholesky(cov).mT
    inner = torch.eye(5) + Lt @ (0.5 * (J + J.mT)) @ Lt.mT
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(inner), Lt, upper=False)
    fused = half.mT @ half
    return mean + (fused @ pull[..., None])[..., 0], fused


def shared_bias(bias: Tensor, common: Tensor, gain: Tensor, row: Tensor) -> Tensor:
    """As `fusion.kalman.shared_bias`, but the new ``bias`` is returned."""
    eye = torch.eye(2)
    precision = torch.zeros_like(bias).index_add(0, row, inverse(common + _LEAST_COMMON * eye))
    seen = torch.zeros(len(bias)).index_add(0, row, torch.ones(len(row))) > 0
    wanted = inverse(torch.where(seen[:, None, None], precision, eye))
    return torch.where(seen[:, None, None], bias + gain[:, None, None] * (wanted - bias), bias)


def inverse(m: Tensor) -> Tensor:
    """Of (N, 2, 2), written out."""
    a, b, c, d = m[:, 0, 0], m[:, 0, 1], m[:, 1, 0], m[:, 1, 1]
    return torch.stack([d, -b, -c, a], dim=-1).reshape(-1, 2, 2) / (a * d - b * c)[:, None, None]
