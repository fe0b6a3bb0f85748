"""What a settings type would have taken at a field, in words, for the error about what stands there instead."""

from __future__ import annotations

import re
from typing import Any

from msgspec import inspect

_MOST = 24  # names listed


def wanted(kind: Any, field: str, document: Any) -> str:
    """The names that could stand at a field such as ``$.vehicles[1].shape``: of a choice its values, of a struct its
    fields; empty where there is nothing to list.

    document: the plain data, which tells which of several structs is meant.
    """
    at, value = _single(inspect.type_info(kind), document), document
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", field):
        value = _part(value, name or int(index))
        inner = _inner(at, name, index)
        if inner is None:
            return _tags(at, name)
        at = _single(inner, value)
    return _names(at)


def found_at(field: str, document: Any) -> Any:
    """The plain value at a field; None where there is none."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", field):
        document = _part(document, name or int(index))
    return document


def _part(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None


def _inner(at: inspect.Type, name: str, index: str) -> inspect.Type | None:
    if isinstance(at, inspect.StructType):
        return next((f.type for f in at.fields if f.encode_name == name), None)
    if isinstance(at, inspect.DictType):
        return at.value_type
    if isinstance(at, inspect.TupleType) and index:
        return at.item_types[int(index)] if int(index) < len(at.item_types) else None
    return at.item_type if isinstance(at, inspect.VarTupleType | inspect.ListType) else None


def _single(at: inspect.Type, value: Any) -> inspect.Type:
    """Of several, the one whose tag the value bears, or the only one beside None."""
    if not isinstance(at, inspect.UnionType):
        return at
    structs = [t for t in at.types if isinstance(t, inspect.StructType)]
    for struct in structs:
        if isinstance(value, dict) and struct.tag_field and value.get(struct.tag_field) == struct.tag:
            return struct
    others = [t for t in at.types if not isinstance(t, inspect.NoneType)]
    return others[0] if len(others) == 1 else at


def _tags(at: inspect.Type, name: str) -> str:
    """Of several tagged structs, the tags that there are."""
    structs = [t for t in at.types if isinstance(t, inspect.StructType)] if isinstance(at, inspect.UnionType) else []
    return _listed([str(t.tag) for t in structs if t.tag_field == name])


def _names(at: inspect.Type) -> str:
    if isinstance(at, inspect.LiteralType):
        return _listed([str(value) for value in at.values])
    if isinstance(at, inspect.DictType):
        return _names(at.key_type)
    if isinstance(at, inspect.StructType):
        return _listed([field.encode_name for field in at.fields])
    return ""


def _listed(names: list[str]) -> str:
    return "" if not 0 < len(names) <= _MOST else f"one of {', '.join(name or '(empty)' for name in names)}"
