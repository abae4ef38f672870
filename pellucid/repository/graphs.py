"""Small operations on ONNX graphs."""

from collections.abc import Collection
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from pellucid.repository.errors import ModelNotBuilt

SOURCE_KEY = "pellucid_source"
"""Metadata of a built graph: digest of what it was built from."""


def read_graph(path: Path) -> onnx.ModelProto:
    """Read a graph.

    Raises:
        ModelNotBuilt: there is none, or it is not one that ONNX can read.
    """
    try:
        return onnx.load_model(path)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise ModelNotBuilt(f"{path.name} cannot be read: {error}") from error


def rename_value(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename one value wherever the main graph mentions it."""
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        if value.name == old:
            value.name = new


def with_outputs(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A copy of a graph that has no other outputs; engines drop what only those need."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    kept = [value for value in plain.graph.output if value.name in names]
    del plain.graph.output[:]
    plain.graph.output.extend(kept)
    return plain


def output_widths(model: onnx.ModelProto) -> dict[str, int]:
    """Width of each output that is `(N, width)`, by name."""
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    return {name: shape[1] for name, shape in shapes.items() if len(shape) == 2}


def source_of(model: onnx.ModelProto) -> str | None:
    """Digest of what a graph was built from; None where Pellucid did not build it."""
    return next((p.value for p in model.metadata_props if p.key == SOURCE_KEY), None)


def set_source(model: onnx.ModelProto, digest: str) -> None:
    """Write down what a graph was built from, in the graph itself."""
    kept = [p for p in model.metadata_props if p.key != SOURCE_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=SOURCE_KEY, value=digest)
