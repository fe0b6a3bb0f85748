"""A Foxglove WebSocket server: the app shows a run while it goes on, with the same messages that a recording holds."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from types import TracebackType

import foxglove
from foxglove import Channel, Context, Schema

from calibration.rig import Rig
from pipeline.core import record_form
from pipeline.core.errors import BadInput
from pipeline.core.foxglove_view import rig_views, view
from pipeline.core.messages import Message, RunInfo
from pipeline.core.recording_writer import rig_of
from pipeline.core.topics import topic_row

HOST = "127.0.0.1"
_REPEAT_NS = 1_000_000_000  # what never changes is told again for who connects later


class FoxgloveView:
    """Node that publishes what it hears to Foxglove's app, on loopback unless told otherwise.

    Args:
        port: 0 = any free one. host: another address opens the run to that network, unencrypted: know what you do.

    Raises:
        BadInput: the address cannot be listened on.

    url: for "Open connection" in the app. What is about the run itself stands at the time of the newest data.
    """

    def __init__(self, port: int = 8765, host: str = HOST) -> None:
        with socket.socket() as probe:  # the SDK's own message does not name the address
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise BadInput(f"{host}:{port}", "address", "one that is free", error.strerror) from error
        self._context = Context()
        self._server = foxglove.start_server(name="syncline", host=host, port=port, context=self._context)
        self._channels: dict[tuple[str, str], Channel] = {}
        self._newest_ns = 0
        self._rig: Rig | None = None
        self._rig_told_ns = -_REPEAT_NS
        self.url = f"ws://{host}:{self._server.port}"

    def step(self, message: Message, now_ns: int) -> Iterable[Message]:
        role = topic_row(message.topic).role
        if role in ("sensor", "truth"):
            self._newest_ns = max(self._newest_ns, message.stamp.arrival_ns)
        if self._rig is None and isinstance(message.payload, RunInfo):
            self._rig = rig_of(message, message.topic)
        if self._rig is not None and self._newest_ns - self._rig_told_ns >= _REPEAT_NS:
            self._rig_told_ns = self._newest_ns
            for topic, still in rig_views(self._rig, self._newest_ns):
                self._publish(topic, record_form.view_form(still), still.encoded(), self._newest_ns)
        log_time = self._newest_ns if role == "run" else message.stamp.arrival_ns
        seen = view(message)
        if seen is None:
            form, parts = record_form.encode(message)
            self._publish(message.topic, form, b"".join(parts), log_time)
        else:
            self._publish(message.topic, record_form.view_form(seen), seen.encoded(), log_time)
        return []

    def tick(self, now_ns: int) -> Iterable[Message]:
        return []

    def finish(self) -> Iterable[Message]:
        return []

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._server.stop()

    def __enter__(self) -> FoxgloveView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _publish(self, topic: str, form: record_form.Form, data: bytes, log_time: int) -> None:
        key = (topic, form.schema_name)
        if key not in self._channels:
            schema = Schema(name=form.schema_name, encoding=form.schema_encoding, data=form.schema)
            self._channels[key] = Channel(topic, schema=schema, message_encoding=form.encoding, context=self._context)
        self._channels[key].log(data, log_time=max(log_time, 0))
