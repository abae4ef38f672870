"""Features and distances in a classifier's graph, in ONNX Runtime; Triton's are in integration."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from pellucid.repository.detector import MahalanobisDetector, add_distance, expose_statistics
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.features import expose_features
from tests.support.detectors import WIDTH, detector, network, statistics
from tests.support.known_models import Floats, linear_graph

SHAPES = {0: (1, 6, 4), 2: (6, 4, 3)}
"""By the axis of the channels."""


def run(model: onnx.ModelProto, inputs: Floats) -> dict[str, Floats]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": inputs}), strict=True))


def pictures(shape: tuple[int, ...]) -> Floats:
    found = np.random.default_rng(2).normal(size=(7, *shape)).astype(np.float32)
    found[0] = 0.5  # its rows have no deviation at all
    return found


@pytest.mark.parametrize("dense", ["Gemm", "Add"])
def test_the_features_are_what_the_last_dense_layer_weighs(dense: str) -> None:
    model = network(SHAPES[0], dense=dense)
    before = run(model, pictures(SHAPES[0]))["logits"]
    expose_features(model)
    found = run(model, pictures(SHAPES[0]))
    last = onnx.numpy_helper.to_array(model.graph.initializer[1])
    assert found["features"].shape == (7, WIDTH)
    assert found["features"] @ last + 1 == pytest.approx(before, abs=1e-5)
    assert (found["logits"] == before).all()


def test_a_graph_that_does_not_end_in_a_dense_layer_keeps_its_one_output() -> None:
    model = network(SHAPES[0], dense="Mul")
    expose_features(model)
    assert [output.name for output in model.graph.output] == ["logits"]


@pytest.mark.parametrize("channel_axis", SHAPES)
def test_statistics_are_features_and_profiles_of_the_input(channel_axis: int) -> None:
    shape = SHAPES[channel_axis]
    model = network(shape)
    expose_features(model)
    expose_statistics(model, channel_axis)
    found = run(model, pictures(shape))
    expected = statistics(found["features"], pictures(shape), channel_axis)
    assert found["statistics"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("channel_axis", SHAPES)
def test_the_distance_is_mahalanobis_under_a_principal_component_analysis(
    channel_axis: int,
) -> None:
    shape = SHAPES[channel_axis]
    model = network(shape)
    expose_features(model)
    features = run(model, pictures(shape))["features"]
    values = statistics(features, pictures(shape), channel_axis)
    fitted = detector(values)
    add_distance(model, fitted, channel_axis)
    scaled = ((values - fitted.mean) * fitted.scale).astype(np.float64)
    basis = fitted.directions.astype(np.float64)
    width = basis.shape[1]
    inverse = basis.T @ np.diag(1 / fitted.variances) @ basis
    others = (np.eye(width) - basis.T @ basis) / fitted.rest
    weighted = (inverse / len(basis) + others / (width - len(basis))) / 2
    expected = np.sqrt(np.einsum("nv,vw,nw->n", scaled, weighted, scaled))
    assert run(model, pictures(shape))["distance"][:, 0] == pytest.approx(expected, rel=2e-3)
    assert fitted.distances(values) == pytest.approx(expected, rel=2e-3)


def test_a_detector_comes_back_from_its_file(tmp_path: Path) -> None:
    fitted = detector(np.random.default_rng(0).normal(size=(9, 12)).astype(np.float32))
    fitted.save(tmp_path / "detector.safetensors")
    found = MahalanobisDetector.read(tmp_path / "detector.safetensors")
    for name, values in vars(fitted).items():
        assert (getattr(found, name) == values).all()


def test_a_detector_of_another_network_is_refused() -> None:
    model = network(SHAPES[0])
    expose_features(model)
    with pytest.raises(ModelNotBuilt, match="fit it again"):
        add_distance(model, detector(np.ones((4, 9), np.float32)), 0)


def test_a_graph_without_features_has_no_distance() -> None:
    model = linear_graph(np.ones((2, *SHAPES[0]), np.float32), np.ones(2, np.float32))
    with pytest.raises(ModelNotBuilt, match="features"):
        add_distance(model, detector(np.ones((4, 9), np.float32)), 0)


def test_a_file_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    (tmp_path / "detector.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelNotBuilt, match=r"detector\.safetensors"):
        MahalanobisDetector.read(tmp_path / "detector.safetensors")
