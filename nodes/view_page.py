"""Rerun's web page, on loopback unless told otherwise, without any other network.

Rerun's own server also listens on loopback when told to, but its page asks outside servers for fonts and sends usage
statistics. Here the page, its script and its wasm are taken from the installed wheel, served by a plain file server on
127.0.0.1, and a content security policy forbids the browser to speak to anyone else.
"""

from __future__ import annotations

import functools
import http.server
import json
import logging
import os
import re
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType

import rerun_cli

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.errors import BadInput

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
_ASSETS = ("re_viewer.js", "re_viewer_bg.wasm", "favicon.ico")
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    f"style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob: http://{HOST}:*; worker-src 'self' blob:"
)
_OUTSIDE = re.compile(rb"<link\b[^>]*\bhttps?://[^>]*>", re.DOTALL)
_TIMEOUT_NS = 30_000_000_000


class RerunServer:
    """Rerun's own server process: takes what is logged and gives it to viewers. Statistics off.

    Args:
        port: that a browser gets the data from; 0 = any free one. address: to listen at; a browser is told `HOST` all
            the same, to which a container's port is published.

    Raises:
        BadInput: it does not start.

    url: for `RecordingStream.connect_grpc` and the page.
    """

    def __init__(
        self, memory_limit: str = "2GB", clock: Clock | None = None, port: int = 0, address: str = HOST
    ) -> None:
        self._clock = clock or SystemClock()
        self._home = tempfile.TemporaryDirectory(prefix="rerun-")
        self.port, self.web_port = port or _free_port(), _free_port()
        self.url = f"rerun+http://{HOST}:{self.port}/proxy"
        home = Path(self._home.name)
        settings = home / "rerun" / "analytics.json"
        settings.parent.mkdir()
        statistics = home / "statistics"
        statistics.mkdir()
        off = {"analytics_enabled": False, "analytics_id": "", "metadata": {}}
        off |= {"config_file_path": str(settings), "data_dir_path": str(statistics)}
        settings.write_text(json.dumps(off))
        command = [
            str(Path(rerun_cli.__file__).parent / "rerun"),
            "--serve-web",
            f"--bind={address}",
            f"--port={self.port}",
            f"--web-viewer-port={self.web_port}",
            f"--server-memory-limit={memory_limit}",
        ]
        environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self.fetch("favicon.ico")
        except BaseException:
            self.close()
            raise

    def fetch(self, name: str) -> bytes:
        """A file of Rerun's page; waits until the server is up."""
        give_up_ns = self._clock.now_ns() + _TIMEOUT_NS
        while True:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{self.web_port}/{name}", timeout=10) as reply:
                    return bytes(reply.read())
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:  # noqa: PERF203
                if self._process.poll() is not None or self._clock.now_ns() > give_up_ns:
                    raise BadInput("rerun", f"server on port {self.web_port}", "an answer", error) from error
                self._clock.sleep_until(self._clock.now_ns() + 100_000_000)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._home.cleanup()

    def __enter__(self) -> RerunServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Page:
    """The page on loopback, until `close`.

    Args:
        server: where its files come from; only needed while this is made, unless the page shows what is logged to it.
        data: an .rrd file to show; None: what is logged to ``server``.
        port: 0 = any free one. address: to listen at.

    Raises:
        BadInput: the port is taken.

    url: to open in a browser.
    """

    def __init__(self, server: RerunServer, data: Path | None = None, port: int = 0, address: str = HOST) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rerun-page-")
        folder = Path(self._folder.name)
        for name in _ASSETS:
            (folder / name).write_bytes(server.fetch(name))
        (folder / "index.html").write_bytes(_OUTSIDE.sub(b"", server.fetch("")))
        if data is not None:
            (folder / "run.rrd").symlink_to(data.resolve())
        handler = functools.partial(_Handler, directory=str(folder))
        try:
            self._http = http.server.ThreadingHTTPServer((address, port), handler)
        except OSError as error:
            self._folder.cleanup()
            raise BadInput(f"{address}:{port}", "port", "one that is free", error.strerror) from error
        self._http.daemon_threads = True
        self.port = self._http.server_port
        shown = f"http://{HOST}:{self.port}/run.rrd" if data is not None else server.url
        query = urllib.parse.urlencode({"url": shown, "hide_welcome_screen": "1", "persist": "0", "theme": "dark"})
        self.url = f"http://{HOST}:{self.port}/?{query}"
        self._thread = threading.Thread(target=self._http.serve_forever, name="view-page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._folder.cleanup()

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder, with the policy that keeps the browser at home."""

    extensions_map = {".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        logger.debug(format, *args)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
