"""GetCapabilities: what is served right now, and why something is not."""

from typing import Any

import grpc
import pytest

from gateway.methods import METHOD_NAMES
from pellucid.api.gateway.v1 import gateway_pb2
from pellucid.api.gateway.v1.gateway_pb2 import GetCapabilitiesRequest
from pellucid.errors import BackendUnavailable
from tests.models import SOUND
from tests.unit.gateway.backstage import served
from tests.unit.gateway.conftest import Stage
from tests.unit.gateway.refusals import refusal


async def ask(stage: Stage, media_type: str = "") -> Any:
    return await stage.stub.GetCapabilities(GetCapabilitiesRequest(media_type=media_type))


async def test_a_model_is_described_from_its_card(stage: Stage) -> None:
    stage.models.models["shade"] = served(thresholds={"bright": 0.25})
    (model,) = (await ask(stage)).models
    assert (model.name, model.version, model.weights_digest) == ("shade", "1", "abc")
    assert model.state == gateway_pb2.MODEL_STATE_READY
    assert [label.name for label in model.labels] == ["dark", "grey", "bright"]
    assert [label.HasField("threshold") for label in model.labels] == [False, False, True]
    assert model.activation == "softmax"
    assert model.contract.image.width == 3
    assert list(model.media_types) == ["image/png"]
    assert [method.method for method in model.methods] == ["lime", "grad_cam"]
    assert model.parity.passed


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
    voice = served("voice", modality="speech", preprocess=SOUND)
    stage.models.models["voice"] = voice
    assert [model.name for model in (await ask(stage, media_type)).models] == names


async def test_without_the_explain_service_models_are_listed_and_methods_say_why_not(
    stage: Stage,
) -> None:
    await stage.explain_server.stop(None)
    (model,) = (await ask(stage)).models
    assert [method.method for method in model.methods] == list(METHOD_NAMES)
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


async def test_without_the_preprocess_service_there_are_no_capabilities(stage: Stage) -> None:
    await stage.preprocess_server.stop(None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(stage)
    error = refusal(caught.value)
    assert type(error) is BackendUnavailable
    assert error.metadata["peer"] == "preprocess service"
