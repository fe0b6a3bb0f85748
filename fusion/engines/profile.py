"""A profile of a machine: which form of each network to run on which engine with how many threads, as it was measured.

`syncline tune` writes it into the user's cache; `auto` follows the one of this processor where there is one.
"""

from __future__ import annotations

import os
from pathlib import Path

from fusion.engines.engine import EngineSettings
from fusion.engines.plans import this_processor
from pipeline.core.errors import BadInput
from pipeline.core.settings import Settings, load_yaml, to_yaml


class Tuned(Settings, frozen=True):
    """weights: a shipped name. cpu_ms, wall_ms: of one answer, medians. most_hz: answers a second that take half of the
    machine's processor time."""

    weights: str
    engine: EngineSettings
    cpu_ms: float
    wall_ms: float
    most_hz: float


class Profile(Settings, frozen=True):
    """networks: by the name of the float weights. processor: as `this_processor` names it."""

    processor: str
    networks: dict[str, Tuned]


def profile_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "syncline" / "profile.yaml"


def this_profile() -> Profile | None:
    """That of this processor; None where there is none, or one of another.

    Raises:
        BadInput: a file that is no profile.
    """
    path = profile_file()
    if not path.is_file():
        return None
    found = load_yaml(path, Profile)
    return found if found.processor == this_processor() else None


def save_profile(profile: Profile, path: Path) -> None:
    """Raises BadInput where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_yaml(profile), encoding="utf-8")
    except OSError as error:
        raise BadInput(path, "profile", "a file that can be written", error) from error
