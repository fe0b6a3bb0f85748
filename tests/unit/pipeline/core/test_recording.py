"""Recordings: what is written comes back, other tools can open it, and nothing large is in it twice."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader
from mcap.records import Schema
from mcap.writer import CompressionType, IndexType, Writer

from calibration.rig import Rig
from pipeline.core.errors import BadInput
from pipeline.core.messages import (
    POINT,
    CameraImage,
    EgoPose,
    Message,
    NodeStatus,
    PointCloud,
    RunInfo,
    Stamp,
    WheelSpeed,
)
from pipeline.core.recording import RecordingReader, RecordingSettings, RecordingWriter, repair
from pipeline.core.settings import to_yaml
from pipeline.core.wire import digest
from tests import recordings
from tests.recordings import PERIOD_NS, START_NS


def at(topic: str, sequence: int, payload: object) -> Message:
    return Message(topic, recordings.stamp("pose/x", sequence), payload)


def decoded(path: Path, topic: str) -> list[object]:
    """A topic's messages as another tool reads them: by the schema in the file, with protobuf's own library."""
    out = []
    with path.open("rb") as file:
        for schema, channel, record in make_reader(file, validate_crcs=True).iter_messages(topics=[topic]):
            assert channel.message_encoding == "protobuf"
            out.append(message_class(schema).FromString(record.data))
    return out


def message_class(schema: Schema | None) -> type:
    assert schema is not None
    assert schema.encoding == "protobuf"
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return recordings.write_recording(tmp_path / "small.mcap", recordings.messages())


@pytest.mark.parametrize("compression", ["auto", "zstd", "lz4", "none"])
def test_messages_come_back_in_order_of_arrival(tmp_path: Path, compression: str) -> None:
    settings = msgspec.convert({"compression": compression, "chunk_bytes": 20_000}, RecordingSettings)
    sent = recordings.messages()
    path = recordings.write_recording(tmp_path / "a.mcap", sent, settings)
    with RecordingReader(path, strict=True) as reader:
        assert reader.complete
        received = [m for m in reader.messages() if m.topic != "run/info"]
    assert [m.stamp for m in received] == [m.stamp for m in sent]
    assert [digest(m) for m in received] == [digest(m) for m in sent]


def test_order_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    sent = recordings.messages()
    path = recordings.write_recording(tmp_path / "a.mcap", reversed(sent), RecordingSettings(chunk_bytes=30_000))
    with RecordingReader(path, strict=True) as reader:
        received = [m for m in reader.messages() if m.topic != "run/info"]
    assert [digest(m) for m in received] == [digest(m) for m in sent]


def test_topics_and_windows(path: Path) -> None:
    with RecordingReader(path) as reader:
        assert reader.counts == {**dict.fromkeys(reader.topics, 20), "run/info": 1}
        window = (START_NS + 5 * PERIOD_NS, START_NS + 7 * PERIOD_NS)
        assert [m.stamp.sequence for m in reader.messages(["camera/front"], *window)] == [5, 6]
        assert [m.stamp.sequence for m in reader.messages_by_time(["camera/front"], *window)] == [5, 6]
        exact = START_NS + 5 * PERIOD_NS
        assert [m.stamp.sequence for m in reader.messages_by_time(["camera/front"], exact, exact + 1)] == [5]
        assert not list(reader.messages(["camera/front"], exact, exact + 1)), "it arrived later"
        assert len(list(reader.messages(["lidar/top", "pose/ego"]))) == 40
        with pytest.raises(KeyError, match="camera/rear"):
            list(reader.messages(["camera/rear"]))


def test_arrays_are_read_only_aligned_and_their_own(path: Path) -> None:
    with RecordingReader(path) as reader:
        cloud = next(m.payload for m in reader.messages(["lidar/top"]))
    assert isinstance(cloud, PointCloud)
    assert cloud.points.flags.aligned
    assert not cloud.points.flags.writeable


def test_what_is_about_the_run_stands_beside_the_data(tmp_path: Path) -> None:
    """The host's clock is 31 years ahead of this drive; log times must not be."""
    status = NodeStatus(node="fuse", received=1, published=1, failed=0)
    host_ns = START_NS + 10**18
    early = Message("status/fuse", Stamp(sensor_ns=0, arrival_ns=host_ns, time_ns=host_ns, sequence=0), status)
    late = Message("status/fuse", Stamp(sensor_ns=0, arrival_ns=host_ns + 5, time_ns=host_ns + 5, sequence=1), status)
    path = recordings.write_recording(tmp_path / "a.mcap", [early, *recordings.messages(), late])
    with RecordingReader(path, strict=True) as reader:
        logged = {(m.topic, m.stamp.sequence): t for t, m in reader.logged(["status/fuse", "run/info"])}
        first, last = recordings.messages()[0].stamp.arrival_ns, recordings.messages()[-1].stamp.arrival_ns
        assert logged == {("run/info", 1): first, ("status/fuse", 0): first, ("status/fuse", 1): last}
        assert reader.info_message.stamp == recordings.run_info().stamp


