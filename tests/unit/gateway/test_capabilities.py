"""GetCapabilities: what is served right now, and why something is not."""

from typing import Any

import pytest

from pellucid.api.explain.v1 import methods_pb2
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.api.gateway.v1.gateway_pb2 import GetCapabilitiesRequest
from pellucid.errors import QueueFull
from tests.support.known_models import SOUND
from tests.support.scripted_triton import Graph
from tests.unit.gateway.conftest import Stage
from tests.unit.gateway.fakes import card


async def ask(stage: Stage, media_type: str = "") -> Any:
    return await stage.stub.GetCapabilities(GetCapabilitiesRequest(media_type=media_type))


async def test_a_model_is_described_from_its_card(stage: Stage) -> None:
    points = {"balanced": {"bright": 0.25}, "all": {"dark": 0.5, "bright": 0.125}}
    stage.load(card(operating_points=points))
    (model,) = (await ask(stage)).models
    assert (model.name, model.version, model.weights_digest) == ("shade", "1", "abc")
    assert model.state == gateway_pb2.MODEL_STATE_READY
    assert [label.name for label in model.labels] == ["dark", "grey", "bright"]
    assert [label.HasField("threshold") for label in model.labels] == [False, False, True]
    assert list(model.operating_points) == ["balanced", "all"]
    assert model.labels[2].threshold == 0.25
    assert [dict(label.operating_points) for label in model.labels] == [
        {"all": 0.5},
        {},
        {"balanced": 0.25, "all": 0.125},
    ]
    assert model.activation == "softmax"
    assert model.contract.image.width == 3
    assert list(model.media_types) == ["image/png"]
    assert model.precision == "float32"


async def test_what_the_explain_service_knows_of_a_model_comes_with_it(stage: Stage) -> None:
    (model,) = (await ask(stage)).models
    assert [(method.method, method.title, method.paper) for method in model.methods] == [
        ("lime", "LIME", "P"),
        ("grad_cam", "", ""),
    ]
    assert list(model.baselines) == [methods_pb2.BASELINE_MEAN, methods_pb2.BASELINE_BLACK]
    assert [each.segmentation for each in model.segmentations] == ["slic"]
    assert model.parity.passed


async def test_a_model_that_is_not_ready_says_why(stage: Stage) -> None:
    stage.triton.graphs |= {
        "broken": {"1": Graph({}, state="UNAVAILABLE", reason="no model.onnx")},
        "coming": {"1": Graph({}, state="LOADING")},
        "unloaded": {"1": Graph({}, state="UNAVAILABLE", reason="unloaded")},
    }
    stage.catalogue.mark_stale("broken")
    models = {model.name: model for model in (await ask(stage)).models}
    assert set(models) == {"broken", "coming", "shade"}
    assert models["broken"].state == gateway_pb2.MODEL_STATE_FAILED
    assert models["broken"].state_reason == "no model.onnx"
    assert models["coming"].state == gateway_pb2.MODEL_STATE_LOADING
    assert not models["coming"].methods
    assert [model.name for model in (await ask(stage, "image/png")).models] == ["shade"]


async def test_limits_are_the_smaller_of_both_services(stage: Stage) -> None:
    limits = (await ask(stage)).limits
    assert (limits.max_content_bytes, limits.max_pixels, limits.max_audio_seconds) == (1_024, 9, 8)
    assert (limits.max_methods, limits.max_deadline_seconds) == (16, 900)


@pytest.mark.parametrize(
    ("media_type", "names"),
    [
        ("", ["shade", "voice"]),
        ("image/png", ["shade"]),
        ("Audio/WAV; rate=8000", ["voice"]),
        ("text/plain", []),
    ],
)
async def test_models_are_told_by_what_they_accept(
    stage: Stage, media_type: str, names: list[str]
) -> None:
    stage.load(card("voice", modality="speech", preprocess=SOUND))
    assert [model.name for model in (await ask(stage, media_type)).models] == names


async def test_without_the_explain_service_models_are_listed_and_methods_say_why_not(
    stage: Stage,
) -> None:
    await stage.explain_server.stop(None)
    (model,) = (await ask(stage)).models
    assert [method.method for method in model.methods] == [
        "lime",
        "kernel_shap",
        "partition_shap",
        "occlusion",
        "grad_cam",
        "integrated_gradients",
    ]
    assert not any(method.available for method in model.methods)
    assert {method.unavailable_reason for method in model.methods} == {
        "the explain service does not answer"
    }
    assert not model.HasField("parity")


async def test_a_model_that_the_explain_service_does_not_know_yet_says_so(stage: Stage) -> None:
    stage.explain.knows = []
    (model,) = (await ask(stage)).models
    assert {method.unavailable_reason for method in model.methods} == {
        "the explain service does not know it"
    }


async def test_without_the_preprocess_service_models_say_that_no_file_can_be_read(
    stage: Stage,
) -> None:
    (before,) = (await ask(stage)).models
    await stage.preprocess_server.stop(None)
    (model,) = (await ask(stage)).models
    assert model.state_reason.startswith("no file can be read: the preprocess service")
    assert not before.state_reason
    assert (model.media_types, len(model.methods)) == (before.media_types, len(before.methods))


async def test_before_the_preprocess_service_has_answered_no_media_types_are_known(
    stage: Stage,
) -> None:
    await stage.preprocess_server.stop(None)
    (model,) = (await ask(stage)).models
    assert model.state_reason and not model.media_types


async def test_a_busy_explain_service_leaves_the_models_listed(stage: Stage) -> None:
    stage.explain.refuses = QueueFull("busy", remedy="try again", retry_after_s=1)
    (model,) = (await ask(stage)).models
    assert {method.unavailable_reason for method in model.methods} == {"busy"}
