"""Weights by name: those that come with the project, and those of others, where they lie and how to get them.

Every file is pinned by its SHA-256, of shipped ones in the card beside them; a file with another hash is never opened
by a model runtime.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pipeline.core.errors import BadInput

FOLDER_VARIABLE = "SYNCLINE_MODELS"

SHIPPED = Path(__file__).resolve().parents[1] / "weights"
"""Our own: NAME.onnx, and NAME.json, the card that says what it was made of, by which command, and how well it does."""

_CHECKOUT = Path(__file__).resolve().parents[2]
_CHUNK = 1 << 16
_MAX_SHIPPED_BYTES = 16 << 20


class Weights(NamedTuple):
    """path: inside a models folder. max_bytes: a download is cut off beyond."""

    path: str
    url: str
    sha256: str
    max_bytes: int
    licence: str


WEIGHTS = {
    "fastestdet": Weights(
        path="fastestdet/FastestDet.onnx",
        url="https://raw.githubusercontent.com/dog-qiuqiu/FastestDet/main/example/onnx-runtime/FastestDet.onnx",
        sha256="31cb14c017fce347cb4c846ec62fdf00d76bb3beecdf4be21e7116ac67feb880",
        max_bytes=4 << 20,
        licence="BSD-3-Clause",
    ),
}


def shipped() -> tuple[str, ...]:
    """Names of the weights that come with the project, sorted."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.onnx")))


def is_known(name: str) -> bool:
    """Whether ``name`` names weights, and is not the path of a file."""
    return name in WEIGHTS or name in shipped()


def cache_folder() -> Path:
    """Where `fetch` puts weights: $XDG_CACHE_HOME/syncline/models, by default under ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "syncline" / "models"


def resolve(name: str, folder: Path | None = None) -> Path:
    """The file of these weights, its hash checked.

    Shipped ones lie in `fusion/weights`. Others are looked for in ``folder`` if given and nowhere else; otherwise in
    the folder that SYNCLINE_MODELS names, the user's cache, and `shared/models` beside the checkout, in this order.

    Raises:
        BadInput: unknown name, no file found, or a file with another hash.
    """
    if name in shipped():
        return _checked_by_card(name)
    weights = _pinned(name)
    named = os.environ.get(FOLDER_VARIABLE)
    beside = _CHECKOUT.parent / "shared" / "models"
    folders = [folder] if folder else [*([Path(named)] if named else []), cache_folder(), beside]
    for candidate in folders:
        path = candidate / weights.path
        if path.is_file():
            _check(path, weights.sha256, weights.max_bytes)
            return path
    raise BadInput(
        name,
        "weights",
        f"{weights.path} in one of the folders; `syncline models fetch` gets it",
        ", ".join(str(candidate) for candidate in folders),
    )


def fetch(
    name: str,
    folder: Path | None = None,
    url: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Download weights from their upstream into ``folder`` (default: the cache), unless they are there already.

    The file appears under its name only once its hash has been found right.

    Args:
        url: a mirror. Only https is accepted, and http to this machine itself.
        progress: called with bytes so far and in all (0 where the server does not say).

    Raises:
        BadInput: unknown name, an address that is not https, no answer, too many bytes, or another hash.
    """
    weights = _pinned(name)
    target = (folder or cache_folder()) / weights.path
    if target.is_file():
        _check(target, weights.sha256, weights.max_bytes)
        return target
    source = url or weights.url
    parts = urlsplit(source)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise BadInput(source, "address", "https", parts.scheme or "none")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        partial = Path(file.name)
    try:
        _download(source, partial, weights.max_bytes, progress)
        _check(partial, weights.sha256, weights.max_bytes)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _pinned(name: str) -> Weights:
    if name not in WEIGHTS:
        raise BadInput(name, "weights", f"one of {', '.join((*shipped(), *WEIGHTS))}", name)
    return WEIGHTS[name]


def _checked_by_card(name: str) -> Path:
    path, card = SHIPPED / f"{name}.onnx", SHIPPED / f"{name}.json"
    try:
        digest = str(json.loads(card.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(card, "sha256", "the card of the weights beside it", error) from error
    _check(path, digest, _MAX_SHIPPED_BYTES)
    return path


def _check(path: Path, sha256: str, max_bytes: int) -> None:
    size = path.stat().st_size
    if size > max_bytes:
        raise BadInput(path, "size", f"at most {max_bytes} bytes", size)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise BadInput(path, "SHA-256", sha256, digest)


def _download(source: str, target: Path, max_bytes: int, progress: Callable[[int, int], None]) -> None:
    try:
        with urllib.request.urlopen(source, timeout=30) as answer, target.open("wb") as file:
            total, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                if done > max_bytes:
                    raise BadInput(source, "size", f"at most {max_bytes} bytes", f"{done} and more")
                file.write(chunk)
                progress(done, total)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise BadInput(source, "download", "an answer", error) from error
