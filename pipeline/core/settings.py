"""Strict settings from YAML: unknown keys refused, errors name the file and the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from pipeline.core.errors import BadInput

T = TypeVar("T")

_MAX_YAML_BYTES = 4 << 20


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every settings struct: immutable, keyword-only, no unknown fields."""


def load_yaml(path: Path, kind: type[T]) -> T:
    """Read a YAML file as ``kind``.

    Raises:
        BadInput: not readable, not YAML, too large, or a field that is missing, unknown or out of range.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_YAML_BYTES:
            raise BadInput(path, "file size", f"at most {_MAX_YAML_BYTES} bytes", size)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(path, "file", "readable YAML", error) from error
    return convert(document, kind, source=path)


def convert(document: Any, kind: type[T], source: object) -> T:
    """Check plain data (from YAML or JSON) against ``kind``.

    Raises:
        BadInput: with the field as a path such as ``$.sensors[2].extrinsic``.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        problem, _, field = str(error).partition(" - at ")
        raise BadInput(
            source, field.strip("`") or "$", f"a valid {getattr(kind, '__name__', kind)}", problem
        ) from error


def to_yaml(settings: Any) -> str:
    """YAML text of a settings struct, every default written out, so that a run can be repeated from it."""
    return str(yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False, allow_unicode=True))
