"""CURVE keys of the hosts that may talk to each other: one folder, one pair of files per name.

    <name>.public   the public key, to be copied to every host that may talk to this one
    <name>.secret   the secret key, mode 0600, never leaves its host

A folder's public keys are its allow-list: who is not in it is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import zmq

from pipeline.core.errors import BadInput
from pipeline.transport.run_folder import is_name

_KEY_SIZE = 40  # 32 bytes in Z85


def generate_keys(folder: Path, name: str) -> str:
    """Write a new pair into ``folder`` and return the public key.

    Raises:
        BadInput: not a name, or there is such a pair already.
    """
    if not is_name(name):
        raise BadInput(folder, "key name", "letters, digits, _ and -, at most 48", name)
    public, secret = zmq.curve_keypair()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_new(folder / f"{name}.secret", secret, 0o600)
    _write_new(folder / f"{name}.public", public, 0o644)
    return public.decode()


def load_secret(folder: Path, name: str) -> tuple[bytes, bytes]:
    """Public and secret key of ``name``.

    Raises:
        BadInput: no such file, not a key, or a file that others may read.
    """
    path = folder / f"{name}.secret"
    secret = _read(path)
    if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        raise BadInput(path, "mode", "0600: readable by its owner only", oct(mode))
    return zmq.curve_public(secret), secret


def load_allowed(folder: Path) -> Mapping[str, bytes]:
    """Public keys by name.

    Raises:
        BadInput: a file that is not a key.
    """
    return {path.name.removesuffix(".public"): _read(path) for path in sorted(folder.glob("*.public"))}


def _write_new(path: Path, key: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise BadInput(path, "key file", "a name that has none yet", "one") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + b"\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            key = file.read(_KEY_SIZE + 2).strip()
    except OSError as error:
        raise BadInput(path, "key file", "a readable file", error) from error
    try:
        zmq.curve_public(key)  # any 32 bytes in Z85 will do
    except (ValueError, zmq.ZMQError) as error:
        raise BadInput(path, "key", f"{_KEY_SIZE} characters of Z85", f"{len(key)} bytes that are not") from error
    return key
