"""When a fault is named: a sequential test on what the network says of a sensor in every frame (CUSUM, Page 1954).

A single frame is often wrong, and frames are no independent witnesses. So the log-odds of each fault against health are
summed over time, less an allowance, never below zero; a fault is named once its sum has come to a threshold that
healthy sensors on clips kept apart do not reach.
"""

from __future__ import annotations

import numpy as np

from fusion.measurements import FloatArray, IntArray

ALARM = "alarm"
"""Key of the model file's metadata: the threshold, nats times s."""
_ALLOWANCE = 0.5  # nats by which a fault must be likelier than health to count for it
_LEAP = 4.0  # nats that a frame counts at most
_LATER = 1.25  # thresholds at which a sum ends, so that an alarm ends soon after its fault


def follow(sums: FloatArray, fault: FloatArray, dt: float, threshold: float) -> FloatArray:
    """Sums (S, F - 1) after a frame ``dt`` s long in which the F states had logits ``fault`` (S, F), health first."""
    odds = np.clip(fault[:, 1:] - fault[:, :1], -_LEAP, _LEAP)
    return np.clip(sums + dt * (odds - _ALLOWANCE), 0.0, _LATER * threshold)


def named(sums: FloatArray, threshold: float) -> IntArray:
    """(S,) the fault that each sensor is named to have, 0 = none."""
    return np.where(sums.max(axis=1, initial=0.0) >= threshold, sums.argmax(axis=1) + 1, 0)
