"""Arrays inside messages: declared with dtype and shape in the annotation, checked once, in the constructor.

    class Cloud(Payload, frozen=True):
        xyz: Annotated[np.ndarray, Spec("<f4", "N", 3)]
        intensity: Annotated[np.ndarray, Spec("<f4", "N")]

Names stand for sizes that must agree within one message, numbers for exact sizes.
"""

from __future__ import annotations

import copy
import functools
import typing
from typing import Any, TypeVar

import msgspec
import numpy as np

Self = TypeVar("Self", bound="Payload")


class Spec:
    """dtype (numpy string or dtype) and shape of an array field."""

    def __init__(self, dtype: Any, *shape: str | int) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = shape

    def check(self, field: str, array: Any, sizes: dict[str, int]) -> None:
        """Raise ValueError unless ``array`` fits; ``sizes`` holds the named sizes seen so far in this message."""
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype or array.ndim != len(self.shape):
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"{field}: expected {self.dtype.str} {self.shape}, found {found}")
        for want, size in zip(self.shape, array.shape, strict=True):
            expected = want if isinstance(want, int) else sizes.setdefault(want, size)
            if size != expected:
                raise ValueError(f"{field}: expected shape {self.shape} with {want} = {expected}, found {array.shape}")


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, eq=False):
    """Base of everything that travels in a message. Array fields are checked against their `Spec` on construction."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for field, spec in array_specs(type(self)):
            spec.check(field, getattr(self, field), sizes)

    def updated(self: Self, **changes: Any) -> Self:
        """A copy with some fields replaced; many times faster than `msgspec.structs.replace`.

        Only what changes is checked: an array must have the dtype and shape of the one whose place it takes. Other
        fields are taken as they are.
        """
        copied = copy.copy(self)  # does not run __post_init__
        for field, value in changes.items():
            old = getattr(self, field)
            if isinstance(old, np.ndarray) and (value.dtype != old.dtype or value.shape != old.shape):
                raise ValueError(f"{field}: expected {old.dtype} {old.shape}, found {value.dtype} {value.shape}")
            msgspec.structs.force_setattr(copied, field, value)
        return copied


@functools.cache
def array_specs(kind: type[Payload]) -> tuple[tuple[str, Spec], ...]:
    """The array fields of a payload type, in order of declaration."""
    hints = typing.get_type_hints(kind, include_extras=True)
    specs: list[tuple[str, Spec]] = []
    for field in kind.__struct_fields__:
        metadata = getattr(hints[field], "__metadata__", ())
        specs.extend((field, extra) for extra in metadata if isinstance(extra, Spec))
    return tuple(specs)
