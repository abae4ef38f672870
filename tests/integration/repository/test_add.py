"""A user's own models, added, served by the real Triton, and differentiated."""

import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

from explain_service.gradient.loading import NoCopy, load_copy
from explain_service.gradient.model import GradientModel, Head
from pellucid.embedded.system import EmbeddedTriton
from pellucid.parity import probes
from pellucid.repository.folder import ModelFolder
from pellucid.repository.install import (
    AddedModel,
    ModelRefused,
    add_model,
    remove_model,
    verify_model,
)
from pellucid.repository.model_control import ModelControl
from tests.support import own_models
from tests.support.known_models import Floats
from tests.support.own_models import write_card
from tests.support.triton_client import infer

# Exporters use what their frameworks deprecate.
pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = (
    *("weights", "program", "keras_nested", "single_logit", "graph", "transformer"),
    *("whole_h5", "saved_model"),
)
LAYERS = {
    "weights": "features.block2.conv2",
    "program": "features.3",
    "keras_nested": "base/last",
    "single_logit": "base/last",
}
BINARY: dict[str, Any] = {
    "labels": ["no", "yes"],
    "output": {"activation": "binary_sigmoid", "positive_label": "yes"},
}


def add_all(repository: Path, files: Path) -> Iterator[AddedModel]:
    torch.manual_seed(3)
    keras.utils.set_random_seed(3)
    from pellucid.architectures.small_cnn import small_cnn

    arguments = {"channels": 3, "outputs": 3, "width": 8, "blocks": 2}
    builder = {"framework": "torch", "builder": "small_cnn", "arguments": arguments}
    torch.save(small_cnn(**arguments).state_dict(), files / "weights.pt")
    card = write_card(files, "weights", architecture=builder)
    yield add_model(files / "weights.pt", card, repository)
    for name, module in {
        "program": own_models.Convolutional(),
        "transformer": own_models.VisionTransformer(),
    }.items():
        file = own_models.save_program(module, files / f"{name}.pt2")
        layers = {"framework": "torch", "grad_cam_layers": ["blocks.1.norm1"]}
        facts = {"architecture": layers} if name == "transformer" else {}
        yield add_model(file, write_card(files, name, **facts), repository)
    for name, outputs in {"keras_nested": 3, "single_logit": 1}.items():
        own_models.nested_keras(outputs).save(files / f"{name}.keras")
        facts = BINARY if outputs == 1 else {}
        card = write_card(files, name, layout="HWC", **facts)
        yield add_model(files / f"{name}.keras", card, repository)
    own_models.nested_keras().save(files / "whole_h5.h5")
    yield add_model(files / "whole_h5.h5", write_card(files, "whole_h5", layout="HWC"), repository)
    own_models.nested_keras().export(files / "saved_model", verbose=False)
    yield add_model(
        files / "saved_model", write_card(files, "saved_model", layout="HWC"), repository
    )
    file = own_models.save_onnx(own_models.Convolutional(), files / "graph.onnx")
    yield add_model(file, write_card(files, "graph"), repository)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def added(folder: Path) -> Mapping[str, AddedModel]:
    return {model.card.name: model for model in add_all(folder / "repository", folder)}


@pytest.fixture(scope="module")
def triton(folder: Path, added: Mapping[str, AddedModel]) -> Iterator[EmbeddedTriton]:
    with EmbeddedTriton(folder / "repository", folder / "state", watch=True) as system:
        yield system


def copy_of(folder: Path, name: str) -> GradientModel:
    model = ModelFolder.read(folder / "repository" / name)
    file = model.weights
    return load_copy(model.card, file, chunk=4, threads=1)


@pytest.mark.parametrize("name", NAMES)
def test_each_answers_on_triton_as_its_network_does(
    folder: Path, added: Mapping[str, AddedModel], triton: EmbeddedTriton, name: str
) -> None:
    inputs = probes(added[name].card)
    served = infer(triton.triton_url, name, input=inputs)
    np.testing.assert_allclose(served, copy_of(folder, name).logits(inputs), atol=1e-3)
    assert added[name].parity is not None
    assert added[name].parity.passed


@pytest.mark.parametrize("name", NAMES)
def test_each_is_differentiated(folder: Path, added: Mapping[str, AddedModel], name: str) -> None:
    card = added[name].card
    head = Head.of(card, 1, probability=False)
    gradients = copy_of(folder, name).gradients(probes(card)[3:4], [head])
    assert np.isfinite(gradients).all()
    assert np.abs(gradients).max() > 0


@pytest.mark.parametrize("name", [*LAYERS, "graph"])
def test_grad_cam_uses_the_last_convolution_however_deep(
    folder: Path, added: Mapping[str, AddedModel], name: str
) -> None:
    card = added[name].card
    assert card.architecture is not None
    [layer] = card.architecture.grad_cam_layers
    assert layer == LAYERS.get(name, layer)
    assert any("last convolution" in note for note in added[name].notes)
    cam = copy_of(folder, name).layer_cam(
        probes(card)[3:4], layer, Head.of(card, 0, probability=False)
    )
    assert cam.shape == ((16, 16) if name == "weights" else (8, 8))


def test_grad_cam_of_a_vision_transformer_puts_its_tokens_in_their_places(
    folder: Path, added: Mapping[str, AddedModel]
) -> None:
    card = added["transformer"].card
    head = Head.of(card, 0, probability=False)
    cam = copy_of(folder, "transformer").layer_cam(probes(card)[3:4], "blocks.1.norm1", head)
    assert cam.shape == (4, 4)


