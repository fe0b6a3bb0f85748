"""The HTTP service: POST a sentence or a WAV, get intent, slots, objects and reply; a page that does so by hand.

The standard library's server, since every request is a few milliseconds of one lock and nothing is streamed: aiohttp
would be a dependency of its own for an event loop that has nothing to wait for.

Loopback unless told otherwise. Bodies are bounded before they are read; a page of another site can neither read nor
send (no CORS headers, the Host and Origin are checked, a POST must carry a content type that browsers ask leave for).
"""

from __future__ import annotations

import http.server
import json
import logging
import threading
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any

from nodes.talk.conversation import Conversation
from nodes.voice.audio import read_wav
from nodes.voice.recognition import Recogniser
from pipeline.core.errors import BadInput

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_JSON = 16 << 10
MAX_WAV = 4 << 20
_AT_ONCE = 16
_TIMEOUT_S = 10.0
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/recorder.js": ("recorder.js", "text/javascript; charset=utf-8"),
    "/tap.js": ("tap.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}


class TalkServer:
    """Serves until `close`.

    Args:
        host: address to listen on; anything but loopback opens the service to the network.
        port: 0 = any free one.
        recogniser: None: WAVs are answered with 501.

    Raises:
        BadInput: the address or port cannot be had.

    url: of the page.
    """

    def __init__(
        self, conversation: Conversation, host: str = "127.0.0.1", port: int = 0, recogniser: Recogniser | None = None
    ) -> None:
        def handler(*arguments: Any) -> _Handler:
            return _Handler(conversation, recogniser, self._room, host, *arguments)

        self._room = threading.BoundedSemaphore(_AT_ONCE)
        try:
            self._http = http.server.ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise BadInput(f"{host}:{port}", "address", "one that is free", error.strerror) from error
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://{host}:{self.port}/"
        self._thread = threading.Thread(target=self._http.serve_forever, name="talk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> TalkServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S  # of one read: a slow sender does not hold a thread for long
    server_version, sys_version = "syncline", ""

    def __init__(
        self,
        conversation: Conversation,
        recogniser: Recogniser | None,
        room: threading.BoundedSemaphore,
        host: str,
        *arguments: Any,
    ) -> None:
        self._conversation, self._recogniser, self._room, self._host = conversation, recogniser, room, host
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if not self._is_ours():
            return self._refuse(HTTPStatus.FORBIDDEN, "another host or origin")
        path = urllib.parse.urlsplit(self.path).path
        if path == "/state":
            return self._json(self._conversation.state() | {"listens": self._recogniser is not None})
        if path in _FILES:
            name, kind = _FILES[path]
            return self._send(HTTPStatus.OK, kind, (Path(__file__).parent / name).read_bytes())
        return self._refuse(HTTPStatus.NOT_FOUND, "GET / or /state, POST /say")

    def do_POST(self) -> None:
        if not self._is_ours():
            return self._refuse(HTTPStatus.FORBIDDEN, "another host or origin")
        if urllib.parse.urlsplit(self.path).path != "/say":
            return self._refuse(HTTPStatus.NOT_FOUND, "POST /say")
        kind = self.headers.get_content_type()
        limit = {"application/json": MAX_JSON, "audio/wav": MAX_WAV}.get(kind)
        if limit is None:
            return self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json or audio/wav")
        if kind == "audio/wav" and self._recogniser is None:
            return self._refuse(HTTPStatus.NOT_IMPLEMENTED, "no speech recognition is set up here")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "a Content-Length")
        if len(length) > 12 or int(length) > limit:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {limit} bytes")
        if not self._room.acquire(blocking=False):
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"at most {_AT_ONCE} requests at once")
        try:
            body = self.rfile.read(int(length))
            spoken = self._recogniser if kind == "audio/wav" else None
            self._json(self._said(body) if spoken is None else self._spoken(body, spoken))
        except BadInput as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        finally:
            self._room.release()
        return None

    def _said(self, body: bytes) -> dict[str, Any]:
        try:
            text = json.loads(body)["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput("request", "body", '{"text": "…"}', type(error).__name__) from error
        if not isinstance(text, str):
            raise BadInput("request", "text", "a string", type(text).__name__)
        return self._conversation.say(text)

    def _spoken(self, body: bytes, recogniser: Recogniser) -> dict[str, Any]:
        heard = recogniser.recognise(read_wav(body, "request"))
        if not heard.text.strip():
            return {"text": "", "frames": [], "reply": "", "acted": [], "tracks": [], "waits": False, "objects": []}
        return self._conversation.say(heard.text)

    def _is_ours(self) -> bool:
        """Whether the request was made to this address by its own page or by a program, not by another site's page."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != host:
            return False
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        return self._host not in LOOPBACK or name in LOOPBACK  # a name that only resolves to us is none of ours

    def _json(self, found: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK, "application/json; charset=utf-8", json.dumps(found, ensure_ascii=False).encode())

    def _refuse(self, status: HTTPStatus, expected: str) -> None:
        self.close_connection = True  # what was not read of the body is not taken for the next request
        self._send(status, "application/json; charset=utf-8", json.dumps({"error": expected}).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", _POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)
