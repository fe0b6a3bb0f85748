"""Strict settings from YAML: unknown keys refused, errors name the file, the line and the field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from pipeline.core.errors import BadInput
from pipeline.core.wanted import found_at, wanted

T = TypeVar("T")

_MAX_YAML_BYTES = 4 << 20


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every settings struct: immutable, keyword-only, no unknown fields."""


def load_yaml(path: Path, kind: type[T]) -> T:
    """Read a YAML file as ``kind``.

    Raises:
        BadInput: not readable, not YAML, too large, or a field that is missing, unknown or out of range.
    """
    text = _read(path)
    try:
        document = yaml.load(text, Loader=_Strict)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadInput(path, "file", "readable YAML", error, mark.line + 1 if mark else None) from error
    try:
        return convert(document, kind, source=path)
    except BadInput as error:
        raise located(error, text) from error


def located(error: BadInput, text: str) -> BadInput:
    """The same error with the line of ``text``, the YAML it is about, on which its field stands."""
    unknown = re.search(r"unknown field `([^`]*)`", error.found)
    field = f"{error.field}.{unknown[1]}" if unknown else error.field
    return BadInput(error.source, error.field, error.expected, error.found, _line(text, field))


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` stands twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MAX_YAML_BYTES:
            raise BadInput(path, "file size", f"at most {_MAX_YAML_BYTES} bytes", size)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, "file", "readable YAML", error) from error


def _line(text: str, field: str) -> int:
    """The line, from 1, of a path such as ``$.sensors[2].name``; where there is no such part, of the last there is."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 1
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", field):
        if name and isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == name), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            node = node.value[int(index)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def convert(document: Any, kind: type[T], source: object) -> T:
    """Check plain data (from YAML or JSON) against ``kind``.

    Raises:
        BadInput: with the field as a path such as ``$.sensors[2].extrinsic``.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        field = place.rpartition(" in ")[2].strip("`") or "$"  # "`key` in `$.mix`" is said of keys
        listed = wanted(kind, field, document) if re.match("Invalid|.*unknown field", problem) else ""
        value = found_at(field, document)
        if "got" not in problem and isinstance(value, int | float | str) and str(value) not in problem:
            problem += f", got {value}"
        raise BadInput(source, field, listed or f"a valid {getattr(kind, '__name__', kind)}", problem) from error


def to_yaml(settings: Any) -> str:
    """YAML text of a settings struct, every default written out, so that a run can be repeated from it."""
    return str(yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False, allow_unicode=True))