def test_without_a_layer_in_the_card_a_transformer_has_no_grad_cam(
    folder: Path, tmp_path: Path, added: Mapping[str, AddedModel]
) -> None:
    found = add_model(folder / "transformer.pt2", write_card(tmp_path, "transformer"), tmp_path)
    assert found.card.architecture is not None
    assert found.card.architecture.grad_cam_layers == ()
    assert any("attention" in note for note in found.notes)


@pytest.mark.parametrize("name", ["weights", "keras_nested", "graph"])
def test_what_is_served_is_verified(folder: Path, triton: EmbeddedTriton, name: str) -> None:
    found = verify_model(
        folder / "repository" / name, lambda inputs: infer(triton.triton_url, name, input=inputs)
    )
    assert found.parity is not None
    assert found.parity.passed


def test_another_answer_than_the_networks_is_not_verified(
    folder: Path, added: Mapping[str, AddedModel]
) -> None:
    def other(inputs: Floats) -> Floats:
        return np.tile(np.float32([9, 0, 0]), (len(inputs), 1))

    with pytest.raises(ModelRefused, match="scores differ"):
        verify_model(folder / "repository" / "weights", other)


def test_the_reason_why_a_graph_has_no_copy_is_the_explain_services_too(tmp_path: Path) -> None:
    file = own_models.save_hardmax(tmp_path / "hardmax.onnx")
    found = add_model(file, write_card(tmp_path, "hardmax"), tmp_path / "repository")
    assert found.parity is None
    assert "Hardmax" in found.notes[0]
    with pytest.raises(NoCopy, match="Hardmax"):
        copy_of(tmp_path, "hardmax")


@pytest.mark.usefixtures("added")
def test_a_triton_of_another_user_can_read_them(folder: Path) -> None:
    for path in (folder / "repository").rglob("*"):
        assert path.stat().st_mode & stat.S_IROTH, path


def test_a_running_system_loads_and_unloads_it(folder: Path, triton: EmbeddedTriton) -> None:
    def is_ready() -> bool:
        found = ModelControl(triton.triton_url).index()
        return {m.name for m in found if m.state == "READY"} >= {"later", "later_masked"}

    def wait(state: bool) -> None:
        until = time.monotonic() + 60
        while is_ready() != state:
            assert time.monotonic() < until
            time.sleep(0.2)

    add_model(folder / "graph.onnx", write_card(folder, "later"), folder / "repository")
    wait(True)
    remove_model("later", folder / "repository")
    wait(False)
    assert not list((folder / "repository").glob("*later*"))


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, Any]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"weight": Trap()}, tmp_path / "trap.pt")
    builder = {"framework": "torch", "builder": "small_cnn"}
    with pytest.raises(ModelRefused, match="pickled code"):
        add_model(
            tmp_path / "trap.pt", write_card(tmp_path, "trap", architecture=builder), tmp_path / "r"
        )
    assert not (tmp_path / "sprung").exists()
    assert list((tmp_path / "r").iterdir()) == []


def test_a_keras_lambda_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ModelRefused, match="Lambda layer"):
        add_model(
            tmp_path / "lambda.keras", write_card(tmp_path, "model", layout="HWC"), tmp_path / "r"
        )


def spoilt(folder: Path, target: Path, spoil: Callable[[Any], None]) -> Path:
    """A SavedModel with something else in it."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(folder / "saved_model", target)
    file = target / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    spoil(model.meta_graphs[0])
    file.write_bytes(model.SerializeToString())
    return target


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda graph: graph.graph_def.node.add(name="x", op="ReadFile"), "ReadFile"),
        (lambda graph: graph.object_graph_def.nodes.add().resource.SetInParent(), "tables"),
        (lambda graph: graph.ClearField("object_graph_def"), "TensorFlow 1"),
    ],
)
def test_a_saved_model_that_does_more_than_arithmetic_is_refused(
    folder: Path,
    tmp_path: Path,
    added: Mapping[str, AddedModel],
    spoil: Callable[[Any], None],
    said: str,
) -> None:
    file = spoilt(folder, tmp_path / "spoilt", spoil)
    with pytest.raises(ModelRefused, match=said):
        add_model(file, write_card(tmp_path, "model", layout="HWC"), tmp_path / "repository")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"labels": ["a", "b"]}, r"\[8, 3\].*\[8, 2\]"),
        ({"layout": "HWC"}, "does not take"),
        ({"name": "Wrong name"}, "name"),
    ],
)
def test_a_card_that_does_not_fit_the_network_is_refused(
    folder: Path, tmp_path: Path, added: Mapping[str, AddedModel], facts: Any, said: str
) -> None:
    card = write_card(tmp_path, **({"name": "model"} | facts))
    with pytest.raises(ModelRefused, match=said):
        add_model(folder / "program.pt2", card, tmp_path / "repository")


@pytest.mark.parametrize("suffix", ["pt", "pt2", "keras", "h5", "onnx", "safetensors"])
def test_a_corrupt_file_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"bad.{suffix}").write_bytes(b"not what it says")
    weights = suffix in ("pt", "safetensors")
    builder = {"framework": "torch", "builder": "small_cnn"}
    card = write_card(tmp_path, "bad", **({"architecture": builder} if weights else {}))
    with pytest.raises(ModelRefused, match=f"bad.{suffix}"):
        add_model(tmp_path / f"bad.{suffix}", card, tmp_path / "repository")


def test_what_is_there_is_not_replaced(folder: Path, added: Mapping[str, AddedModel]) -> None:
    with pytest.raises(ModelRefused, match="there already"):
        add_model(folder / "graph.onnx", folder / "graph.yaml", folder / "repository")
