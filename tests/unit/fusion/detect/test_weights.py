from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fusion.detect import weights
from fusion.detect.weights import FOLDER_VARIABLE, Weights, fetch, resolve
from pipeline.core.errors import BadInput

CONTENT = b"weights" * 1000


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One small known file, and no folder of this machine in reach."""
    entry = Weights("toy/toy.onnx", "https://nowhere.invalid/toy", hashlib.sha256(CONTENT).hexdigest(), 10_000, "MIT")
    monkeypatch.setattr(weights, "WEIGHTS", {"toy": entry})
    monkeypatch.setattr(weights, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)


@pytest.fixture
def server() -> Iterator[str]:
    """Serves /good (right bytes), /other (others), /huge (endless); anything else is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/good": CONTENT, "/other": b"x" * len(CONTENT), "/huge": b"x" * 50_000}.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def put(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "toy/toy.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_searches_variable_then_cache_then_beside_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = put(tmp_path / "shared/models")
    assert resolve("toy") == beside
    cached = put(tmp_path / "cache/syncline/models")
    assert resolve("toy") == cached
    named = put(tmp_path / "named")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "named"))
    assert resolve("toy") == named


def test_a_given_folder_is_the_only_one(tmp_path: Path) -> None:
    put(tmp_path / "shared/models")
    with pytest.raises(BadInput, match=r"toy/toy\.onnx"):
        resolve("toy", tmp_path / "empty")


def test_another_hash_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "named", b"tampered")
    with pytest.raises(BadInput, match="SHA-256"):
        resolve("toy", tmp_path / "named")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(BadInput, match="one of toy"):
        resolve("other")


def test_shipped_weights_are_those_of_their_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    (tmp_path / "ours.onnx").write_bytes(CONTENT)
    with pytest.raises(BadInput, match="card"):
        resolve("ours")
    (tmp_path / "ours.json").write_text(json.dumps({"sha256": hashlib.sha256(CONTENT).hexdigest()}))
    assert resolve("ours") == tmp_path / "ours.onnx"
    assert weights.is_known("ours")
    (tmp_path / "ours.onnx").write_bytes(b"tampered")
    with pytest.raises(BadInput, match="SHA-256"):
        resolve("ours")


def test_fetch_downloads_once_checks_and_reports_progress(server: str, tmp_path: Path) -> None:
    seen: list[int] = []
    path = fetch("toy", url=f"{server}/good", progress=lambda done, _: seen.append(done))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert fetch("toy", url=f"{server}/gone") == path  # already there: not asked for again
    assert resolve("toy") == path


@pytest.mark.parametrize(("page", "field"), [("other", "SHA-256"), ("huge", "size"), ("gone", "download")])
def test_a_wrong_download_leaves_nothing_behind(server: str, tmp_path: Path, page: str, field: str) -> None:
    with pytest.raises(BadInput, match=field):
        fetch("toy", folder=tmp_path / "models", url=f"{server}/{page}")
    assert [p for p in (tmp_path / "models").rglob("*") if p.is_file()] == []


def test_only_https_leaves_this_machine(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="https"):
        fetch("toy", folder=tmp_path, url="http://example.org/toy")
    with pytest.raises(BadInput, match="https"):
        fetch("toy", folder=tmp_path, url="file:///etc/hostname")