def test_info_and_rig(path: Path) -> None:
    with RecordingReader(path) as reader:
        assert reader.info == recordings.run_info().payload or reader.info.rig_yaml == to_yaml(recordings.small_rig())
        assert reader.rig == recordings.small_rig()


def test_other_tools_read_the_images_and_points(path: Path) -> None:
    sent = recordings.messages()
    images = [m.payload for m in sent if isinstance(m.payload, CameraImage)]
    seen = decoded(path, "camera/front")
    assert [bytes(image.data) for image in images] == [s.data for s in seen]
    assert {(s.format, s.frame_id) for s in seen} == {("jpeg", "front")}
    assert seen[3].timestamp.ToNanoseconds() == START_NS + 3 * PERIOD_NS

    clouds = [m.payload for m in sent if isinstance(m.payload, PointCloud)]
    cloud = decoded(path, "lidar/top")[5]
    assert cloud.point_stride == POINT.itemsize
    assert {f.name: f.offset for f in cloud.fields} == {n: f[1] for n, f in POINT.fields.items()}
    np.testing.assert_array_equal(np.frombuffer(cloud.data, POINT), clouds[5].points)
    radar = decoded(path, "radar/bumper")[0]
    assert [f.name for f in radar.fields] == ["x", "y", "z", "range_rate", "rcs", "snr"]


def test_other_tools_see_where_everything_is(path: Path) -> None:
    [transforms] = decoded(path, "rig/transforms")
    assert [(t.parent_frame_id, t.child_frame_id) for t in transforms.transforms] == [
        ("ego", name) for name in ("front", "top", "bumper")
    ]
    [calibration] = decoded(path, "rig/front")
    assert list(calibration.K) == [50.0, 0, 31.5, 0, 50.0, 23.5, 0, 0, 1]
    pose = decoded(path, "pose/ego")[7]
    assert (pose.parent_frame_id, pose.child_frame_id, pose.translation.x) == ("odom", "ego", 7.0)


def test_other_tools_see_tracks_and_labels(tmp_path: Path) -> None:
    path = recordings.write_recording(
        tmp_path / "a.mcap", [at("scene", 0, recordings.scene()), at("truth/objects", 0, recordings.truth())]
    )
    [update] = decoded(path, "scene")
    assert [entity.id for entity in update.entities] == ["17", "18"]
    entity = update.entities[0]
    assert entity.texts[0].text == "truck 17  front 50% top 50%"
    assert entity.arrows[0].shaft_length + entity.arrows[0].head_length == pytest.approx(np.hypot(3, 3))
    assert {m.key: m.value for m in entity.metadata}["weight/top"] == "0.500"
    [labels] = decoded(path, "truth/objects")
    assert labels.entities[0].cubes[0].pose.orientation.z == pytest.approx(np.sqrt(0.5))
    assert not labels.entities[0].arrows, "a velocity that is not known has no arrow"


def test_small_messages_are_json_with_a_schema(tmp_path: Path) -> None:
    path = recordings.write_recording(tmp_path / "a.mcap", [at("wheel/rear", 0, WheelSpeed(speed=4.0))])
    with path.open("rb") as file:
        [(schema, channel, record)] = make_reader(file).iter_messages(topics=["wheel/rear"])
    assert (channel.message_encoding, schema.encoding) == ("json", "jsonschema")
    assert msgspec.json.decode(schema.data)["type"] == "object"
    assert msgspec.json.decode(record.data)["payload"] == {"speed": 4.0, "steering_angle": "nan"}
    with RecordingReader(path) as reader:
        [wheel] = reader.messages(["wheel/rear"])
    assert wheel.payload.speed == 4.0
    assert np.isnan(wheel.payload.steering_angle)


def test_nothing_large_is_stored_twice(tmp_path: Path) -> None:
    content = recordings.messages(frames=4, image_bytes=500_000, points=20_000)
    path = recordings.write_recording(tmp_path / "a.mcap", content, RecordingSettings(compression="none"))
    large = sum(
        p.data.nbytes if isinstance(p, CameraImage) else p.points.nbytes
        for p in (m.payload for m in content)
        if isinstance(p, CameraImage | PointCloud)
    )
    assert path.stat().st_size < large + 60_000


def test_message_that_makes_no_picture_is_recorded_all_the_same(tmp_path: Path) -> None:
    absurd = EgoPose(position=(float("nan"), 0.0, 0.0), rotation_wxyz=(0.0, 0.0, 0.0, 0.0))
    year_2463 = Stamp(sensor_ns=0, arrival_ns=5, time_ns=(1 << 63) - 1, sequence=0)
    before_1970 = Stamp(sensor_ns=0, arrival_ns=-5, time_ns=-(1 << 62), sequence=1)
    sent = [
        Message("pose/ego", before_1970, absurd),
        Message("pose/ego", year_2463, EgoPose(position=(0.0, 0.0, 0.0), rotation_wxyz=(1.0, 0.0, 0.0, 0.0))),
    ]
    path = recordings.write_recording(tmp_path / "a.mcap", sent)
    with RecordingReader(path, strict=True) as reader:
        received = list(reader.messages(["pose/ego"]))
    assert [(m.stamp, digest(m)) for m in received] == [(m.stamp, digest(m)) for m in sent]


