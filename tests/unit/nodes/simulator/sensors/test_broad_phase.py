"""No ray that meets a sphere is left out."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from nodes.simulator.sensors.broad_phase import candidates


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 5.0), st.sampled_from([0.05, 0.5, 3.0]))
def test_all_rays_that_meet_a_sphere_are_found_and_none_that_passes_beside_it(
    seed: int, spread: float, upright: float
) -> None:
    rng = np.random.default_rng(seed)
    origin = rng.uniform(-spread, spread, (3, 300)).astype(np.float32)
    sight = rng.normal(0.0, (1.0, 1.0, upright), (300, 3)).T
    direction = (sight / np.linalg.norm(sight, axis=0)).astype(np.float32)
    begin = rng.uniform(0.0, 20.0, 300).astype(np.float32)
    span = begin, begin + rng.uniform(0.0, 60.0, 300).astype(np.float32)
    centre = rng.normal(0.0, (25.0, 25.0, 2.0), (12, 3)).T.astype(np.float32)
    radius = rng.uniform(0.3, 7.0, 12).astype(np.float32)
    body, ray = candidates(origin, direction, span, centre, radius)

    offset = centre[:, :, None] - origin[:, None]  # (3, K, N)
    along = np.einsum("ckn,cn->kn", offset, direction)
    beside2 = (offset**2).sum(axis=0) - along**2
    chord = np.sqrt(np.maximum(radius[:, None] ** 2 - beside2 - 1e-2, 0.0))
    meets = (chord > 0.0) & (along + chord > span[0] + 1e-3) & (along - chord < span[1] - 1e-3)
    found = np.zeros_like(meets)
    found[body, ray] = True
    assert not (meets & ~found).any()
    assert len(body) == found.sum()
    assert (beside2[found] < np.broadcast_to(radius[:, None] ** 2 + 1e-2, found.shape)[found]).all()
