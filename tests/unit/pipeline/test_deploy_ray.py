"""One local Ray instance for the whole file: starting it takes seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fusion.graph.weigher import GraphSettings
from fusion.noise import AdaptiveSettings
from fusion.tracker import Tracker, TrackerSettings
from pipeline.core.messages import FrameSet, Message, Scene, Stamp
from pipeline.core.wire import digest, encode_bytes
from tests.scenes import Sensor, Thing, drive

pytestmark = [pytest.mark.slow]

SETTINGS = TrackerSettings(weigh=AdaptiveSettings())
FRAMES = drive(
    [Thing((10, 0, 0.8), (3, 1)), Thing((0, 10, 0.8), (0, -3))],
    [Sensor("roof", "lidar"), Sensor("bumper", "radar", radial_sigma=0.2, ambiguity=10.3, clutter=2.0)],
    24,
)


def hashed(scene: Scene) -> str:
    return digest(Message("scene", Stamp(sensor_ns=0, arrival_ns=0, time_ns=0, sequence=0), scene))


@pytest.fixture(scope="module")
def wanted() -> list[str]:
    tracker = Tracker(SETTINGS)
    return [hashed(tracker.step(*frame)) for frame in FRAMES]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    deploy_ray = pytest.importorskip("pipeline.deploy_ray")
    with deploy_ray.RayFuser(deploy=deploy_ray.RaySettings(cpus=4)) as first:  # starts Ray; those below join it
        yield
        assert first.restarts == 0


@pytest.fixture
def fuser(local_ray):
    from pipeline.deploy_ray import RayFuser, RaySettings

    with RayFuser(SETTINGS, RaySettings(checkpoint_every=5)) as remote:
        yield remote


def test_scenes_are_those_of_the_same_tracker_in_process(fuser, wanted):
    assert [hashed(fuser.step(*frame)) for frame in FRAMES] == wanted


def test_a_killed_actor_changes_nothing_but_the_time_it_takes(fuser, wanted):
    scenes = []
    for index, frame in enumerate(FRAMES):
        if index in (3, 17):
            os.kill(fuser.actor_process, signal.SIGKILL)
        scenes.append(hashed(fuser.step(*frame)))
    assert scenes == wanted
    assert fuser.restarts == 2


def test_a_killed_actor_keeps_what_the_graph_remembers(local_ray):
    from pipeline.deploy_ray import RayFuser, RaySettings

    settings = TrackerSettings(weigh=GraphSettings())
    here, forgetful = Tracker(settings), Tracker(settings)
    undisturbed = [hashed(here.step(*frame)) for frame in FRAMES]
    scenes = []
    with RayFuser(settings, RaySettings(checkpoint_every=5)) as fuser:
        for index, frame in enumerate(FRAMES):
            if index in (3, 17):
                os.kill(fuser.actor_process, signal.SIGKILL)
            scenes.append(hashed(fuser.step(*frame)))
        assert fuser.restarts == 2
    assert scenes == undisturbed
    for index, frame in enumerate(FRAMES):  # without what it remembers of sensors the scenes would be others
        if index == 17:
            forgetful.weigher.sensors.values[:] = 0.0
        last = hashed(forgetful.step(*frame))
    assert last != undisturbed[-1]


def test_a_call_that_arrives_twice_is_done_once(fuser, wanted):
    import ray

    scenes = []
    for number, (frame, time_ns) in enumerate(FRAMES):
        scenes.append(hashed(fuser.step(frame, time_ns)))
        stamp = Stamp(sensor_ns=0, arrival_ns=0, time_ns=time_ns, sequence=0)
        again = encode_bytes(Message("frames", stamp, frame))
        done, _, _ = ray.get(fuser._actor.step.remote(number, again, False))
        assert done == number
    assert scenes == wanted


def test_snapshots_pass_between_here_and_there(fuser, wanted):
    here = Tracker(SETTINGS)
    for frame in FRAMES[:8]:
        here.step(*frame)
    fuser.restore(here.snapshot())
    os.kill(fuser.actor_process, signal.SIGKILL)  # what was restored survives
    assert [hashed(fuser.step(*frame)) for frame in FRAMES[8:16]] == wanted[8:16]
    back = Tracker(SETTINGS)
    back.restore(fuser.snapshot())
    assert [hashed(back.step(*frame)) for frame in FRAMES[16:]] == wanted[16:]
    with pytest.raises(ValueError, match="snapshot"):
        fuser.restore(b"something else")


def test_a_frame_set_that_kills_every_actor_is_given_up_and_the_next_is_not(local_ray, wanted):
    from pipeline.deploy_ray import FusionLost, RayFuser, RaySettings

    with RayFuser(SETTINGS, RaySettings(attempts=1)) as fuser:
        scenes = [hashed(fuser.step(*frame)) for frame in FRAMES[:6]]
        os.kill(fuser.actor_process, signal.SIGKILL)
        with pytest.raises(FusionLost, match="step 6"):
            fuser.step(*FRAMES[6])
        scenes += [hashed(fuser.step(*frame)) for frame in FRAMES[6:]]
    assert scenes == wanted


def test_an_error_in_a_step_is_raised_here_and_the_state_is_kept(fuser, wanted):
    good = FRAMES[2][0]
    bad = FrameSet(index=2, position=good.position, rotation_wxyz=(0.0, 0.0, 0.0, 0.0), slots=good.slots)
    scenes = [hashed(fuser.step(*frame)) for frame in FRAMES[:2]]
    with pytest.raises(ValueError, match="quaternion"):
        fuser.step(bad, FRAMES[2][1])
    scenes += [hashed(fuser.step(*frame)) for frame in FRAMES[2:]]
    assert scenes == wanted


def test_ray_leaves_the_processes_own_way_to_end_alone(fuser):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_ray_ends_with_a_driver_that_is_killed(tmp_path):
    """In a process of its own: `kill -9` of the fusion process must not leave an actor or a raylet behind.

    Ray's two agents notice by themselves, after about a minute, which is not waited for here.
    """
    script = tmp_path / "driver.py"
    script.write_text(
        "from pipeline.deploy_ray import RayFuser\n"
        "fuser = RayFuser()\n"
        "print(fuser.actor_process, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    driver = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert driver.stdout is not None
    actor = psutil.Process(int(driver.stdout.readline()))
    started = [actor, *psutil.Process(driver.pid).children()]
    driver.kill()
    driver.wait()
    driver.stdout.close()
    _, left = psutil.wait_procs(started, timeout=20)
    assert not left
