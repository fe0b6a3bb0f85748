"""An OpenGL context without a window, and programs built from the shaders beside this file."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from ctypes.util import find_library
from pathlib import Path

import moderngl

from pipeline.core.errors import BadInput

_SHADERS = Path(__file__).parent / "shaders"
_INSTALL = "OpenGL with EGL (Debian, Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri)"


def open_context() -> moderngl.Context:
    """A context of its own on the graphics processor, or on Mesa's software renderer where there is none.

    Raises:
        BadInput: no EGL library or no driver on this machine; says what to install.
    """
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa draws in the caller's thread: cameras have their own processes
    for library in ("EGL", "GL"):
        if find_library(library) is None:
            raise BadInput("simulated camera", f"lib{library}", _INSTALL, "no such library")
    try:
        return moderngl.create_context(standalone=True, require=330, backend="egl")  # type: ignore[arg-type]
    except Exception as error:  # the loader raises plain Exception
        raise BadInput("simulated camera", "OpenGL", _INSTALL, error) from error


def program(context: moderngl.Context, name: str, defines: Iterable[str] = ()) -> moderngl.Program:
    """``shaders/name.vert`` and ``name.frag`` with ``#define``s; a line ``#include file`` is replaced by that file."""
    head = "#version 330 core\n" + "".join(f"#define {word}\n" for word in defines)
    return context.program(
        vertex_shader=head + _source(f"{name}.vert.glsl"), fragment_shader=head + _source(f"{name}.frag.glsl")
    )


@functools.cache
def _source(file: str) -> str:
    lines = (_SHADERS / file).read_text(encoding="utf-8").splitlines()
    return "\n".join(_source(line.split()[1]) if line.startswith("#include ") else line for line in lines) + "\n"
