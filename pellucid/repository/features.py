"""What a network makes of an input before its last layer weighs it up, as an output of its graph.

The features are what tells inputs apart that the network was trained on from those it was not, and
like cases from unlike ones.
"""

import onnx
from onnx import TensorProto, helper

from pellucid.cards import FEATURES
from pellucid.repository.graphs import rename_value


def expose_features(model: onnx.ModelProto) -> None:
    """Give a classifier's graph its features as a second output.

    A graph whose logits are not those of a dense layer is left as it is.
    """
    found = _last_dense(model.graph)
    if found is None:
        return
    value, width = found
    if any(value == given.name for given in model.graph.input):
        return  # a dense layer over the input itself has no features
    # An exporter may have given the name to something else.
    rename_value(model, FEATURES, f"{FEATURES}/inner")
    rename_value(model, value, FEATURES)
    output = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", width])
    model.graph.output.append(output)


def _last_dense(graph: onnx.GraphProto) -> tuple[str, int] | None:
    """Name and width of the input of the layer whose output is `logits`."""
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    value = "logits"
    while (node := makers.get(value)) is not None:
        computed = [name for name in node.input if name not in weights]
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            rows, columns = weights[node.input[1]]
            transposed = any(one.name == "transB" and one.i for one in node.attribute)
            return node.input[0], columns if transposed else rows
        if node.op_type not in ("Add", "Identity") or len(computed) != 1:
            return None
        (value,) = computed
    return None
