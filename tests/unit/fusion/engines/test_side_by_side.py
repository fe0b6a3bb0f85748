"""Two engines side by side on two cores do not slow each other by threads that spin while they wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_RUNS = """
import os, sys, time
os.sched_setaffinity(0, {CORES})
import numpy as np
from fusion.detect.weights import resolve
from fusion.engines.engine import EngineSettings
from fusion.engines.opened import open_engine
engine = open_engine(resolve("camera_simulated"), EngineSettings(name=sys.argv[1], threads=int(sys.argv[2])))
feed = {n: np.ones([s or 1 for s in p.shape], p.dtype) for n, p in engine.inputs.items()}
for _ in range(5):
    engine(feed)
print("ready", flush=True)
sys.stdin.readline()
began, runs = time.process_time(), 0
for runs in range(1, 61):
    engine(feed)
    time.sleep(0.002)  # as a sensor's messages come: what spins in between shows
print((time.process_time() - began) / runs)
"""


def cpu_seconds(engine: str, threads: int, at_once: int) -> list[float]:
    """Processor time of one answer, of so many processes at once on the same two cores."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    code = _RUNS.replace("{CORES}", repr(set(cores)))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, engine, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(at_once)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [float(process.communicate(timeout=120)[0]) for process in started]


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_two_engines_of_two_threads_each_use_no_more_of_the_processor_than_one(engine: str) -> None:
    """Processor time, not the clock's: a thread that spins for its turn counts as work, one that sleeps does not."""
    (alone,) = cpu_seconds(engine, 2, 1)
    together = cpu_seconds(engine, 2, 2)
    assert max(together) < 1.6 * alone
