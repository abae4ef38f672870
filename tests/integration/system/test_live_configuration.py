"""What Triton's live configuration says is what holds, whatever the folder said."""

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from tritonclient.grpc import InferenceServerClient

from pellucid.api.explain.v1.methods_pb2 import Lime, Method
from pellucid.api.gateway.v1.gateway_pb2 import (
    ClassifyRequest,
    ExplainRequest,
    GetCapabilitiesRequest,
)
from pellucid.cards import CARD_PARAMETER
from pellucid.embedded.system import EmbeddedSystem
from pellucid.errors import ModelBroken, PellucidError
from pellucid.status import from_rpc_error
from tests.integration.system import media
from tests.support.waiting import wait_until

MODEL = "planted_tone"
LONG = media.sound(media.tone(3.0))
"""Five windows."""


@contextmanager
def loaded_with(system: EmbeddedSystem, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Load the model with another configuration, and at the end as it was."""
    with InferenceServerClient(system.triton_url) as client:
        own = client.get_model_config(MODEL, as_json=True)["config"]
        changed = copy.deepcopy(own)
        change(changed)
        client.load_model(MODEL, config=json.dumps(changed))
        try:
            yield
        finally:
            # Without a configuration, Triton would keep the one that it was given last.
            client.load_model(MODEL, config=json.dumps(own))


@contextmanager
def card_of(system: EmbeddedSystem, gateway: Any, **changes: Any) -> Iterator[None]:
    """Have the gateway know another card of the model, and at the end its own.

    The version stays, so no answer tells: the gateway reads it again within a second or so.
    """

    def change(config: dict[str, Any]) -> None:
        parameter = config["parameters"][CARD_PARAMETER]
        parameter["string_value"] = json.dumps({**json.loads(parameter["string_value"]), **changes})

    before = described(gateway)
    with loaded_with(system, change):
        wait_until(lambda: described(gateway) != before, within_s=10)
        yield
    wait_until(lambda: described(gateway) == before, within_s=10)


def described(gateway: Any) -> tuple[int, str]:
    """State and card of the model, as the capabilities say."""
    models = gateway.GetCapabilities(GetCapabilitiesRequest()).models
    (model,) = (model for model in models if model.name == MODEL)
    return model.state, model.card_json


def refused(gateway: Any) -> PellucidError | None:
    with pytest.raises(grpc.RpcError) as caught:
        gateway.Classify(ClassifyRequest(model=MODEL, content=LONG))
    return from_rpc_error(caught.value, "gateway")


def test_a_model_is_asked_for_no_more_at_once_than_it_takes(
    system: EmbeddedSystem, gateway: Any
) -> None:
    def take_two(config: dict[str, Any]) -> None:
        config["max_batch_size"] = 2
        config["dynamic_batching"]["preferred_batch_size"] = []

    methods = [Method(lime=Lime(samples=20))]
    with loaded_with(system, take_two):
        answer = gateway.Classify(ClassifyRequest(model=MODEL, content=LONG))
        assert len(answer.prediction.windows) == 5
        list(gateway.Explain(ExplainRequest(model=MODEL, content=LONG, methods=methods)))


def test_a_card_under_another_models_name_is_refused(system: EmbeddedSystem, gateway: Any) -> None:
    with card_of(system, gateway, name="planted_patch"):
        error = refused(gateway)
    assert isinstance(error, ModelBroken)
    assert "planted_patch" in error.message


def test_a_model_that_answers_otherwise_than_its_card_says_is_broken(
    system: EmbeddedSystem, gateway: Any
) -> None:
    with card_of(system, gateway, labels=["a", "b", "c"]):
        error = refused(gateway)
    assert isinstance(error, ModelBroken)
    assert error.remedy
