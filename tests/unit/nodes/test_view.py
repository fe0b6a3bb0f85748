"""The viewers: what they draw, where, and that their pages stay on this machine."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import select
import socket
import struct
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import psutil
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from nodes.view import View, ViewSettings, save_view, view_recording
from nodes.view_foxglove import FoxgloveView
from pipeline.core.errors import BadInput
from pipeline.core.messages import CameraImage, Message
from pipeline.core.recording import RecordingReader
from tests import browser, recordings

rerun = pytest.importorskip("rerun", reason="the viewer is an extra")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, with images that are pictures."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :, 2] = 200
    jpeg = np.frombuffer(cv2.imencode(".jpg", picture)[1].tobytes(), np.uint8)
    content = []
    for message in recordings.messages(frames=5):
        payload = message.payload
        if isinstance(payload, CameraImage):
            raw = message.stamp.sequence == 3
            data = picture.reshape(-1) if raw else jpeg
            payload = CameraImage(height=48, width=64, encoding="bgr8" if raw else "jpeg", data=data)
        content.append(Message(message.topic, message.stamp, payload))
    content = sorted([*content, *recordings.perceived()], key=recordings.drive_time)
    return recordings.write_recording(tmp_path_factory.mktemp("view") / "run.mcap", content)


@pytest.fixture(scope="module")
def drawn(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("view") / "run.rrd"
    save_view(recording, target)
    return target


def printed(path: Path, home: Path) -> str:
    """The file as Rerun's own tool prints it."""
    import rerun_cli

    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    command = [str(Path(rerun_cli.__file__).parent / "rerun"), "rrd", "print", str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def entities(path: Path, home: Path) -> dict[str, set[str]]:
    """Entity -> components."""
    found: dict[str, set[str]] = {}
    for entity, columns in re.findall(r"- (/\S+) - .*?data columns: \[(.*?)\]", printed(path, home)):
        found.setdefault(entity, set()).update(columns.split())
    return found


def test_a_run_of_several_parts_is_drawn_to_its_end(recording: Path, drawn: Path, tmp_path: Path) -> None:
    parts = recordings.split_run(recording.parent, tmp_path / "parts")
    save_view(parts, tmp_path / "parts.rrd")
    rows = re.compile(r"(/\S+) - .*?(\d+) rows")
    assert rows.findall(printed(tmp_path / "parts.rrd", tmp_path)) == rows.findall(printed(drawn, tmp_path))


def test_everything_of_a_run_is_drawn(drawn: Path, tmp_path: Path) -> None:
    found = entities(drawn, tmp_path)
    for entity, component in {
        "/world/ego": "Transform3D:translation",
        "/world/ego/front": "Pinhole:image_from_camera",
        "/world/ego/front/image": "EncodedImage:blob",
        "/world/ego/front/tracks": "LineStrips2D:strips",
        "/world/ego/front/tracks/labels": "Points2D:labels",
        "/world/ego/front/truth": "LineStrips2D:strips",
        "/world/ego/front/detections": "Boxes2D:centers",
        "/world/ego/top/points": "Points3D:positions",
        "/world/ego/bumper/returns/radial_speed": "Arrows3D:vectors",
        "/world/ego/detections/top": "Boxes3D:centers",
        "/world/tracks": "Boxes3D:centers",
        "/world/tracks/weights": "LineStrips3D:strips",
        "/world/tracks/velocity": "Arrows3D:vectors",
        "/world/tracks/trail": "LineStrips3D:strips",
        "/world/truth": "Boxes3D:centers",
        "/sensors/top": "StateChange:state",
        "/plots/weights/front": "Scalars:scalars",
        "/plots/lead/top": "Scalars:scalars",
        "/plots/offset_ms/front": "Scalars:scalars",
        "/plots/dropped/top": "Scalars:scalars",
        "/plots/step_ms/fuse": "Scalars:scalars",
        "/events": "TextLog:text",
    }.items():
        assert component in found[entity], entity


def test_a_chosen_track_and_what_ails_a_sensor_have_panels(tmp_path: Path) -> None:
    """The track's own series, the sensors' health, and the event when a fault was named."""
    content = [m for m in recordings.perceived() if m.topic != "scene"]
    for i in range(5):
        health = np.array([1.0, 0.9 if i < 3 else 0.2], np.float32)
        judged = msgspec.structs.replace(
            recordings.scene(1), sensor_health=health, sensor_fault=("", "misaligned" if i >= 3 else "")
        )
        content.append(Message("scene", recordings.stamp("lidar/top", i), judged))
    content = sorted([*recordings.messages(frames=5), *content], key=recordings.drive_time)
    run = recordings.write_recording(tmp_path / "run.mcap", content)
    number = int(recordings.scene(1).track_id[0])
    save_view(run, tmp_path / "run.rrd", ViewSettings(tracks=(number,)))
    found = entities(tmp_path / "run.rrd", tmp_path)
    for entity in ("existence", "weight/front", "weight/top"):
        assert "Scalars:scalars" in found[f"/objects/{number}/{entity}"]
    assert "Scalars:scalars" in found["/plots/health/top"]
    assert "StateChange:state" in found["/health/top"]


def test_only_a_part_and_progress(recording: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    end_ns = recordings.START_NS + recordings.PERIOD_NS
    save_view(recording, tmp_path / "a.rrd", end_ns=end_ns, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    rows = re.search(r"with (\d+) rows .* - /world/ego/top/points - ", printed(tmp_path / "a.rrd", tmp_path))
    assert rows is not None
    assert int(rows[1]) == 1


def test_nothing_is_shown_before_the_rig_is_known(tmp_path: Path) -> None:
    with View(save=tmp_path / "a.rrd") as view:
        for message in recordings.messages(frames=1):
            assert list(view.step(message, 0)) == []
        assert not (tmp_path / "a.rrd").exists()
        view.step(recordings.run_info(), 0)
        for message in recordings.messages(frames=1):
            view.step(message, 0)
        view.finish()
    assert "/world/ego/top/points" in entities(tmp_path / "a.rrd", tmp_path)


def test_without_rerun_it_says_what_to_install(
    recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install"):
        View(save=tmp_path / "a.rrd")
    with pytest.raises(BadInput, match="pip install"):
        view_recording(recording)


def listening_beyond_loopback() -> list[str]:
    """Addresses that this process or its children listen on and that others could reach."""
    me = psutil.Process()
    connections = [c for p in (me, *me.children(recursive=True)) for c in p.net_connections("inet")]
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    return [f"{address.ip}:{address.port}" for address in listening if address.ip not in ("127.0.0.1", "::1")]


def test_page_of_a_recording_stays_at_home(drawn: Path) -> None:
    with view_recording(drawn) as page:
        assert page.url.startswith("http://127.0.0.1:")
        assert listening_beyond_loopback() == []
        with urllib.request.urlopen(page.url, timeout=10) as reply:
            text = reply.read().decode()
            policy = reply.headers["Content-Security-Policy"]
        assert "connect-src 'self' data: blob: http://127.0.0.1:*" in policy
        assert "fonts.g" not in text
        base = page.url.partition("?")[0]
        with urllib.request.urlopen(f"{base}run.rrd", timeout=10) as reply:
            assert reply.read() == drawn.read_bytes()
    with pytest.raises(OSError, match=r".*"):
        urllib.request.urlopen(page.url, timeout=2)


def test_port_that_is_taken(drawn: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=str(port)):
            view_recording(drawn, ViewSettings(port=port))


@pytest.fixture
def screen() -> Iterator[browser.Browser]:
    if browser.CHROMIUM is None:
        pytest.skip("no Chromium")
    with browser.Browser() as opened:
        yield opened


def wait_for_picture(screen: browser.Browser) -> None:
    """Until the camera's picture, which is plain red, is on the screen."""
    for _ in range(40):
        screen.wait(4.0)
        image = cv2.imdecode(np.frombuffer(screen.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        if ((image[..., 2] > 150) & (image[..., 1] < 60) & (image[..., 0] < 60)).sum() > 5000:
            return
    pytest.fail(f"the camera's picture never came: {screen.messages[-5:]}")


@pytest.mark.slow
def test_page_draws_in_a_browser_and_asks_nobody_else(recording: Path, screen: browser.Browser) -> None:
    with view_recording(recording) as page:
        screen.open(page.url)
        wait_for_picture(screen)
    hosts = {re.sub(r"^(\w+://[^/:]+).*", r"\1", url) for url in screen.requests}
    assert {h for h in hosts if h.startswith("http")} <= {
        "http://127.0.0.1",
        # asked for by Rerun's script, refused by the page's policy before anything leaves the machine:
        "https://tel.rerun.io",
        "https://api.github.com",
    }
    refused = [m for m in screen.messages if "Content Security Policy" in m]
    assert len(refused) >= len([u for u in screen.requests if "rerun.io" in u or "github.com" in u])


@pytest.mark.slow
def test_live_view(recording: Path, screen: browser.Browser) -> None:
    with View() as view, RecordingReader(recording) as reader:
        assert listening_beyond_loopback() == []
        screen.open(view.url)
        for message in reader.messages():
            view.step(message, 0)
        view.finish()
        wait_for_picture(screen)


@pytest.mark.slow
def test_page_turns_to_the_next_run(recording: Path, screen: browser.Browser) -> None:
    """Though its times have passed already in the run before, whose pictures are black."""
    later_ns, black = 100_000_000_000, np.zeros(48 * 64 * 3, np.uint8)
    with View() as view, RecordingReader(recording) as reader:
        sent = list(reader.messages())
        screen.open(view.url)
        for message in sent:
            stamp, payload = message.stamp, message.payload
            if isinstance(payload, CameraImage):
                stamp = msgspec.structs.replace(stamp, time_ns=stamp.time_ns + later_ns)
                payload = CameraImage(height=48, width=64, encoding="bgr8", data=black)
            view.step(Message(message.topic, stamp, payload), 0)
        view.finish()
        screen.wait(15.0)
        view.begin_anew()
        for message in sent:
            view.step(message, 0)
        view.finish()
        wait_for_picture(screen)


class Socket:
    """As much of a WebSocket client as Foxglove's protocol needs here."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("ws://").split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        key = base64.b64encode(b"0123456789abcdef").decode()
        request = [
            "GET / HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: foxglove.sdk.v1",
        ]
        self._socket.sendall("\r\n".join([*request, "", ""]).encode())
        self._stream = self._socket.makefile("rb")
        while self._stream.readline().strip():
            pass

    def receive(self) -> bytes:
        first, size = self._stream.read(2)
        if size == 126:
            (size,) = struct.unpack(">H", self._stream.read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._stream.read(8))
        assert first & 0x80, "not fragmented"
        return self._stream.read(size)

    def hears(self, seconds: float) -> bool:
        """Whether something comes within that time, what has been read ahead aside."""
        return bool(select.select([self._socket], [], [], seconds)[0])

    def send(self, value: object) -> None:
        data = json.dumps(value).encode()
        mask = b"\1\2\3\4"
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self._socket.sendall(bytes([0x81, 0x80 | 126]) + struct.pack(">H", len(data)) + mask + masked)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def test_foxglove_app_gets_the_same_messages() -> None:
    sent = recordings.messages(frames=3)
    with FoxgloveView(port=0) as view:
        assert view.url.startswith("ws://127.0.0.1:")
        assert listening_beyond_loopback() == []
        for message in [recordings.run_info(), *sent[:12]]:
            view.step(message, 0)
        client = Socket(view.url)
        channels: dict[str, dict[str, object]] = {}
        while "camera/front" not in channels:
            frame = client.receive()
            if frame[:1] == b"{":
                for channel in json.loads(frame).get("channels", []):
                    channels[channel["topic"]] = channel
        assert {"lidar/top", "pose/ego", "rig/transforms", "rig/front", "wheel/rear"} <= channels.keys()
        wanted = channels["camera/front"]
        client.send({"op": "subscribe", "subscriptions": [{"id": 7, "channelId": wanted["id"]}]})
        frame = b"\0"
        for _ in range(100):  # the server takes note of the subscription when it comes to it
            for message in sent[12:]:
                view.step(message, 0)
            while frame[0] != 1 and client.hears(0.1):
                frame = client.receive()
            if frame[0] == 1:
                break
        client.close()
    _, number, log_time = struct.unpack_from("<BIQ", frame)
    assert number == 7
    image = next(m for m in sent if m.topic == "camera/front" and m.stamp.arrival_ns == log_time)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(str(wanted["schema"]))).file:
        pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(str(wanted["schemaName"])))
    assert kind.FromString(frame[13:]).data == image.payload.data.tobytes()


def test_foxglove_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=str(port)):
            FoxgloveView(port=port)