def test_image_topic_may_change_its_encoding(tmp_path: Path) -> None:
    raw = CameraImage(height=2, width=3, encoding="bgr8", data=np.arange(18, dtype=np.uint8))
    jpeg = CameraImage(height=2, width=3, encoding="jpeg", data=np.arange(9, dtype=np.uint8))
    sent = [Message("camera/front", recordings.stamp("camera/front", i), p) for i, p in enumerate([raw, jpeg, raw])]
    path = recordings.write_recording(tmp_path / "a.mcap", sent)
    with RecordingReader(path, strict=True) as reader:
        assert reader.counts["camera/front"] == 3
        assert [m.payload.encoding for m in reader.messages(["camera/front"])] == ["bgr8", "jpeg", "bgr8"]


def test_writer_refuses_what_it_cannot_stand_for(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a new file"):
        RecordingWriter(path, recordings.run_info())
    with pytest.raises(BadInput, match="run/info"):
        RecordingWriter(tmp_path / "b.mcap", recordings.messages()[0])
    info = recordings.run_info()
    broken = Message("run/info", info.stamp, RunInfo(drive="x", version="", rig_yaml="vehicle: [", graph_yaml=""))
    with pytest.raises(BadInput, match="rig_yaml"):
        RecordingWriter(tmp_path / "c.mcap", broken)
    assert not (tmp_path / "b.mcap").exists()


def test_empty_recording(tmp_path: Path) -> None:
    path = recordings.write_recording(tmp_path / "a.mcap", [])
    with RecordingReader(path, strict=True) as reader:
        assert [m.topic for m in reader.messages()] == ["run/info"]
        assert reader.rig == recordings.small_rig()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"not an mcap file"), ("short", b"\x89MCAP")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=name):
            RecordingReader(tmp_path / name)
    with pytest.raises(BadInput, match="No such file"):
        RecordingReader(tmp_path / "none")
    with pytest.raises(BadInput, match="an MCAP file"):
        repair(tmp_path / "text")


def test_flush_decides_what_a_kill_would_lose(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    writer = RecordingWriter(path, recordings.run_info())
    for message in recordings.messages(frames=3):
        writer.write(message)
    assert writer.open_bytes > 0
    writer.flush(to_disk=True)
    assert writer.open_bytes == 0
    assert writer.counts["lidar/top"] == 3
    with RecordingReader(path) as reader:  # still being written
        assert not reader.complete
        assert len(list(reader.messages(["lidar/top"]))) == 3
    writer.close()


def test_parts_of_a_rig_without_sensors(tmp_path: Path) -> None:
    info = recordings.run_info()
    nothing = Message(
        "run/info", info.stamp, msgspec.structs.replace(info.payload, rig_yaml=to_yaml(Rig(vehicle="n", sensors=())))
    )
    with RecordingWriter(tmp_path / "a.mcap", nothing):
        pass
    assert decoded(tmp_path / "a.mcap", "rig/transforms")[0].transforms == []


def test_reading_holds_a_few_chunks_only(tmp_path: Path) -> None:
    content = recordings.messages(frames=60, image_bytes=400_000, points=8_000)
    path = recordings.write_recording(tmp_path / "a.mcap", content, RecordingSettings(chunk_bytes=1 << 20))
    del content
    with RecordingReader(path) as reader:
        tracemalloc.start()
        count = sum(1 for _ in reader.messages())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 301
    assert peak < 10 << 20 < path.stat().st_size / 2


def rewritten(path: Path, target: Path, **options: object) -> Path:
    """The same records, written by the official library: other chunks, no metadata of ours."""
    with path.open("rb") as source, target.open("wb") as out:
        writer = Writer(out, **options)  # type: ignore[arg-type]
        writer.start()
        channels: dict[int, int] = {}
        for schema, channel, record in make_reader(source).iter_messages():
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data) if schema else 0
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, number, channel.metadata
                )
            writer.add_message(channels[channel.id], record.log_time, record.data, record.publish_time)
        writer.finish()
    return target


def test_recording_that_another_tool_wrote_anew(path: Path, tmp_path: Path) -> None:
    with RecordingReader(path) as original:
        expected = [digest(m) for m in original.messages()]
        spans = original.spans
    for options in ({}, {"chunk_size": 5000}, {"compression": CompressionType.LZ4}, {"index_types": IndexType.CHUNK}):
        with RecordingReader(rewritten(path, tmp_path / "other.mcap", **options), strict=True) as reader:
            assert [digest(m) for m in reader.messages()] == expected
            assert reader.spans == spans
            assert len(reader.arrivals("lidar/top")) == 20
            window = (START_NS + 5 * PERIOD_NS, START_NS + 7 * PERIOD_NS)
            assert [m.stamp.sequence for m in reader.messages_by_time(["camera/front"], *window)] == [5, 6]
    with pytest.raises(BadInput, match="chunks"):
        RecordingReader(rewritten(path, tmp_path / "flat.mcap", use_chunking=False))
