"""What an exported network must not carry: the exporter writes where each node came from, paths of this machine too."""

from __future__ import annotations

from pathlib import Path

import onnx


def without_origins(path: Path) -> None:
    """Rewrite the file without the notes of nodes, values and functions; the network stays the same."""
    model = onnx.load(str(path))
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, str(path))
