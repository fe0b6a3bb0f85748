"""Other fusers on what has been recorded: detectors and alignment run once, however many fusers are judged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from fusion.fuser import Fuser
from nodes.fuse import Fuse
from pipeline.core.errors import BadInput
from pipeline.core.messages import Message
from pipeline.core.run_recording import RunRecording
from pipeline.evaluate.config import EvalConfig
from pipeline.evaluate.judge import judge
from pipeline.evaluate.robustness import Cell
from pipeline.evaluate.run_log import load_run
from pipeline.evaluate.units import Value
from pipeline.graph import FuseNode, Graph
from pipeline.run.config import CONFIG_FILE, RunConfig, load_config
from pipeline.run.one_process import run_in_one_process

_PARTIAL = ".partial"


def fused_anew(frames: Iterable[Message], fuser: Fuser) -> list[Message]:
    """The scenes that a fuser makes of frame sets, drawn or recorded."""
    node = Fuse(fuser)
    scenes = [m for message in frames for m in node.step(message, 0) if m.topic == "scene"]
    list(node.finish())
    return scenes


@dataclass(frozen=True)
class DriveCells:
    """Makes the cells of a table from one drive: a run for each, with its recording, in a folder below ``out``.

    config: of the clean run.
    """

    config: RunConfig
    scoring: EvalConfig
    out: Path

    def scores(self, cell: Cell, graphs: Sequence[Graph]) -> list[dict[str, Value]]:
        """The numbers of each graph's fuser on the detections of one run; nothing that depends on time is judged."""
        folder = self.out / cell.name
        config = msgspec.structs.replace(self.config, faults=cell.faults)
        if self.holds(cell):
            config = load_config(folder)
        else:
            _run_whole(config, folder)
        log = load_run(folder)
        with RunRecording(folder) as recording:
            frames = list(recording.messages(["frames"]))
        runs = [replace(log, scenes=fused_anew(frames, g.fusion.fuser(config.rig)), timings=[]) for g in graphs]
        return [judge(run, self.scoring).metrics.values for run in runs]

    def holds(self, cell: Cell) -> bool:
        """Whether the run has been done.

        Raises:
            BadInput: the folder holds another run.
        """
        folder = self.out / cell.name
        if not (folder / CONFIG_FILE).is_file():
            return False
        wanted = msgspec.structs.replace(self.config, faults=cell.faults)
        found = load_config(folder)
        if msgspec.structs.replace(found, graph=wanted.graph) != wanted or not same_input(found.graph, wanted.graph):
            raise BadInput(
                folder, CONFIG_FILE, "the same drive, detectors, part and seed as now, or another --out", "others"
            )
        return True


def same_input(a: Graph, b: Graph) -> bool:
    """Whether the fusion steps of two graphs get the same: all nodes but those are alike."""
    return [n for n in a.nodes if not isinstance(n, FuseNode)] == [n for n in b.nodes if not isinstance(n, FuseNode)]


def _run_whole(config: RunConfig, folder: Path) -> None:
    """Run into a folder that appears only when it is whole."""
    partial = folder.with_suffix(_PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    run_in_one_process(config, partial, lambda _: None)
    partial.replace(folder)
