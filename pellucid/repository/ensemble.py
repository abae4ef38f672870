"""The graph of an ensemble: its members side by side, and the mean of their calibrated scores.

One graph, so that members and ensemble never are of different versions, that it expands masks like
any other, and that any Triton serves it; what its members hold is loaded once more.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from pellucid.cards import MEMBER_SCORES, Activation, Card
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.graphs import rename_value

_LOWEST = -80.0
"""Of a logarithm of a score, so that its exponential is a number of float32."""


def ensemble_graph(card: Card, members: Sequence[tuple[Card, onnx.ModelProto]]) -> onnx.ModelProto:
    """Join the graphs of an ensemble's members.

    Args:
        card: the ensemble's.
        members: card and graph of each, from `input` float32 `(N, *shape)` to `logits` `(N, K')`.

    Returns:
        A graph with the input `input`, and the outputs `logits` float32 `(N, K')`, whose
        activation is the mean of the members' calibrated scores, and `member_scores` float32
        `(N, M, K')`, those scores.

    Raises:
        ModelNotBuilt: the members' graphs are of different operator versions, or not valid.
    """
    parts = [_part(member, graph) for member, graph in members]
    first = parts[0]
    if any(part.opset_import != first.opset_import for part in parts):
        raise ModelNotBuilt(f"{card.name}: its members' graphs are of different operator versions")
    nodes, constants = _mean(card, [member for member, _ in members])
    value = helper.make_tensor_value_info
    joined = helper.make_graph(
        [*(node for part in parts for node in part.graph.node), *nodes],
        "ensemble",
        [value("input", TensorProto.FLOAT, ["batch", *card.preprocess.shape])],
        [
            value("logits", TensorProto.FLOAT, ["batch", card.logits]),
            value(MEMBER_SCORES, TensorProto.FLOAT, ["batch", len(parts), card.logits]),
        ],
        initializer=[*(one for part in parts for one in part.graph.initializer), *constants],
    )
    model = helper.make_model(
        joined,
        opset_imports=first.opset_import,
        ir_version=max(part.ir_version for part in parts),
        functions={(f.domain, f.name): f for part in parts for f in part.functions}.values(),
        producer_name="pellucid",
    )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelNotBuilt(f"{card.name}: its members do not join: {error}") from error
    return model


def _part(card: Card, graph: onnx.ModelProto) -> onnx.ModelProto:
    part = compose.add_prefix(graph, f"{card.name}/", rename_functions=False)
    rename_value(part, f"{card.name}/input", "input")
    return part


def _mean(
    card: Card, members: Sequence[Card]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """From `<member>/logits` to the outputs, by way of logarithms, which keep scores near 0 and 1.

    The mean of scores p has the softmax logits log p, and the sigmoid logits log p - log(1 - p).
    """
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "member_axis"),
        numpy_helper.from_array(np.array(_LOWEST, np.float32), "lowest"),
        numpy_helper.from_array(np.array(math.log(len(members)), np.float32), "log_members"),
    ]
    nodes = []
    for member in members:
        name = member.name
        constants.append(numpy_helper.from_array(_temperatures(member), f"{name}/temperature"))
        nodes += [
            helper.make_node("Div", [f"{name}/logits", f"{name}/temperature"], [f"{name}/scaled"]),
            helper.make_node("Unsqueeze", [f"{name}/scaled", "member_axis"], [f"{name}/stacked"]),
        ]
    stacked = [f"{member.name}/stacked" for member in members]
    nodes.append(helper.make_node("Concat", stacked, ["scaled"], axis=1))
    if card.output.activation is Activation.SOFTMAX:
        nodes += [
            helper.make_node("LogSoftmax", ["scaled"], ["log_scores"], axis=2),
            helper.make_node("Exp", ["log_scores"], [MEMBER_SCORES]),
            *_log_mean("log_scores", "logits"),
        ]
        return nodes, constants
    nodes += [
        helper.make_node("Sigmoid", ["scaled"], [MEMBER_SCORES]),
        helper.make_node("Neg", ["scaled"], ["negated"]),
        helper.make_node("Softplus", ["negated"], ["minus_log_scores"]),
        helper.make_node("Neg", ["minus_log_scores"], ["log_scores"]),
        helper.make_node("Softplus", ["scaled"], ["minus_log_others"]),
        helper.make_node("Neg", ["minus_log_others"], ["log_others"]),
        *_log_mean("log_scores", "log_mean_score"),
        *_log_mean("log_others", "log_mean_other"),
        helper.make_node("Sub", ["log_mean_score", "log_mean_other"], ["logits"]),
    ]
    return nodes, constants


def _log_mean(logs: str, out: str) -> list[onnx.NodeProto]:
    """The logarithm of the mean over the members, `(N, K')`, of `(N, M, K')` logarithms."""
    return [
        helper.make_node("Max", [logs, "lowest"], [f"{out}/kept"]),
        helper.make_node("Exp", [f"{out}/kept"], [f"{out}/scores"]),
        helper.make_node("ReduceSum", [f"{out}/scores", "member_axis"], [f"{out}/sum"], keepdims=0),
        helper.make_node("Log", [f"{out}/sum"], [f"{out}/log"]),
        helper.make_node("Sub", [f"{out}/log", "log_members"], [out]),
    ]


def _temperatures(card: Card) -> np.ndarray:
    assert card.calibration is not None  # the folder has checked it
    temperature = card.calibration.temperature
    if isinstance(temperature, dict):
        return np.array([temperature[label] for label in card.labels], np.float32)
    return np.array([temperature], np.float32)
