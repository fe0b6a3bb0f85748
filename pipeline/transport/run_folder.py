"""One folder per run, in shared memory, where the nodes of one host find each other and keep their rings.

    /dev/shm/syncline-<uid>/<run>/      mode 0700, refused if it belongs to someone else; see `run_path`
        <node>.lock                     held with flock while the node's process lives; the kernel lets go at any death
        <node>.sock                     the node's publisher
        <node>.<topic>.<id>.<n>.ring    see `ring.py`

Nobody watches over the folder and no process identifier is trusted: a lock that can be taken belongs to the dead. What
they left is removed when a node of the same name starts, when the run is next opened by its first node, when its last
node closes, or by `cleanup`. Opening and closing are serialised by a lock on the folder of all runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import BadInput

MAX_SOCKET_PATH = 107  # sun_path
_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}")


def is_name(text: str) -> bool:
    """Whether ``text`` may name a node: letters, digits, `_`, `-`, at most 48."""
    return _NAME.fullmatch(text) is not None


def run_path(run: str, base: Path | None = None) -> Path:
    """Folder of a run. Its name may be any text, a path for example: the end of it and a hash make a short one."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", run)[-16:]
    digest = hashlib.blake2b(run.encode(), digest_size=6).hexdigest()
    return (base or default_base()) / f"{readable}-{digest}"


class RunFolder:
    """A living node's place in its run.

    Raises:
        BadInput: a node name that is none or already in use, a folder that others may write to.
    """

    def __init__(self, run: str, node: str, base: Path | None = None) -> None:
        if not is_name(node):
            raise BadInput("bus", "node name", "letters, digits, _ and -, at most 48", node)
        self._base = base or default_base()
        self.path = run_path(run, base)
        self.node = node
        if len(os.fsencode(self.socket(node))) > MAX_SOCKET_PATH:
            raise BadInput("bus", "folder", f"socket paths of at most {MAX_SOCKET_PATH} bytes", self.path)
        _make_private(self._base)
        with _exclusive(self._base):
            _make_private(self.path)
            living = _living(self.path)
            if node in living:
                raise BadInput(self.path, "node name", "one that no running process of the run has", node)
            _remove(path for path in self.path.iterdir() if not living or _owner(path) == node)
            self._lock = os.open(self.path / f"{node}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def socket(self, node: str) -> Path:
        return self.path / f"{node}.sock"

    def ring(self, node: str, topic: str, instance: int, segment: int) -> Path:
        return self.path / f"{node}.{topic.replace('/', '~')}.{instance:016x}.{segment}.ring"

    def publishers(self) -> set[str]:
        """Names of the nodes whose sockets are here."""
        return {path.name.removesuffix(".sock") for path in self.path.glob("*.sock")}

    def close(self) -> None:
        """Leave the run. The rings stay for readers that are behind, until the last node leaves."""
        with _exclusive(self._base):
            os.close(self._lock)
            if not _living(self.path):
                shutil.rmtree(self.path, ignore_errors=True)


def default_base() -> Path:
    """The folder of all runs of this user, in shared memory where there is such a thing."""
    shared = Path("/dev/shm")
    return (shared if shared.is_dir() else Path(tempfile.gettempdir())) / f"syncline-{os.geteuid()}"


def cleanup(run: str, base: Path | None = None) -> frozenset[str]:
    """Remove what dead nodes of ``run`` left (everything, when none lives); returns the names of the living."""
    base = base or default_base()
    folder = run_path(run, base)
    if not folder.is_dir():
        return frozenset()
    with _exclusive(base):
        living = _living(folder)
        if living:
            _remove(path for path in folder.iterdir() if _owner(path) not in living)
        else:
            shutil.rmtree(folder)
    return living


def living_nodes(run: str, base: Path | None = None) -> frozenset[str]:
    """Names of the nodes that are in ``run`` now; changes nothing."""
    folder = run_path(run, base)
    return _living(folder) if folder.is_dir() else frozenset()


def _make_private(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise BadInput(folder, "owner and mode", f"a folder of user {os.geteuid()} with mode 0700", oct(found.st_mode))


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _living(folder: Path) -> frozenset[str]:
    """Nodes whose lock is held."""
    living = set()
    for path in folder.glob("*.lock"):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            living.add(_owner(path))
        finally:
            os.close(descriptor)
    return frozenset(living)


def _owner(path: Path) -> str:
    return path.name.partition(".")[0]


def _remove(paths: Iterator[Path]) -> None:
    for path in list(paths):
        path.unlink()
