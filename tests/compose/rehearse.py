"""`make compose-test`: docker compose up for real; then every container is killed, one after the other.

Says how long each step took: until the page answers and the first frame set is fused, and after each kill until the
service is healthy again and frame sets go on. Ends with 1 where something does not come back. Containers and volumes
of the rehearsal are removed at the end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "http://127.0.0.1:8080/"
PROJECT = "syncline-rehearsal"
_RUN = "cat /runs/current && cat /runs/$(cat /runs/current)/progress.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--patience", type=float, default=300.0, help="s that anything may take")
    parser.add_argument("--only", nargs="*", help="services to kill; all where none is named")
    options = parser.parse_args()
    compose = Compose(options.patience)
    try:
        began = time.monotonic()
        compose.call("up", "--detach")
        compose.until("page", compose.page, began)
        compose.until("first frame set", lambda: compose.progress() is not None, began)
        compose.until("all healthy", lambda: all(compose.healthy(name) for name in compose.services), began)
        for name in options.only or compose.services:
            compose.kill(name)
    finally:
        compose.call("logs", "--no-color", "--tail=40", check=False)
        compose.call("down", "--volumes", check=False)
    print("came back:" if not compose.lost else f"DID NOT COME BACK: {', '.join(compose.lost)}", len(compose.services))
    return 1 if compose.lost else 0


class Compose:
    def __init__(self, patience: float) -> None:
        self._command = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        self._patience = patience
        self.lost: list[str] = []
        self.services = sorted(self.call("config", "--services", show=False).split())

    def call(self, *words: str, check: bool = True, show: bool = True) -> str:
        command = [*self._command, "--project-name", PROJECT, *words]
        done = subprocess.run(command, cwd=ROOT, check=check, text=True, capture_output=True)
        if show and words[0] == "logs":
            (ROOT / "out").mkdir(exist_ok=True)
            (ROOT / "out" / "compose.log").write_text(done.stdout, encoding="utf-8")
        return done.stdout

    def until(self, what: str, holds: Callable[[], bool], began: float) -> float:
        """Wait for it; s since ``began``."""
        while not holds():
            if time.monotonic() - began > self._patience:
                raise SystemExit(f"{what}: not within {self._patience:.0f} s; see out/compose.log")
            time.sleep(0.5)
        took = time.monotonic() - began
        print(f"{what:<24}{took:7.1f} s", flush=True)
        return took

    def page(self) -> bool:
        try:
            with urllib.request.urlopen(PAGE, timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def progress(self) -> tuple[str, int, int] | None:
        """Run, epoch and number of the newest frame set; None: there is none."""
        said = self.call("exec", "-T", "recorder", "sh", "-c", _RUN, check=False, show=False)
        run, _, newest = said.partition("[")
        if not newest:
            return None
        epoch, number = json.loads("[" + newest)
        return run, epoch, number

    def healthy(self, name: str) -> bool:
        container = self.call("ps", "-q", name, show=False).strip()
        form = "{{.State.Health.Status}}"
        said = subprocess.run(["docker", "inspect", "-f", form, container], text=True, stdout=subprocess.PIPE)
        return said.stdout.strip() == "healthy"

    def kill(self, name: str) -> None:
        """SIGKILL to all that a container runs, as a machine out of memory does; Docker is to start it again."""
        container = self.call("ps", "-q", name, show=False).strip()
        pid = subprocess.run(
            ["docker", "inspect", "-f", "{{.State.Pid}}", container], text=True, stdout=subprocess.PIPE, check=True
        ).stdout.strip()
        before, began = self.progress(), time.monotonic()
        subprocess.run(["kill", "-9", pid], check=True)
        try:
            self.until(f"{name}: frames go on", lambda: self.progress() not in (None, before), began)
            self.until(f"{name}: healthy", lambda: self.healthy(name), began)
        except SystemExit as said:
            print(said, flush=True)
            self.lost.append(name)


if __name__ == "__main__":
    sys.exit(main())
