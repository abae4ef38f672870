"""Model folders: what is written, when it counts as current, and what is refused."""

import shutil
from pathlib import Path

import onnx
import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pellucid.cards import (
    CARD_PARAMETER,
    DIGEST_PARAMETER,
    PRECISION_PARAMETER,
    ROLE_PARAMETER,
    Card,
)
from pellucid.repository.build import build_model, is_current
from pellucid.repository.errors import ModelNotBuilt
from pellucid.repository.folder import model_folders
from tests.support.known_models import binary_model, linear_model, planted_tone_model


def config_of(folder: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(
        (folder / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig()
    )


def change_card(folder: Path, **fields: object) -> None:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))


def test_the_configuration_carries_the_card(tmp_path: Path) -> None:
    model = linear_model(tmp_path)
    parameters = config_of(model.folder).parameters
    assert Card.from_json(parameters[CARD_PARAMETER].string_value) == model.card
    assert parameters[ROLE_PARAMETER].string_value == "classifier"
    assert len(parameters[DIGEST_PARAMETER].string_value) == 64


def test_the_masked_configuration_names_its_classifier(tmp_path: Path) -> None:
    linear_model(tmp_path)
    config = config_of(tmp_path / "linear_masked")
    assert config.parameters[ROLE_PARAMETER].string_value == "masked"
    assert config.parameters["pellucid_masks"].string_value == "linear"
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert config.max_batch_size == 0
    assert [tuple(tensor.dims) for tensor in config.input] == [
        (1, 1, 32, 32),
        (-1, -1, -1, -1),
        (32, 32),
        (-1, -1),
    ]


def test_the_segments_of_channels_last_have_the_height_and_the_width(tmp_path: Path) -> None:
    model = planted_tone_model(tmp_path)
    height, width, _ = model.card.preprocess.shape
    config = config_of(tmp_path / "planted_tone_masked")
    assert tuple(config.input[2].dims) == (height, width)


def test_a_single_logit_model_has_one_output_and_two_labels(tmp_path: Path) -> None:
    model = binary_model(tmp_path)
    assert tuple(config_of(model.folder).output[0].dims) == (1,)


def test_what_was_just_built_is_current(tmp_path: Path) -> None:
    assert is_current(linear_model(tmp_path).folder)


def test_a_changed_card_makes_the_configuration_stale_until_it_is_built(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, title="Another title")
    assert not is_current(folder)
    build_model(folder)
    assert is_current(folder)
    card = config_of(folder).parameters[CARD_PARAMETER].string_value
    assert Card.from_json(card).title == "Another title"


def test_another_graph_makes_the_masked_one_stale(tmp_path: Path) -> None:
    folder = linear_model(tmp_path, seed=0).folder
    other = linear_model(tmp_path / "other", seed=1).folder
    (folder / "1" / "model.onnx").write_bytes((other / "1" / "model.onnx").read_bytes())
    assert not is_current(folder)


def test_building_again_changes_no_byte(tmp_path: Path) -> None:
    linear_model(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in files}
    build_model(tmp_path / "linear")
    assert {path: path.read_bytes() for path in files} == before


def test_only_folders_with_a_card_are_models(tmp_path: Path) -> None:
    linear_model(tmp_path)
    assert [folder.name for folder in model_folders(tmp_path)] == ["linear"]


def test_a_card_of_another_name_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, name="other")
    with pytest.raises(ModelNotBuilt, match="other"):
        build_model(folder)


def test_a_graph_that_does_not_fit_the_card_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, labels=["only", "two"])
    with pytest.raises(ModelNotBuilt, match="logits"):
        build_model(folder)


def test_a_folder_without_weights_and_graph_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    (folder / "1" / "model.onnx").unlink()
    with pytest.raises(ModelNotBuilt, match="neither"):
        build_model(folder)


def test_weights_without_an_architecture_are_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    (folder / "1" / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ModelNotBuilt, match="architecture"):
        build_model(folder)


DETECTOR = {"kind": "mahalanobis", "threshold": 1.5, "digest": "0" * 64}


def with_weights(folder: Path) -> None:
    """Weights and an architecture in place of a graph; nothing reads them here."""
    (folder / "1" / "weights.safetensors").write_bytes(b"")
    change_card(folder, architecture={"framework": "torch", "builder": "small_cnn"})


