"""The graph that expands masks: one image, one baseline, many rows of bits.

`where(masks[:, segments], image, baseline) -> classifier -> logits`, so that a perturbation costs
one byte a segment on the wire instead of one image.
"""

import onnx
from onnx import TensorProto, compose, helper

from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.graphs import rename_value

_EXPANDED = "expanded"


def masked_graph(classifier: onnx.ModelProto, channel_axis: int) -> onnx.ModelProto:
    """Put the five nodes that expand masks in front of a classifier.

    Args:
        classifier: graph from `input` float32 `(N, *shape)` to `logits` float32 `(N, K)`.
        channel_axis: axis of the channels in `shape`, 0 or 2.

    Returns:
        A graph with the inputs `image` float32 `(1, *shape)`, `baseline` float32 of any shape
        that broadcasts to it, `segments` uint16 `(H, W)` with values below S, and `masks` uint8
        `(N, S)`, where 1 keeps the image and 0 shows the baseline. Its output is `logits` float32
        `(N, K)`.

    Raises:
        ModelNotBuilt: the classifier's input is not called `input`, its shape is not fixed, or the
            graph is not valid ONNX.
    """
    shape = _input_shape(classifier)
    front = helper.make_model(
        _expansion(shape, channel_axis),
        ir_version=classifier.ir_version,
        opset_imports=[_default_opset(classifier)],
    )
    prefixed = compose.add_prefix(classifier, "classifier/", rename_functions=False)
    try:
        merged = compose.merge_models(
            front, prefixed, io_map=[(_EXPANDED, "classifier/input")], producer_name="pellucid"
        )
        rename_value(merged, "classifier/logits", "logits")
        merged.graph.name = "masked"
        onnx.checker.check_model(merged)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ModelNotBuilt(f"model.onnx is not a valid graph: {error}") from error
    return merged


def _expansion(shape: tuple[int, int, int], channel_axis: int) -> onnx.GraphProto:
    height, width = (size for axis, size in enumerate(shape) if axis != channel_axis)
    # In a batch, every axis is one further.
    axis = helper.make_tensor("channel_axis", TensorProto.INT64, [1], [channel_axis + 1])
    nodes = [
        helper.make_node("Cast", ["segments"], ["index"], to=TensorProto.INT32),
        helper.make_node("Gather", ["masks", "index"], ["gathered"], axis=1),
        helper.make_node("Cast", ["gathered"], ["flat"], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["flat", "channel_axis"], ["keep"]),
        helper.make_node("Where", ["keep", "image", "baseline"], [_EXPANDED]),
    ]
    value = helper.make_tensor_value_info
    baseline = ["b0", "b1", "b2", "b3"]
    inputs = [
        value("image", TensorProto.FLOAT, [1, *shape]),
        value("baseline", TensorProto.FLOAT, baseline),
        value("segments", TensorProto.UINT16, [height, width]),
        value("masks", TensorProto.UINT8, ["masks", "segments"]),
    ]
    outputs = [value(_EXPANDED, TensorProto.FLOAT, ["masks", *shape])]
    return helper.make_graph(nodes, "expansion", inputs, outputs, initializer=[axis])


def _input_shape(classifier: onnx.ModelProto) -> tuple[int, int, int]:
    weights = {tensor.name for tensor in classifier.graph.initializer}
    inputs = [value for value in classifier.graph.input if value.name not in weights]
    if [value.name for value in inputs] != ["input"]:
        raise ModelNotBuilt(f"model.onnx must have one input, `input`: {[v.name for v in inputs]}")
    axes = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim]
    if len(axes) != 4 or not all(axes[1:]):
        raise ModelNotBuilt(f"`input` of model.onnx must be a batch of fixed shape: {axes}")
    return axes[1], axes[2], axes[3]


def _default_opset(model: onnx.ModelProto) -> onnx.OperatorSetIdProto:
    found = [opset for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    if not found or found[0].version < 13:
        raise ModelNotBuilt("model.onnx needs the default operators of version 13 or newer")
    return found[0]
