"""One map never mixes two models: another version is loaded in the middle of a method."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from pellucid.api.explain.v1.methods_pb2 import KernelShap, Lime, Method
from pellucid.cards import Card
from pellucid.errors import ModelChanged
from pellucid.status import from_rpc_error
from tests.integration.explain.conftest import Serve
from tests.integration.explain.requests import picture, request
from tests.support.explain_client import Answer, Stub, explain
from tests.support.known_models import LinearModel, add_version, write_linear

LIME = Method(lime=Lime(samples=10_000))
KERNEL_SHAP = Method(kernel_shap=KernelShap(samples=5_000))
SHORT = Method(lime=Lime(samples=10))


@pytest.fixture
def changing(
    repository: Path, large: LinearModel, triton_client: InferenceServerClient
) -> Iterator[LinearModel]:
    """A large linear model in its first version, loaded into the running Triton."""
    card = Card.model_validate({**large.card.model_dump(), "name": "changing"})
    model = write_linear(repository, card, large.weights, large.bias)
    for folder in folders(model):
        triton_client.load_model(folder.name)
    yield model
    for folder in folders(model):
        triton_client.unload_model(folder.name)
        shutil.rmtree(folder)


def folders(model: LinearModel) -> tuple[Path, Path]:
    return model.folder, model.folder.with_name(f"{model.folder.name}_masked")


def load_another_version(
    model: LinearModel, elsewhere: Path, client: InferenceServerClient
) -> LinearModel:
    """Of other weights; Triton serves the latest version alone."""
    other = write_linear(elsewhere, model.card, -model.weights, model.bias)
    for mine, new in zip(folders(model), folders(other), strict=True):
        add_version(mine, new)
        client.load_model(mine.name)
    return other


async def begin(stub: Stub, model: LinearModel, method: Method) -> tuple[Any, Answer]:
    """What comes of a method that has answers of the model already, and what came so far."""
    answer = Answer()
    messages = aiter(stub.Explain(request(model, picture(model), [method]), timeout=60))
    while not any(one.calls_done for one in answer.progress):
        answer.take(await anext(messages))
    return messages, answer


@pytest.mark.parametrize("method", [LIME, KERNEL_SHAP], ids=lambda one: one.WhichOneof("method"))
async def test_another_version_in_the_middle_of_a_method_ends_it_without_a_map(
    explain_service: Serve,
    changing: LinearModel,
    triton_client: InferenceServerClient,
    tmp_path: Path,
    method: Method,
) -> None:
    async with explain_service(masks_per_call=1) as stub:
        messages, answer = await begin(stub, changing, method)
        other = await asyncio.to_thread(load_another_version, changing, tmp_path, triton_client)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for message in messages:
                answer.take(message)
        error = from_rpc_error(caught.value, "explain service")
        assert isinstance(error, ModelChanged)
        assert error.retry_after_s
        assert not answer.explanations
        (failure,) = answer.failures
        assert (failure.method, failure.reason) == (method.WhichOneof("method"), "MODEL_CHANGED")
        assert failure.retriable
        # The next request is about the new version, and about nothing else.
        again = await explain(stub, request(changing, picture(changing), [SHORT]))
    (found,) = again.explanations
    assert found.receipt.model_version == "2"
    logit = other.logits(picture(changing)[np.newaxis])[0, found.target.index]
    assert found.target.score == pytest.approx(logit, abs=1e-3)
