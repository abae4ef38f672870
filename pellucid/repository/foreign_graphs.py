"""A user's ONNX file, checked and put into the form that Pellucid serves."""

from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from pellucid.architectures.errors import UnsafeFile
from pellucid.cards import Activation, Card
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.graphs import rename_value

LARGEST_BYTES: Final = 1 << 30
"""Of a graph with its weights; a protobuf message may have twice as many."""
_DOMAINS: Final = ("", "ai.onnx")
_PROBABILITIES: Final = {
    Activation.SOFTMAX: "Softmax",
    Activation.SIGMOID: "Sigmoid",
    Activation.BINARY_SIGMOID: "Sigmoid",
}
"""The operator that does to logits what the card says Pellucid does."""


def served_graph(path: Path, card: Card) -> onnx.ModelProto:
    """Read a graph and make it one from `input` to `logits`, with its weights inside.

    Where the graph ends with the activation that the card names, that operator is taken off.

    Raises:
        UnsafeFile: it is damaged or too large, or refers to files outside its folder.
        ModelNotBuilt: it has other operators than ONNX' own, or does not fit the card.
    """
    graph = _read(path)
    _check_operators(path, graph)
    _name_ends(path, graph)
    _take_off_activation(graph, card)
    _fix_shape(path, graph, card)
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelNotBuilt(f"{path.name} is not a valid graph: {error}") from error
    return graph


def ends_in_probabilities(graph: onnx.ModelProto) -> bool:
    """Whether what a graph calls logits went through a softmax or sigmoid."""
    last = _maker(graph, "logits")
    return last is not None and last.op_type in _PROBABILITIES.values()


def _read(path: Path) -> onnx.ModelProto:
    try:
        graph = onnx.load_model(path, load_external_data=False)
        stored = path.stat().st_size
        for tensor in _tensors(graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                stored += _external(path, tensor).stat().st_size
        if stored > LARGEST_BYTES:
            raise UnsafeFile(f"{path.name} has {stored:,} bytes, more than {LARGEST_BYTES:,}")
        onnx.load_external_data_for_model(graph, str(path.parent))
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise UnsafeFile(f"{path.name} cannot be read: {error}") from error
    return graph


def _tensors(graph: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Every tensor that could lie in another file, also those of constants."""
    nodes = [*graph.graph.node, *(node for one in graph.functions for node in one.node)]
    constants = [
        tensor
        for node in nodes
        for attribute in node.attribute
        for tensor in (attribute.t, *attribute.tensors)
    ]
    return [*graph.graph.initializer, *constants]


def _external(path: Path, tensor: onnx.TensorProto) -> Path:
    """The file beside the graph that holds a tensor."""
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    found = path.parent / location
    if (
        not location
        or Path(location).is_absolute()
        or found.is_symlink()
        or not found.resolve().is_relative_to(path.parent.resolve())
    ):
        raise UnsafeFile(
            f"{path.name}: weights {tensor.name!r} lie in {location!r}, outside its folder"
        )
    return found


def _check_operators(path: Path, graph: onnx.ModelProto) -> None:
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in _nodes(graph) if n.domain not in _DOMAINS})
    if foreign:
        raise ModelNotBuilt(
            f"{path.name} has operators that no plain Triton knows: {', '.join(foreign[:5])}"
        )


def _nodes(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    found: list[onnx.NodeProto] = []
    todo = [graph.graph]
    while todo:
        nodes = todo.pop().node
        found += nodes
        todo += [
            inner
            for node in nodes
            for attribute in node.attribute
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]
        ]
    return found


def _name_ends(path: Path, graph: onnx.ModelProto) -> None:
    weights = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value.name for value in graph.graph.input if value.name not in weights]
    outputs = [value.name for value in graph.graph.output]
    if len(inputs) != 1 or (len(outputs) != 1 and "logits" not in outputs):
        raise ModelNotBuilt(
            f"{path.name} has the inputs {inputs} and the outputs {outputs}; a classifier has one "
            "input, and one output or one called `logits`"
        )
    rename_value(graph, inputs[0], "input")
    if "logits" not in outputs:
        rename_value(graph, outputs[0], "logits")
    kept = [value for value in graph.graph.output if value.name == "logits"]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)


def _take_off_activation(graph: onnx.ModelProto, card: Card) -> None:
    last = _maker(graph, "logits")
    if last is None or last.op_type != _PROBABILITIES[card.output.activation]:
        return
    logits = last.input[0]
    graph.graph.node.remove(last)
    rename_value(graph, logits, "logits")


def _maker(graph: onnx.ModelProto, value: str) -> onnx.NodeProto | None:
    return next((node for node in graph.graph.node if value in node.output), None)


def _fix_shape(path: Path, graph: onnx.ModelProto, card: Card) -> None:
    """Give axes that the file leaves open the contract's size; only the batch stays free."""
    value = next(value for value in graph.graph.input if value.name == "input")
    axes = value.type.tensor_type.shape.dim
    wanted = card.preprocess.shape
    stated = [axis.dim_value or None for axis in axes]
    fits = len(stated) == 4 and all(
        size in (None, need) for size, need in zip(stated[1:], wanted, strict=True)
    )
    if not fits or value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        raise ModelNotBuilt(
            f"the input of {path.name} is {kind} {stated}; the card's contract makes "
            f"FLOAT [N, {', '.join(map(str, wanted))}]"
        )
    if stated[0] is not None:
        raise ModelNotBuilt(
            f"{path.name} takes batches of {stated[0]} only: export it with a free batch size"
        )
    for axis, size in zip(axes[1:], wanted, strict=True):
        axis.dim_value = size
    output = graph.graph.output[0].type.tensor_type.shape
    if len(output.dim) == 2 and not output.dim[1].dim_value:
        output.dim[1].dim_value = card.logits
