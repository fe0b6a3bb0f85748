"""What one run is: written beside its results as `run.yaml` before anything starts, read by all its processes."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from calibration.rig import Rig
from nodes.sources.drive import Drive
from nodes.sources.live.config import LiveSensor
from pipeline.core.clock import Clock
from pipeline.core.messages import Message, RunInfo, Stamp
from pipeline.core.settings import Settings, load_yaml, to_yaml
from pipeline.graph import Graph, Plan, plan
from pipeline.run.drives import open_named

CONFIG_FILE = "run.yaml"


class RunConfig(Settings, frozen=True):
    """One run. All times are the drive's own.

    drive: path or name that `open_named` takes. topics: what its sources publish. rate: drive seconds per second, 0 =
    as fast as every message can be worked on. live: the sources stand in for sensors: arrival is stamped anew, when it
    happens. loop: begin again at the end, in a new epoch of every clock. start_ns, end_ns: the part to play. window:
    instants that sources may be ahead of fusion, unless live. ray_address: cluster to join, empty = a local one.
    follow: recording whose alignment decisions are repeated. faults, fault_seed: what is injected into the drive, as on
    the command line.
    restarts: how often a process that died is started again. drivers: by sensor, where real sensors are read and no
    drive is played; all times are then the host's.
    """

    drive: str
    graph: Graph
    rig: Rig
    topics: tuple[str, ...]
    start_ns: int
    end_ns: int
    rate: float = 0.0
    live: bool = False
    loop: bool = False
    window: int = 4
    ray_address: str = ""
    follow: str = ""
    faults: tuple[str, ...] = ()
    fault_seed: int = 0
    restarts: int = 2
    record_roles: tuple[str, ...] = ("sensor", "derived", "truth", "run")
    drivers: dict[str, LiveSensor] = {}

    def open(self) -> Drive:
        return open_named(self.drive, self.faults, self.fault_seed)

    def begins_ns(self, started_ns: int) -> int:
        """The run's own time at host time ``started_ns``, when it begins."""
        return started_ns if self.drivers else self.start_ns

    def plan(self) -> Plan:
        return plan(self.graph, self.rig, self.topics, source=self.graph.name)


def save_config(config: RunConfig, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(to_yaml(config), encoding="utf-8")


def run_info(config: RunConfig, started_ns: int, sequence: int, networks: dict[str, str] | None = None) -> Message:
    """The run's first message, and the signal to begin at host time ``started_ns``. networks: see `RunInfo`."""
    info = RunInfo(
        drive=config.drive,
        started_ns=started_ns,
        start_ns=config.begins_ns(started_ns),
        rate=config.rate,
        version=version("syncline"),
        rig_yaml=to_yaml(config.rig),
        graph_yaml=to_yaml(config.graph),
        networks=networks or {},
    )
    stamp = Stamp(sensor_ns=started_ns, arrival_ns=started_ns, time_ns=started_ns, sequence=sequence)
    return Message("run/info", stamp, info)


def load_config(folder: Path) -> RunConfig:
    """Raises BadInput naming the file and field."""
    return load_yaml(folder / CONFIG_FILE, RunConfig)


class RunClock:
    """The drive's time while a run goes on: ``start_ns`` at host time ``started_ns``, then ``rate`` times as fast.

    Before `start`, and at rate 0, there is no such time; `now_ns` is 0, which no deadline has passed.
    """

    def __init__(self, host: Clock) -> None:
        self._host = host
        self._started_ns = self._start_ns = 0
        self._rate = 0.0

    def start(self, started_ns: int, start_ns: int, rate: float) -> None:
        self._started_ns, self._start_ns, self._rate = started_ns, start_ns, rate

    def now_ns(self) -> int:
        if not self._rate:
            return 0
        return self._start_ns + round((self._host.now_ns() - self._started_ns) * self._rate)

    def sleep_until(self, time_ns: int) -> None:
        if self._rate:
            self._host.sleep_until(self._started_ns + round((time_ns - self._start_ns) / self._rate))
