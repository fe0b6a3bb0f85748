"""A graph is checked before anything starts; each fault names the node and the topic."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.rig import Rig
from pipeline.core.errors import BadInput
from pipeline.core.settings import load_yaml
from pipeline.graph import Context, FuseNode, Graph, LidarNodes, load_graph, plan
from tests.simulated import DEMO_RIG, street_drive

CONFIGS = Path(__file__).parents[3] / "configs"
DRIVE = street_drive(1.0, tuple(sensor.name for sensor in DEMO_RIG.sensors))
GRAPH = load_graph(CONFIGS / "graphs" / "simulated.yaml").with_placement("process")


@pytest.mark.parametrize("path", sorted((CONFIGS / "graphs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_graph_that_ships_fits_the_demo_rig(path: Path) -> None:
    planned = plan(load_graph(path), DRIVE.rig, DRIVE.topics)
    assert "fuse" in [instance.name for instance in planned.instances[-2:]]


def test_one_detector_per_sensor_and_publishers_come_before_subscribers() -> None:
    planned = plan(GRAPH, DRIVE.rig, DRIVE.topics)
    names = [instance.name for instance in planned.instances]
    assert {f"detect_{s.name}" for s in (*DRIVE.rig.cameras, *DRIVE.rig.lidars, *DRIVE.rig.radars)} < set(names)
    for instance in planned.instances:
        earlier = names[: names.index(instance.name)]
        assert all(upstream in earlier or upstream.startswith("source_") for upstream in instance.waits_for)


def test_nothing_but_the_recorder_hears_the_truth() -> None:
    planned = plan(GRAPH, DRIVE.rig, DRIVE.topics)
    assert not [i for i in planned.instances for topic in i.inputs if topic.startswith("truth/")]


def test_every_node_of_the_plan_can_be_made() -> None:
    planned = plan(GRAPH, DRIVE.rig, DRIVE.topics)
    nodes = [instance.make(Context(DRIVE.rig)) for instance in planned.instances]
    assert all(hasattr(node, "step") for node in nodes)


def test_a_fusion_step_without_an_aligner_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"fuse\.inputs: expected a publisher of frames"):
        plan(Graph(name="x", nodes=(FuseNode(),)), DRIVE.rig, DRIVE.topics)


def test_two_publishers_of_one_topic_are_refused() -> None:
    twice = Graph(name="x", nodes=(*GRAPH.nodes, LidarNodes()))
    with pytest.raises(BadInput, match="one publisher per topic"):
        plan(twice, DRIVE.rig, DRIVE.topics)


def test_an_unknown_sensor_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="lidar_top"):
        plan(Graph(name="x", nodes=(LidarNodes(sensors=("lidar_rear",)),)), DRIVE.rig, DRIVE.topics)


def test_a_wrong_setting_names_the_file_and_the_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nnodes:\n- node: fuse\n  placment: ray\n")
    with pytest.raises(BadInput, match=r"mine\.yaml:4: \$\.nodes\[0\].*placment"):
        load_graph(path)


def test_a_rig_without_an_extrinsic_names_the_sensor(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text("vehicle: mine\nsensors:\n- modality: lidar\n  name: top\n")
    with pytest.raises(BadInput, match=r"rig\.yaml:3: \$\.sensors\[0\].*extrinsic"):
        load_yaml(path, Rig)