def test_a_detector_whose_file_is_missing_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    with_weights(folder)
    change_card(folder, detector=DETECTOR)
    with pytest.raises(ModelNotBuilt, match=r"has no detector\.safetensors"):
        build_model(folder)


def test_a_detector_that_the_threshold_was_not_chosen_for_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    with_weights(folder)
    (folder / "1" / "detector.safetensors").write_bytes(b"another")
    change_card(folder, detector=DETECTOR)
    with pytest.raises(ModelNotBuilt, match="fit the detector again"):
        build_model(folder)


def test_a_graph_that_gives_no_distance_is_refused_where_the_card_has_a_detector(
    tmp_path: Path,
) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, detector=DETECTOR)
    with pytest.raises(ModelNotBuilt, match="has a detector"):
        build_model(folder)


def test_what_a_graph_was_built_from_stands_in_the_graph(tmp_path: Path) -> None:
    linear_model(tmp_path)
    masked = onnx.load_model(tmp_path / "linear_masked" / "1" / "model.onnx")
    assert [entry.key for entry in masked.metadata_props] == ["pellucid_source"]


def test_a_card_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    (folder / "card.yaml").write_text("labels: [one\n")
    with pytest.raises(ModelNotBuilt, match=r"card\.yaml"):
        is_current(folder)


def test_what_a_card_holds_is_not_in_the_reason_why_it_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, licence=["a secret"])
    with pytest.raises(ModelNotBuilt, match=r"card\.yaml: licence") as caught:
        is_current(folder)
    assert "secret" not in str(caught.value)


def test_a_graph_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    (folder / "1" / "model.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ModelNotBuilt, match=r"model\.onnx cannot be read"):
        build_model(folder)


def test_both_configurations_carry_the_same_version_and_weights_digest(tmp_path: Path) -> None:
    linear_model(tmp_path)
    classifier, masked = (config_of(tmp_path / name) for name in ("linear", "linear_masked"))
    digests = {c.parameters[DIGEST_PARAMETER].string_value for c in (classifier, masked)}
    assert len(digests) == 1
    for config in (classifier, masked):
        assert list(config.version_policy.specific.versions) == [1]


def test_a_file_promises_the_precision_that_every_engine_has(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, precision="auto")
    build_model(folder)
    assert config_of(folder).parameters[PRECISION_PARAMETER].string_value == "float32"


def test_another_version_is_built_beside_the_first(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    other = linear_model(tmp_path / "other", seed=1).folder
    shutil.copytree(other / "1", folder / "2")
    change_card(folder, version="2")
    build_model(folder)
    assert is_current(folder)
    assert list(config_of(folder).version_policy.specific.versions) == [2]
    masked = tmp_path / "linear_masked"
    first, second = ((masked / version / "model.onnx").read_bytes() for version in "12")
    assert first != second


@pytest.mark.parametrize("version", ["0", "01", "v1", "", "1.0"])
def test_a_version_that_triton_cannot_serve_is_refused(tmp_path: Path, version: str) -> None:
    folder = linear_model(tmp_path).folder
    change_card(folder, version=version)
    with pytest.raises(ModelNotBuilt, match="version"):
        build_model(folder)


def test_a_folder_whose_building_ended_half_way_has_no_configuration(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    other = linear_model(tmp_path / "other", seed=1).folder
    shutil.copy(other / "1" / "model.onnx", folder / "1" / "model.onnx")
    masked = tmp_path / "linear_masked"
    shutil.rmtree(masked / "1")
    (masked / "1").touch()  # where a folder should be made
    with pytest.raises(OSError):
        build_model(folder)
    assert not (folder / "config.pbtxt").exists()
    assert not (masked / "config.pbtxt").exists()


def test_a_changed_card_leaves_the_graphs_alone_unless_forced(tmp_path: Path) -> None:
    folder = linear_model(tmp_path).folder
    masked = tmp_path / "linear_masked" / "1" / "model.onnx"
    graph = onnx.load_model(masked)
    graph.doc_string = "not what would be built today"
    onnx.save_model(graph, masked)
    change_card(folder, title="Another title")
    build_model(folder)
    assert is_current(folder)
    assert onnx.load_model(masked).doc_string == graph.doc_string
    build_model(folder, force=True)
    assert onnx.load_model(masked).doc_string == ""
