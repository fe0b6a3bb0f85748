"""Work that can be done in any order, spread over a Ray cluster; what is done comes back as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray

from pipeline.deploy_ray import RaySettings, connect

Result = TypeVar("Result")
LOCAL = "local"
"""In the place of an address: an instance of our own on this machine, which ends with the work."""
_ATTEMPTS = 3  # a worker that dies has its work done again elsewhere


def spread(
    work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], address: str, cpus: int
) -> Iterator[tuple[int, Result]]:
    """The number of each job of ``jobs``, arguments of ``work``, with what it gave, in the order of their ends.

    Every machine of the cluster needs this checkout, and the arguments must be such as other processes can be sent.

    Args:
        address: of a cluster, or `LOCAL`. cpus: size of our own.

    Raises:
        What ``work`` raises; what still runs is then cancelled.
    """
    if not jobs:
        return
    started = connect(RaySettings(address="" if address == LOCAL else address, cpus=cpus))
    task = ray.remote(num_cpus=1, max_retries=_ATTEMPTS)(work)
    running = {task.remote(*arguments): number for number, arguments in enumerate(jobs)}
    try:
        while running:
            done, _ = ray.wait(list(running))
            for reference in done:
                yield running.pop(reference), ray.get(reference)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()
