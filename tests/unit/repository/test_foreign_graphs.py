"""A user's ONNX file: what is taken over, and what is refused with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pellucid.architectures.errors import UnsafeFile
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.foreign_graphs import served_graph
from tests.support.cards import GREY

SIZE = 32 * 32


def graph(
    *, shape: Any = ("batch", 1, 32, 32), last: str = "", width: int = 2, opset: int = 18
) -> onnx.ModelProto:
    """`pixels -> flatten -> matmul -> scores`, and what is named `last`, if anything."""
    weights = np.zeros((SIZE, width), np.float32)
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["sums" if last else "scores"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["sums"], ["scores"]))
    made = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def saved(folder: Path, model: onnx.ModelProto, **how: Any) -> Path:
    path = folder / "network.onnx"
    onnx.save_model(model, path, **how)
    return path


def test_input_and_output_get_the_names_that_are_served(tmp_path: Path) -> None:
    found = served_graph(saved(tmp_path, graph()), GREY)
    assert [value.name for value in found.graph.input] == ["input"]
    assert [value.name for value in found.graph.output] == ["logits"]


def test_axes_that_the_file_leaves_open_are_the_contracts(tmp_path: Path) -> None:
    found = served_graph(saved(tmp_path, graph(shape=("n", 1, "height", "width"))), GREY)
    axes = found.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_value for axis in axes] == [0, 1, 32, 32]


def test_the_activation_of_the_card_is_taken_off(tmp_path: Path) -> None:
    found = served_graph(saved(tmp_path, graph(last="Softmax")), GREY)
    assert [node.op_type for node in found.graph.node] == ["Flatten", "MatMul"]
    assert found.graph.node[-1].output == ["logits"]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (("n", 3, 32, 32), r"\[None, 3, 32, 32\].*\[N, 1, 32, 32\]"),
        (("n", 1, 32, 64), r"\[None, 1, 32, 64\]"),
        (("n", 1024), r"\[None, 1024\]"),
        ((1, 1, 32, 32), "free batch"),
    ],
)
def test_a_contract_that_does_not_fit_the_input_is_refused(
    tmp_path: Path, shape: Any, said: str
) -> None:
    with pytest.raises(ModelNotBuilt, match=said):
        served_graph(saved(tmp_path, graph(shape=shape)), GREY)


def test_operators_of_another_domain_are_named(tmp_path: Path) -> None:
    model = graph()
    model.graph.node[1].domain = "com.example"
    model.opset_import.add(domain="com.example", version=1)
    with pytest.raises(ModelNotBuilt, match=r"com\.example\.MatMul"):
        served_graph(saved(tmp_path, model), GREY)


def test_weights_in_a_file_beside_it_are_taken_in(tmp_path: Path) -> None:
    path = saved(
        tmp_path, graph(), save_as_external_data=True, location="network.data", size_threshold=0
    )
    found = served_graph(path, GREY)
    assert found.graph.initializer[0].data_location == TensorProto.DEFAULT
    assert len(found.graph.initializer[0].raw_data) == SIZE * 2 * 4


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", ""])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(SIZE * 2 * 4))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    model = graph()
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeFile, match="outside its folder"):
        served_graph(path, GREY)


def test_a_corrupt_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(b"no graph at all")
    with pytest.raises(UnsafeFile, match="cannot be read"):
        served_graph(path, GREY)


def test_two_inputs_are_named(tmp_path: Path) -> None:
    model = graph()
    model.graph.input.add().CopyFrom(
        helper.make_tensor_value_info("age", TensorProto.FLOAT, ["batch", 1])
    )
    with pytest.raises(ModelNotBuilt, match="age"):
        served_graph(saved(tmp_path, model), GREY)
