"""The real Triton with the drop-in backend, over models whose logits are known."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import numpy as np
import pytest
from google.protobuf import json_format
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from pellucid.cards import CARD_PARAMETER, PRECISION_PARAMETER, Card
from pellucid.embedded.system import EmbeddedTriton
from pellucid.repository.model_control import ModelControl
from tests.support.known_models import LinearModel
from tests.support.triton_client import infer, masked_inputs

NAMES = ("linear", "planted_patch", "planted_tone", "binary")


def pictures(model: LinearModel, count: int, seed: int = 0) -> np.ndarray:
    shape = model.card.preprocess.shape
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_served_logits_are_the_known_ones(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel], name: str
) -> None:
    inputs = pictures(known[name], 5)
    served = infer(triton.triton_url, name, input=inputs)
    np.testing.assert_allclose(served, known[name].logits(inputs), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_masked_graph_equals_masking_on_the_client_to_the_last_bit(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel], name: str
) -> None:
    model = known[name]
    layout = model.card.preprocess.layout
    inputs, expanded = masked_inputs(pictures(model, 1)[0], layout, masks=16, segments=300, seed=1)
    masked = infer(triton.triton_url, f"{name}_masked", **inputs)
    assert np.array_equal(masked, infer(triton.triton_url, name, input=expanded))


def test_requests_at_once_get_the_answers_they_would_get_alone(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel]
) -> None:
    requests = [pictures(known["linear"], 1 + i % 4, seed=i) for i in range(24)]
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda x: infer(triton.triton_url, "linear", input=x), requests)
    for inputs, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, known["linear"].logits(inputs), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("masks", np.zeros((0, 4), np.uint8)),
        ("masks", np.zeros((2, 3), np.uint8)),
        ("baseline", np.zeros((1, 5, 7, 3), np.float32)),
    ],
    ids=["no masks", "fewer columns than segments", "a baseline that does not broadcast"],
)
def test_impossible_masks_are_refused_and_the_next_request_works(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel], name: str, wrong: np.ndarray
) -> None:
    model = known["linear"]
    inputs, expanded = masked_inputs(
        pictures(model, 1)[0], model.card.preprocess.layout, masks=2, segments=4, seed=0
    )
    with pytest.raises(InferenceServerException, match=name) as caught:
        infer(triton.triton_url, "linear_masked", **(dict(inputs) | {name: wrong}))
    assert "INVALID_ARGUMENT" in str(caught.value.status())
    served = infer(triton.triton_url, "linear_masked", **inputs)
    np.testing.assert_allclose(served, model.logits(expanded), atol=1e-4)


def test_the_configuration_over_grpc_carries_the_card(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel]
) -> None:
    with InferenceServerClient(triton.triton_url) as client:
        config = client.get_model_config("binary").config
    card = Card.from_json(config.parameters[CARD_PARAMETER].string_value)
    assert card == known["binary"].card


def test_an_unloaded_model_goes_and_comes_back_when_it_is_loaded(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel]
) -> None:
    with InferenceServerClient(triton.triton_url) as client:
        client.unload_model("binary")
        while client.is_model_ready("binary"):
            pass
        client.load_model("binary")
        assert client.is_model_ready("binary")
    inputs = pictures(known["binary"], 2)
    served = infer(triton.triton_url, "binary", input=inputs)
    np.testing.assert_allclose(served, known["binary"].logits(inputs), atol=1e-4)


def engine_lines(triton: EmbeddedTriton, model: str = "") -> list[str]:
    """Lines of Triton's metrics that tell the engine of a model, or of all."""
    with urlopen(triton.service("triton").metrics_url) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if "engine_info{" in line and f'model="{model}' in line]


def test_engine_and_precision_of_every_model_are_in_the_metrics(triton: EmbeddedTriton) -> None:
    lines = engine_lines(triton)
    assert {line.split('model="')[1].split('"')[0] for line in lines} >= set(NAMES) - {"binary"}
    assert all('precision="float32"' in line and 'engine="openvino' in line for line in lines)


def test_the_configuration_tells_the_precision_that_the_engine_reports(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel]
) -> None:
    config = ModelControl(triton.triton_url).config("linear")
    assert config is not None
    said = config.parameters[PRECISION_PARAMETER].string_value
    lines = engine_lines(triton, "linear")
    assert lines
    assert all(f'precision="{said}"' in line for line in lines)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_runs_in_the_precision_of_its_configuration_or_says_why_not(
    triton: EmbeddedTriton, known: Mapping[str, LinearModel], precision: str
) -> None:
    control = ModelControl(triton.triton_url)
    served = control.config("planted_patch")
    assert served is not None
    other = type(served)()
    other.CopyFrom(served)
    other.parameters[PRECISION_PARAMETER].string_value = precision
    reason = control.load("planted_patch", json_format.MessageToJson(other, True))
    lines = engine_lines(triton, "planted_patch")
    assert control.load("planted_patch", json_format.MessageToJson(served, True)) is None
    if reason is None:
        assert any(f'precision="{precision}"' in line for line in lines)
    else:
        assert f"not in {precision}" in reason
