"""A network with features, made by hand, and detectors for it."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pellucid.repository.detector import MahalanobisDetector
from tests.support.known_models import Floats

WIDTH = 5
"""Of the features."""


def network(shape: tuple[int, ...], *, dense: str = "Gemm") -> onnx.ModelProto:
    """`Flatten -> dense -> Relu -> dense` from `input` `(N, *shape)` to two logits."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(0, 0.2, (int(np.prod(shape)), WIDTH)).astype(np.float32)
    last = rng.normal(size=(WIDTH, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "hidden"], ["hidden_logits"]),
        helper.make_node("Relu", ["hidden_logits"], ["features"]),
        # An exporter's own use of the name.
        helper.make_node("Identity", ["features"], ["pooled"]),
    ]
    if dense == "Gemm":
        nodes.append(helper.make_node("Gemm", ["pooled", "last", "bias"], ["logits"]))
    else:
        nodes.append(helper.make_node("MatMul", ["pooled", "last"], ["products"]))
        nodes.append(helper.make_node(dense, ["products", "bias"], ["logits"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "network",
        [value("input", TensorProto.FLOAT, ["batch", *shape])],
        [value("logits", TensorProto.FLOAT, ["batch", 2])],
        initializer=[
            numpy_helper.from_array(hidden, "hidden"),
            numpy_helper.from_array(last, "last"),
            numpy_helper.from_array(np.ones(2, np.float32), "bias"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def statistics(features: Floats, inputs: Floats, channel_axis: int) -> Floats:
    """What a detector compares, in numpy: features, then mean and deviation of rows and columns."""
    planes = np.moveaxis(inputs, channel_axis + 1, 1)
    profiles = [measure(planes, axis) for axis in ((1, 3), (1, 2)) for measure in (np.mean, np.std)]
    return np.concatenate([features, *profiles], axis=1)


def detector(values: Floats) -> MahalanobisDetector:
    """Of three random directions, centred on `values` `(N, V)`."""
    rng, directions = np.random.default_rng(1), 3
    basis = np.linalg.qr(rng.normal(size=(values.shape[1], directions)))[0].T
    return MahalanobisDetector(
        mean=values.mean(axis=0),
        scale=(1 / (values.std(axis=0) + 0.1)).astype(np.float32),
        directions=basis.astype(np.float16).astype(np.float32),
        variances=np.arange(1, directions + 1, dtype=np.float32),
        rest=np.array([0.5], np.float32),
    )
